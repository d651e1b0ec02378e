import type { PairResult } from "./measure.ts";
import type { RunResult } from "./runs.ts";
import type { Spread } from "./statistics.ts";

/** A run as it is stored, and compared with later. */
export interface Report {
  readonly version: 1;
  readonly pairs: readonly PairResult[];
  readonly runs: readonly RunResult[];
}

export function jsonReport(report: Report): string {
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(5)) : value;
  return JSON.stringify(report, rounded, 1) + "\n";
}

export function textReport({ pairs, runs }: Report): string {
  const parts = [];
  if (pairs.length > 0) parts.push(table([PAIR_HEAD, ...pairs.map(pairRow)]));
  if (runs.length > 0) parts.push(table([RUN_HEAD, ...runs.map(runRow)]));
  return parts.join("\n");
}

/** Tables for docs/performance.md. */
export function markdownReport({ pairs, runs }: Report): string {
  const code = ([name, ...rest]: string[]) => [`\`${name}\``, ...rest];
  return [
    markdownTable([PAIR_HEAD, ...pairs.map((pair) => code(pairRow(pair)))]),
    markdownTable([RUN_HEAD, ...runs.map((run) => code(runRow(run)))]),
  ].join("\n");
}

function markdownTable(rows: readonly (readonly string[])[]): string {
  const rule = rows[0]!.map(() => "");
  const [head, line, ...rest] = aligned([rows[0]!, rule, ...rows.slice(1)]);
  const text = (row: string[]) => `| ${row.join(" | ")} |\n`;
  const dashes = line!.map((cell) => cell.replaceAll(" ", "-"));
  return [head!, dashes, ...rest].map(text).join("");
}

const PAIR_HEAD = ["pair", "ratio (min-max)", "goal", "reference ms", "ours ms", "ours", "what"];

function pairRow({ name, ratio, goal, ours, reference, work, unit, title }: PairResult): string[] {
  return [
    name,
    ratioOf(ratio),
    goalOf(ratio, goal),
    milliseconds(reference.median),
    milliseconds(ours.median),
    `${rate(work, ours.median)} ${unit}/s`,
    title,
  ];
}

const RUN_HEAD = ["run", "CPU / empty (min-max)", "goal", "CPU ms", "wall ms", "peak MiB", "what"];

function runRow({ name, ratio, goal, cpu, wall, peak, title }: RunResult): string[] {
  return [
    name,
    ratioOf(ratio),
    goalOf(ratio, goal),
    milliseconds(cpu.median),
    wall === undefined ? "" : milliseconds(wall.median),
    peak === undefined ? "" : peak.toFixed(0),
    title,
  ];
}

function ratioOf({ median, min, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})`;
}

function goalOf(ratio: Spread, goal: number | undefined): string {
  return goal === undefined ? "" : `${ratio.median <= goal ? "<=" : "above"} ${goal}`;
}

function milliseconds(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms.toPrecision(3);
}

/** Work per second, in three digits. */
function rate(work: number, ms: number): string {
  const perSecond = work / ms * 1000;
  const [unit, name] = perSecond >= 1e9 ? [1e9, "G"] : perSecond >= 1e6 ? [1e6, "M"] : [1e3, "k"];
  return (perSecond / unit).toPrecision(3) + name;
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  return aligned(rows).map((row) => row.join("  ").trimEnd() + "\n").join("");
}

function aligned(rows: readonly (readonly string[])[]): string[][] {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i])));
}
