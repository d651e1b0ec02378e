import type { PairResult } from "./measure.ts";

/** A run as it is stored, and compared with later. */
export interface Report {
  readonly version: 1;
  readonly pairs: readonly PairResult[];
}

export function jsonReport(report: Report): string {
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(5)) : value;
  return JSON.stringify(report, rounded, 2) + "\n";
}

export function textReport(report: Report): string {
  const rows = report.pairs.map(({ name, ratio, goal, ours, reference, work, unit, title }) => [
    name,
    `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}-${ratio.max.toFixed(2)})`,
    goal === undefined ? "" : `${ratio.median <= goal ? "<=" : "above"} ${goal}`,
    milliseconds(reference.median),
    milliseconds(ours.median),
    `${rate(work, ours.median)} ${unit}/s`,
    title,
  ]);
  const head = ["pair", "ratio (min-max)", "goal", "reference ms", "ours ms", "ours", "what"];
  return table([head, ...rows]);
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
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd();
  return rows.map(line).join("\n") + "\n";
}
