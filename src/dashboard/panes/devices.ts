import { formatTime } from "../../base/units.ts";
import type { DeviceView, Snapshot } from "../../platform/snapshot.ts";
import { type Cell, type Column, type Glyphs, type Line, list, table } from "../../tui/mod.ts";
import { bars, highest } from "../bars.ts";
import { filterOf } from "../filter.ts";
import { compact, HEALTH_ORDER, HEALTH_ROLE, keptMark, kernelState, markOf } from "../words.ts";
import type { Model, Scene } from "../model.ts";
import { detailLines } from "./device_lines.ts";
import { chosenIndex, type Pane } from "./pane.ts";

interface DeviceColumn {
  readonly title: string;
  readonly width: number;
  readonly right?: boolean;
  /** Columns with a higher number go first when there is no room. */
  readonly priority: number;
  cell(d: DeviceView, s: Snapshot, glyphs: Glyphs, width: number): Cell;
  /** What rows are put in order by; the highest first where it is a number. */
  key(d: DeviceView): number | string;
}

/** Narrowest sparkline that says anything. */
const SPARK = 9;
/** Widest: what is known of the past. */
const SPARK_MAX = 64;

const COLUMNS: readonly DeviceColumn[] = [
  { title: "BDF", width: 7, priority: 5, cell: (d) => d.bdf, key: (d) => d.bdf },
  { title: "model", width: 5, priority: 9, cell: (d) => d.model, key: (d) => d.model },
  {
    title: "VM",
    width: 5,
    priority: 3,
    cell: (d) => d.vm || { text: "-", style: "dim" },
    key: (d) => d.vm,
  },
  {
    title: "mode",
    width: 7,
    // What isolates a device is told on the smallest screen.
    priority: 0.5,
    cell: (d) => ({ text: d.mode, style: d.mode === "iommu" ? "text" : "warn" }),
    key: (d) => d.mode,
  },
  { title: "domain", width: 14, priority: 4, cell: domainCell, key: (d) => d.domain },
  {
    title: "DID",
    width: 3,
    right: true,
    priority: 6,
    cell: (d) => d.did < 0 ? "-" : `${d.did}`,
    key: (d) => d.did,
  },
  {
    title: "BM",
    width: 3,
    priority: 8,
    cell: (d) => ({ text: d.busMaster ? "on" : "OFF", style: d.busMaster ? "text" : "warn" }),
    key: (d) => d.busMaster ? 1 : 0,
  },
  {
    title: "DMA/s",
    width: 6,
    right: true,
    priority: 0,
    cell: (d) => compact(d.rate),
    key: (d) => d.rate,
  },
  { title: "history", width: SPARK, priority: 2, cell: sparkCell, key: (d) => d.operations },
  {
    title: "longest gap",
    width: 11,
    right: true,
    priority: 1,
    cell: gapCell,
    key: (d) => d.longestGap,
  },
  {
    title: "faults",
    width: 6,
    right: true,
    priority: 2,
    cell: (d) => alarm(d.faults),
    key: (d) => d.faults,
  },
  {
    title: "stray",
    width: 6,
    right: true,
    priority: 2,
    cell: (d) => alarm(d.stray),
    key: (d) => d.stray,
  },
  {
    title: "blocked",
    width: 7,
    right: true,
    priority: 3,
    cell: (d) => alarm(d.blocked, "warn"),
    key: (d) => d.blocked,
  },
  {
    title: "health",
    width: 10,
    priority: 0,
    cell(d, _s, glyphs) {
      if (!d.present) return { text: "! gone", style: "warn" };
      const style = HEALTH_ROLE[d.health];
      return { text: `${markOf(style, glyphs)} ${d.health}`, style };
    },
    key: (d) => HEALTH_ORDER.length - HEALTH_ORDER.indexOf(d.health),
  },
];

/** Titles of the columns, the id's included: what devices can be ordered by. */
export const DEVICE_COLUMNS: readonly string[] = ["id", ...COLUMNS.map((c) => c.title)];

const NONE: Cell = { text: "0", style: "dim" };

function alarm(n: number, style: "bad" | "warn" = "bad"): Cell {
  return n > 0 ? { text: compact(n), style } : NONE;
}

