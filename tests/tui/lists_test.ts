import assert from "node:assert/strict";
import { type Column, fr, list, table, tree, type TreeLine } from "../../src/tui/mod.ts";
import { paints, shows } from "./helpers.ts";

const COLUMNS: readonly Column[] = [
  { title: "Device", width: fr(1, 6) },
  { title: "Driver", width: 7, priority: 2 },
  { title: "DMA", width: 5, align: "right", priority: 1 },
];
const DEVICES = [
  ["nvme0", "vfio", "120"],
  ["nic0", "vfio", "99999"],
  ["日本語デバイス", "-", "0"],
  ["gpu0", "openhcl", "7"],
];
const cell = (row: number, column: number) => DEVICES[row % 4]![column]!;

Deno.test("table() aligns columns under their titles and shortens what does not fit", () => {
  shows([
    "Device   Driver    DMA",
    "nvme0    vfio      120",
    "nic0     vfio    99999",
    "日本語…  -           0",
    "gpu0     openhcl     7",
  ], (r) => void table(r, { columns: COLUMNS, rows: 4, cell }));
});

Deno.test("table() drops columns of low priority when narrow", () => {
  shows(
    ["Device   DMA", "nvme0    120"],
    (r) => void table(r, { columns: COLUMNS, rows: 1, cell }),
  );
  shows(["Device ", "nvme0  "], (r) => void table(r, { columns: COLUMNS, rows: 1, cell }));
  shows(["De…", "nv…"], (r) => void table(r, { columns: COLUMNS, rows: 1, cell }));
});

Deno.test("table() marks the selected row across its cells' styles", () => {
  const grid = shows(["Device ", "nvme0  ", "nic0   "], (r) =>
    void table(r, {
      columns: [COLUMNS[0]!],
      rows: 2,
      selected: 1,
      cell: (row, column) => ({ text: cell(row, column), style: row === 0 ? "good" : "bad" }),
    }));
  paints(grid, { t: "title", g: "good", S: grid.table.over("bad", "selection"), s: "selection" }, [
    "tttttt ",
    "ggggg  ",
    "SSSSsss",
  ]);
});

Deno.test("table() scrolls so that the selection stays visible, with a scrollbar", () => {
  const rows = (row: number) => String(row);
  const draw = (offset: number, selected: number, picture: string[]) => {
    let view = { offset: -1, visible: -1 };
    shows(picture, (r) => {
      view = table(r, {
        columns: [{ title: "n", width: fr() }],
        rows: 10,
        offset,
        selected,
        cell: rows,
      });
    });
    return view;
  };
  assert.deepEqual(draw(0, 0, ["n  ", "0 █", "1 │", "2 │"]), { offset: 0, visible: 3 });
  assert.deepEqual(draw(0, 5, ["n  ", "3 │", "4 █", "5 │"]), { offset: 3, visible: 3 });
  assert.deepEqual(draw(99, -1, ["n  ", "7 │", "8 │", "9 █"]), { offset: 7, visible: 3 });
  assert.deepEqual(draw(7, 2, ["n  ", "2 │", "3 █", "4 │"]), { offset: 2, visible: 3 });
});

Deno.test("table() says when it is empty, and can do without titles", () => {
  shows(
    ["no devices", "          "],
    (r) => void table(r, { columns: COLUMNS, rows: 0, cell, header: false, empty: "no devices" }),
  );
});

const LOG = Array.from({ length: 6 }, (_, i) => `line ${i}`);

Deno.test("list() shows lines from an offset, or follows the end", () => {
  const line = (index: number) => LOG[index]!;
  shows(["line 1 █", "line 2 █", "line 3 │"], (r) => {
    assert.deepEqual(list(r, { count: 6, line, offset: 1 }), { offset: 1, visible: 3 });
  });
  shows(["line 4 │", "line 5 █"], (r) => void list(r, { count: 6, line, follow: true }));
  shows(
    ["line 0  ", "line 1  ", "        "],
    (r) => void list(r, { count: 2, line, follow: true }),
  );
});

Deno.test("list() scrolls sideways, cutting wide characters cleanly", () => {
  shows([" 本語 "], (r) => void list(r, { count: 1, line: () => "日本語", left: 1 }));
});

Deno.test("list() draws pieces in their styles and marks the selected line", () => {
  const grid = shows(["ok done", "failed "], (r) =>
    void list(r, {
      count: 2,
      selected: 1,
      focused: false,
      line: (i) =>
        i === 0 ? [{ text: "ok", style: "good" }, { text: " done", style: "dim" }] : "failed",
    }));
  paints(grid, { g: "good", d: "dim", i: "inactive" }, ["ggddddd", "iiiiiii"]);
});

Deno.test("tree() indents and marks what can be opened", () => {
  const lines: TreeLine[] = [
    { depth: 0, state: "open", label: "root", detail: "4 KiB" },
    { depth: 1, state: "closed", label: "domain 0", style: "warn" },
    { depth: 1, state: "open", label: "domain 1" },
    { depth: 2, state: "leaf", label: "pte" },
  ];
  const grid = shows([
    "▾ root  4 KiB ",
    "  ▸ domain 0  ",
    "  ▾ domain 1  ",
    "    · pte     ",
  ], (r) => void tree(r, { count: 4, line: (i) => lines[i]! }));
  paints(grid, { k: "key", d: "dim", w: "warn" }, [
    "kk    ddddddd",
    "kkkkwwwwwwww",
    "kkkk",
    "dddddd",
  ]);
  shows(
    ["> x "],
    (r) => void tree(r, { count: 1, line: () => ({ depth: 0, state: "closed", label: "x" }) }),
    (grid) => {
      grid.ascii = true;
    },
  );
});
