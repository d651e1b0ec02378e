import assert from "node:assert/strict";
import {
  box,
  dialog,
  dialogKey,
  footer,
  gauge,
  type Grid,
  phases,
  scrollbar,
  sparkline,
} from "../../src/tui/mod.ts";
import { paints, shows } from "./helpers.ts";

const ascii = (grid: Grid) => void (grid.ascii = true);

Deno.test("box() draws a border with number, title and count", () => {
  const grid = shows([
    "┌─1 Devices 3/17─┐",
    "│                │",
    "└────────────────┘",
  ], (r) => void box(r, { number: 1, title: "Devices", count: "3/17" }));
  paints(grid, { b: "border", k: "key", t: "title" }, [
    "bbkktttttttbbbbbbb",
    "b                b",
    "bbbbbbbbbbbbbbbbbb",
  ]);
});

Deno.test("box() differs in weight and in style when focused", () => {
  const grid = shows([
    "┏━Log━━━┓",
    "┃       ┃",
    "┗━━━end━┛",
  ], (r) => void box(r, { title: "Log", note: "end", focused: true }));
  paints(grid, { f: "focus", t: grid.table.over("title", "focus") }, [
    "fftttffff",
    "f       f",
    "fffffffff",
  ]);
});

Deno.test("box() shortens its title and drops the count when narrow", () => {
  shows(["┌─Dev─┐", "└─────┘"], (r) => void box(r, { title: "Devices", count: "3/17" }));
  shows(["+-2 De-+", "+------+"], (r) => void box(r, { number: 2, title: "Devices" }), ascii);
  shows(["┌┐", "└┘"], (r) => void box(r, { title: "Devices" }));
  shows(["  "], (r) => void box(r, { title: "Devices" }));
});

Deno.test("box() returns what is inside of it", () => {
  shows([
    "┌───┐",
    "│abc│",
    "└───┘",
  ], (r) => void box(r).put(0, 0, "abcdef"));
});

Deno.test("gauge() draws a bar and its label", () => {
  shows([
    "█████░░░░░",
    "KHO 50%   ",
  ], (r) => gauge(r, { label: "KHO", ratio: 0.5 }));
  shows(["KHO #####.....  50%"], (r) => gauge(r, { label: "KHO", ratio: 0.5 }), ascii);
  shows(["███░  99%"], (r) => gauge(r, { ratio: 0.999 }));
  shows(["░░░░   0%"], (r) => gauge(r, { ratio: NaN }));
  shows(["████ 100%"], (r) => gauge(r, { ratio: 7 }));
});

Deno.test("phases() draws each phase with a mark that needs no colour", () => {
  const grid = shows([
    "██████ ███░░░ ░░░░░░",
    "■ free ▶ kex… □ boot",
  ], (r) =>
    phases(r, [
      { label: "free", state: "done" },
      { label: "kexec", state: "active", ratio: 0.5 },
      { label: "boot", state: "waiting" },
    ]));
  paints(grid, { g: "good", a: "accent", d: "dim" }, [
    "gggggg aaaddd dddddd",
    "gggggg aaaaaa dddddd",
  ]);
  shows(
    ["##### #####", "x a   ! b  "],
    (r) => phases(r, [{ label: "a", state: "done" }, { label: "b", state: "failed" }]),
    ascii,
  );
  shows(["███"], (r) => phases(r, Array(3).fill({ label: "", state: "done" })));
});

Deno.test("sparkline() draws eighths, the newest value at the right", () => {
  shows([" ▁▂▃▄▅▆▇█"], (r) => sparkline(r, { values: [0, 1, 2, 3, 4, 5, 6, 7, 8] }));
  shows(["▂▄█"], (r) => sparkline(r, { values: [9, 9, 9, 1, 2, 4] }));
  shows(["  █"], (r) => sparkline(r, { values: [4] }));
  shows(["  ▄█", "▄███"], (r) => sparkline(r, { values: [1, 2, 3, 4] }));
  shows(["▁ █"], (r) => sparkline(r, { values: [0.001, NaN, 99], max: 10 }));
  shows([" _:*#"], (r) => sparkline(r, { values: [0, 1, 3, 7, 8], max: 8 }), ascii);
  shows(["   "], (r) => sparkline(r, { values: [0, 0, 0] }));
});