/** While no kernel runs there are no domains: what hardware goes by lies in memory only. */
function domainCell(d: DeviceView, s: Snapshot): Cell {
  const state = kernelState(s);
  if (state === "none") return { text: "no kernel", style: "bad" };
  if (d.mode === "noiommu") return { text: "NOT ISOLATED", style: "warn" };
  if (d.domain === "none") return { text: state === "booting" ? "not yet" : "none", style: "dim" };
  return d.owner === "held" ? { text: `${d.domain} held`, style: "accent" } : d.domain;
}

/** The gap that is open now counts as soon as it is the longest. */
function gapCell(d: DeviceView): Cell {
  if (d.longestGap <= 0) return { text: "-", style: "dim" };
  const open = d.openGap > 0 && d.openGap >= d.longestGap;
  return open ? { text: `${formatTime(d.openGap)}+`, style: "warn" } : formatTime(d.longestGap);
}

function sparkCell(d: DeviceView, _s: Snapshot, glyphs: Glyphs, width: number): Cell {
  // The last bucket is still filling.
  const end = d.history.length - 1, start = Math.max(0, end - width);
  const max = highest(d.history, start, end), { levels } = glyphs;
  const codes = bars(d.history, start, end, { max, levels, columns: 1 });
  const style = HEALTH_ROLE[d.health];
  return { codes, style: style === "dim" ? "dim" : "info" };
}

/** What a filter looks at. */
function textOf(d: DeviceView): string {
  return `${d.id} ${d.bdf} ${d.model} ${d.vm} ${d.mode} ${d.domain} ${d.owner} ${d.health}`;
}

/** What there is to show of devices, found out once for a filter and an order. */
interface Rows {
  readonly by: string;
  readonly rows: readonly DeviceView[];
  readonly ids: readonly string[];
  /** Where the chosen one was found last. */
  last: { readonly chosen: string; readonly at: number } | undefined;
  /** Columns that the longest name takes. */
  readonly name: number;
  /** All devices of the machine are behind an IOMMU. */
  readonly plain: boolean;
}

const known = new WeakMap<readonly DeviceView[], Rows>();

function rowsOf(model: Model, s: Snapshot): Rows {
  const by = `${model.sorting.column}\n${model.sorting.reverse}\n${model.filters.devices}`;
  const before = known.get(s.devices);
  if (before?.by === by) return before;
  const rows = orderedRows(model, s);
  const found: Rows = {
    by,
    rows,
    ids: rows.map((d) => d.id),
    last: undefined,
    name: rows.reduce((most, d) => Math.max(most, Math.min(12, d.id.length + 2)), 6),
    plain: s.devices.every((d) => d.mode === "iommu"),
  };
  known.set(s.devices, found);
  return found;
}

/** The chosen row; -1: there are none. */
function chosenAt(found: Rows, chosen: string): number {
  if (found.last?.chosen !== chosen) {
    found.last = { chosen, at: chosenIndex(found.ids, chosen) };
  }
  return found.last.at;
}

/** The devices that the filter lets through, in the order that was chosen. */
export function deviceRows(model: Model, s: Snapshot): readonly DeviceView[] {
  return rowsOf(model, s).rows;
}

function orderedRows(model: Model, s: Snapshot): readonly DeviceView[] {
  const { filters: { devices: filter }, sorting: { column, reverse } } = model;
  const wanted = filterOf(filter);
  const rows = filter === "" ? s.devices : s.devices.filter((d) => wanted(textOf(d)));
  const key = column === "id"
    ? (d: DeviceView) => d.id
    : COLUMNS.find((c) => c.title === column)?.key;
  if (key === undefined) return reverse ? rows.toReversed() : rows;
  const sign = reverse ? -1 : 1;
  return rows.map((d) => ({ d, k: key(d) })).sort((a, b) => {
    // Numbers: the most first. What is equal stays in the machine's order.
    if (typeof a.k === "number" && typeof b.k === "number") return sign * (b.k - a.k);
    return sign * (a.k < b.k ? -1 : a.k > b.k ? 1 : 0);
  }).map(({ d }) => d);
}

