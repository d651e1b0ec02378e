import { formatTime } from "../../base/units.ts";
import type { DeviceView, Snapshot } from "../../platform/snapshot.ts";
import { type Cell, type Column, type Glyphs, type Line, list, table } from "../../tui/mod.ts";
import { barOf } from "../timeline.ts";
import { compact, HEALTH_ROLE, keptMark, kernelState, markOf } from "../words.ts";
import type { Model } from "../model.ts";
import { detailLines } from "./device_detail.ts";
import type { Pane } from "./pane.ts";

interface DeviceColumn {
  readonly title: string;
  readonly width: number;
  readonly right?: boolean;
  /** Columns with a higher number go first when there is no room. */
  readonly priority: number;
  cell(d: DeviceView, s: Snapshot, glyphs: Glyphs, width: number): Cell;
}

/** Narrowest sparkline that says anything. */
const SPARK = 10;
/** Widest: what is known of the past. */
const SPARK_MAX = 64;

const COLUMNS: readonly DeviceColumn[] = [
  { title: "BDF", width: 7, priority: 5, cell: (d) => d.bdf },
  { title: "VM", width: 5, priority: 3, cell: (d) => d.vm || { text: "-", style: "dim" } },
  { title: "domain", width: 14, priority: 4, cell: domainCell },
  { title: "DID", width: 3, right: true, priority: 6, cell: (d) => d.did < 0 ? "-" : `${d.did}` },
  {
    title: "BM",
    width: 3,
    priority: 7,
    cell: (d) => ({ text: d.busMaster ? "on" : "OFF", style: d.busMaster ? "text" : "warn" }),
  },
  { title: "DMA/s", width: 6, right: true, priority: 0, cell: (d) => compact(d.rate) },
  { title: "history", width: SPARK, priority: 2, cell: sparkCell },
  { title: "longest gap", width: 11, right: true, priority: 1, cell: gapCell },
  { title: "faults", width: 6, right: true, priority: 2, cell: (d) => alarm(d.faults) },
  { title: "stray", width: 6, right: true, priority: 2, cell: (d) => alarm(d.stray) },
  { title: "blocked", width: 7, right: true, priority: 3, cell: (d) => alarm(d.blocked, "warn") },
  {
    title: "health",
    width: 10,
    priority: 0,
    cell(d, _s, glyphs) {
      const style = HEALTH_ROLE[d.health];
      return { text: `${markOf(style, glyphs)} ${d.health}`, style };
    },
  },
];

function alarm(n: number, style: "bad" | "warn" = "bad"): Cell {
  return n > 0 ? { text: compact(n), style } : { text: "0", style: "dim" };
}

/** While no kernel runs there are no domains: what hardware goes by lies in memory only. */
function domainCell(d: DeviceView, s: Snapshot): Cell {
  const state = kernelState(s);
  if (state === "none") return { text: "no kernel", style: "bad" };
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
  const values = d.history.slice(Math.max(0, d.history.length - 1 - width), -1);
  const max = Math.max(1, ...values);
  const bars = values.map((v) => v > 0 ? barOf(v, max, glyphs.levels) : " ");
  const style = HEALTH_ROLE[d.health];
  return { text: bars.join(""), style: style === "good" ? "info" : style };
}

export const devicesPane: Pane = {
  id: "devices",
  title: "Devices",
  count: (s, model) =>
    s.devices.length === 0 ? "0" : `${Math.min(model.selected + 1, s.devices.length)}/` +
      `${s.devices.length}`,
  note: () => "Enter for details",
  draw(region, s, model) {
    const inner = region.sub({ x: 1, y: 0, w: region.w - 1, h: region.h });
    const name = Math.max(6, ...s.devices.map((d) => Math.min(12, d.id.length + 2)));
    const barred = s.devices.length > region.h - 1;
    const columns = fit(inner.w - name - (barred ? 2 : 1));
    const below = details(s, model, region.h);
    const upper = inner.sub({
      x: 0,
      y: 0,
      w: inner.w,
      h: below.length > 0 ? s.devices.length + 1 : inner.h,
    });
    const shown = table(upper, {
      columns: [
        { title: "  id", width: name },
        ...columns.map(({ title, width, right }): Column => ({
          title,
          width,
          align: right === true ? "right" : "left",
        })),
      ],
      rows: s.devices.length,
      selected: s.devices.length === 0 ? -1 : Math.min(model.selected, s.devices.length - 1),
      offset: model.scroll.devices.top,
      focused: model.focus === "devices",
      empty: "no devices",
      cell(row, column) {
        const d = s.devices[row]!;
        const chosen = columns[column - 1];
        return chosen?.cell(d, s, region.glyphs, chosen.width) ??
          `${d.persistent ? keptMark(region.grid.ascii) : " "} ${d.id}`;
      },
    });
    list(inner.sub({ x: 0, y: upper.h, w: inner.w, h: below.length }), {
      count: below.length,
      line: (i) => below[i]!,
    });
    return { ...shown, total: s.devices.length };
  },
};

/** In a pane with much room the selected device is shown in full below the table. */
function details(s: Snapshot, model: Model, height: number): Line[] {
  const d = s.devices[Math.min(model.selected, s.devices.length - 1)];
  if (d === undefined) return [];
  const heading: Line = [{ text: ` ${d.id}`, style: "title" }];
  const lines: Line[] = ["", heading, ...detailLines(d, s)];
  return height >= s.devices.length + 1 + lines.length ? lines : [];
}

/** The columns there is room for; what is left over goes to the sparkline. */
function fit(width: number): DeviceColumn[] {
  let chosen = [...COLUMNS];
  const need = () => chosen.reduce((sum, c) => sum + c.width + 1, 0);
  while (chosen.length > 1 && need() > width) {
    const victim = chosen.reduce((worst, c) => c.priority >= worst.priority ? c : worst);
    chosen = chosen.filter((c) => c !== victim);
  }
  const spare = Math.max(0, Math.min(SPARK_MAX - SPARK, width - need()));
  return chosen.map((c) => c.cell === sparkCell ? { ...c, width: c.width + spare } : c);
}