Deno.test("sparkline() styles each value by itself", () => {
  const grid = shows(
    ["▄█"],
    (r) => sparkline(r, { values: [1, 2], style: (value) => value > 1 ? "bad" : "good" }),
  );
  paints(grid, { g: "good", b: "bad" }, ["gb"]);
});

Deno.test("scrollbar() shows where the view is", () => {
  const bar = (offset: number, picture: string) =>
    shows([...picture], (r) => scrollbar(r, { offset, visible: 4 }, 16));
  bar(0, "█│││");
  bar(4, "│█││");
  bar(12, "│││█");
  shows(["█", "█"], (r) => scrollbar(r, { offset: 0, visible: 9 }, 3));
});

Deno.test("footer() shows hints and drops those that do not fit", () => {
  const hints = [
    { key: "?", label: "help" },
    { key: "q", label: "quit" },
    { key: "/", label: "filter" },
  ];
  shows([" RUN  ? help  q quit  / filter  "], (r) => footer(r, { mode: "RUN", hints }));
  shows([" ? help  q quit    "], (r) => footer(r, { hints }));
  shows([" ? help  no such device"], (r) => footer(r, { hints, message: "no such device" }));
  shows(["no such"], (r) => footer(r, { hints, message: "no such device" }));
  shows(["  "], (r) => footer(r, { hints }));
});

Deno.test("dialog() asks in the middle and starts on Cancel", () => {
  const options = {
    title: "Kill vmm-1?",
    text: "Its guest memory is lost.",
    buttons: [{ label: "Kill", danger: true }, { label: "Cancel", cancel: true }],
  };
  const grid = shows([
    "...............................",
    "...┏━Kill vmm-1?━━━━━━━━━━┓....",
    "...┃ Its guest memory is  ┃....",
    "...┃ lost.                ┃....",
    "...┃                      ┃....",
    "...┃ [ Kill ]  [ Cancel ] ┃....",
    "...┗━━━━━━━━━━━━━━━━━━━━━━┛....",
    "...............................",
  ], (r) => {
    r.fill("dim", ".");
    dialog(r.sub({ x: 2, y: 0, w: 27, h: 8 }), options);
  });
  const legend = { d: "dim", f: "focus", b: "bad", s: "selection" } as const;
  paints(grid, { ...legend, t: grid.table.over("title", "focus") }, [
    "ddddddddddddddddddddddddddddddd",
    "dddfftttttttttttfffffffffffdddd",
    "dddf                      fdddd",
    "dddf                      fdddd",
    "dddf                      fdddd",
    "dddf bbbbbbbb  ssssssssss fdddd",
    "dddffffffffffffffffffffffffdddd",
    "ddddddddddddddddddddddddddddddd",
  ]);
});

Deno.test("dialog() keeps its buttons when there is little room", () => {
  shows([
    "┏━Sure?━━━┓",
    "┃  [ No ] ┃",
    "┗━━━━━━━━━┛",
  ], (r) => dialog(r, { title: "Sure?", text: "a b c d e f g h i j", buttons: [{ label: "No" }] }));
});

Deno.test("dialogKey() moves, decides and cancels", () => {
  const buttons = [{ label: "Kill", danger: true }, { label: "Cancel", cancel: true }];
  assert.deepEqual(dialogKey("enter", buttons), { chosen: 1 });
  assert.deepEqual(dialogKey("left", buttons), { selected: 0 });
  assert.deepEqual(dialogKey("tab", buttons, 1), { selected: 0 });
  assert.deepEqual(dialogKey("enter", buttons, 0), { chosen: 0 });
  assert.deepEqual(dialogKey("esc", buttons, 0), { chosen: 1 });
  assert.equal(dialogKey("x", buttons), null);
  assert.equal(dialogKey("enter", []), null);
});