/** The device that is chosen, as far as the filter lets it through. */
export function chosenDevice(model: Model, s: Snapshot): DeviceView | undefined {
  const found = rowsOf(model, s);
  return found.rows[chosenAt(found, model.chosen.devices)];
}

export const devicesPane: Pane = {
  id: "devices",
  title: "Devices",
  filters: true,
  count(s, model) {
    const found = rowsOf(model, s), { rows } = found;
    const at = chosenAt(found, model.chosen.devices) + 1;
    const { column, reverse } = model.sorting;
    const order = column === "" && !reverse
      ? ""
      : ` by ${column || "nothing"}${reverse ? " up" : ""}`;
    const filter = model.filters.devices === "" ? "" : ` /${model.filters.devices}`;
    return `${at}/${rows.length}${order}${filter}`;
  },
  note: () => "Enter for details",
  rows: (s, model) => rowsOf(model, s).ids,
  rowText(s, model) {
    const d = chosenDevice(model, s);
    return d === undefined ? "" : [`device ${d.id}`, ...detailText(d, s)].join("\n");
  },
  draw(region, s, model) {
    const found = rowsOf(model, s), { rows, name, plain } = found;
    const chosen = chosenAt(found, model.chosen.devices);
    const inner = region.sub({ x: 1, y: 0, w: region.w - 1, h: region.h });
    const barred = rows.length > region.h - 1;
    const columns = fit(inner.w - name - (barred ? 2 : 1), model, plain);
    const below = details(rows[chosen], s, rows.length, region.h);
    const h = below.length > 0 ? rows.length + 1 : inner.h;
    const upper = inner.sub({ x: 0, y: 0, w: inner.w, h });
    const shown = table(upper, {
      columns: [
        { title: "  id", width: name },
        ...columns.map(({ title, width, right }): Column => ({
          title,
          width,
          align: right === true ? "right" : "left",
        })),
      ],
      rows: rows.length,
      selected: chosen,
      offset: model.scroll.devices.top,
      focused: model.focus === "devices",
      empty: s.devices.length === 0 ? "no devices" : "nothing like that",
      cell(row, column) {
        const d = rows[row]!;
        const at = columns[column - 1];
        return at?.cell(d, s, region.glyphs, at.width) ??
          `${d.persistent ? keptMark(region.grid.ascii) : " "} ${d.id}`;
      },
    });
    list(inner.sub({ x: 0, y: upper.h, w: inner.w, h: below.length }), {
      count: below.length,
      line: (i) => below[i]!,
    });
    return { ...shown, total: rows.length, firstRow: 1 };
  },
};

function detailText(d: DeviceView, s: Snapshot): string[] {
  return detailLines(d, s).map((line) =>
    (Array.isArray(line) ? line.map((piece) => piece.text).join("") : String(line)).trimEnd()
  );
}

/** Lines of the details there are at least. */
const LEAST_DETAILS = 12;

/** In a pane with much room the chosen device is shown in full below the table. */
function details(d: DeviceView | undefined, s: Scene, rows: number, height: number): Line[] {
  if (d === undefined || height <= rows + LEAST_DETAILS) return [];
  const heading: Line = [{ text: ` ${d.id}`, style: "title" }];
  const lines: Line[] = ["", heading, ...detailLines(d, s)];
  return height >= rows + 1 + lines.length ? lines : [];
}

/** The columns there is room for; what is left over goes to the sparkline. */
function fit(width: number, model: Model, plain: boolean): DeviceColumn[] {
  // A mode that all devices have says nothing.
  let chosen = COLUMNS.filter((c) =>
    !model.hidden.includes(c.title) && !(plain && c.title === "mode" && width < 130)
  );
  const need = () => chosen.reduce((sum, c) => sum + c.width + 1, 0);
  while (chosen.length > 1 && need() > width) {
    const victim = chosen.reduce((worst, c) => c.priority >= worst.priority ? c : worst);
    chosen = chosen.filter((c) => c !== victim);
  }
  const spare = Math.max(0, width - need());
  return chosen.map((c) =>
    c.title === "history" ? { ...c, width: Math.min(SPARK_MAX, c.width + spare) } : c
  );
}
