import { formatTime } from "../base/units.ts";
import { DEFECTS, findDefect, SWITCHES } from "../kernel/defects/catalogue.ts";
import type { Defect } from "../kernel/defects/types.ts";
import { baseScenario, defectScenario } from "../scenario/defects.ts";
import { didYouMean, UsageError } from "../scenario/errors.ts";
import { askRun, prepare } from "../scenario/run.ts";

const where = ({ patch, seedLine }: Defect) =>
  `${patch === 0 ? "series" : `patch ${patch}`}, seed line ${seedLine}`;

const caughtBy = (d: Defect) =>
  d.notShown !== undefined
    ? "-"
    : d.invariants.length > 0
    ? d.invariants.join(", ")
    : `answer: ${d.vector ?? d.scenario}`;

/** The catalogue as a table. */
export function listDefects(): string {
  const rows = [
    ["id", "patch", "seed", "caught by", "title"],
    ...DEFECTS.map((d) => [
      d.id,
      d.patch === 0 ? "-" : String(d.patch),
      String(d.seedLine),
      caughtBy(d),
      d.title,
    ]),
  ];
  const hidden = DEFECTS.length - SWITCHES.length;
  return columns(rows) +
    `\n${DEFECTS.length} defects, ${SWITCHES.length} of them switches; ` +
    `${hidden} cannot show here (-).\n` +
    "One with its story: defects D55. One at work: --scenario defect-D55. All: defects --run.\n";
}

/** The catalogue for programs. */
export function defectsJson(): string {
  const defects = DEFECTS.map((d) => ({
    id: d.id,
    patch: d.patch,
    seed_line: d.seedLine,
    title: d.title,
    invariants: d.invariants,
    ...(d.vector === undefined ? {} : { vector: d.vector }),
    scenario: d.scenario,
    ...(d.needs === undefined ? {} : { needs: d.needs }),
    ...(d.notShown === undefined ? {} : { not_shown: d.notShown }),
  }));
  return JSON.stringify({ defects }, null, 2) + "\n";
}

/** One defect: what the posted code does, what one sees, how to see it. */
export function explainDefect(id: string): string {
  const d = named(id);
  const out = [
    `${d.id}: ${d.title}`,
    `  ${where(d)}`,
    "",
    ...wrap(`As posted: ${d.posted}`),
    "",
    ...wrap(`Seen: ${d.seen}`),
    "",
  ];
  if (d.notShown !== undefined) return [...out, ...wrap(`Not shown: ${d.notShown}`), ""].join("\n");
  out.push(`  caught by ${caughtBy(d)}`);
  if (d.needs !== undefined) out.push(`  comes with ${d.needs.join(", ")}`);
  out.push(
    "",
    `  deno run main.ts --scenario defect-${d.id}`,
    `  deno run main.ts --scenario ${d.scenario} --defect ${d.id}`,
    `  deno run main.ts --scenario ${d.scenario}    # without it: holds`,
    "",
  );
  return out.join("\n");
}

function named(id: string): Defect {
  const found = findDefect(id) ?? findDefect(id.toUpperCase());
  if (found !== undefined) return found;
  const ids = DEFECTS.map((d) => d.id);
  throw new UsageError(`there is no defect ${JSON.stringify(id)}${didYouMean(id, ids)}`);
}

/**
 * Every switch, once on and once off: what caught it, and when. `ok`: each one was caught, and each
 * scenario holds without it.
 */
export function runDefects(ids: readonly string[], seed: number): { text: string; ok: boolean } {
  const chosen = ids.length === 0 ? SWITCHES : ids.map(named).filter((d) => !d.notShown);
  const without = new Map<string, string>();
  let ok = true;
  const rows = [["id", "on", "caught by", "after", "off"]];
  for (const defect of chosen) {
    const run = prepare(defectScenario(`defect-${defect.id}`), seed);
    const { caught } = askRun(run, ({ judgement }) => judgement.findings[0]);
    if (!without.has(defect.scenario)) {
      const base = prepare(baseScenario(defect), seed);
      without.set(defect.scenario, askRun(base, ({ judgement }) => judgement.verdict));
    }
    const off = without.get(defect.scenario) ?? "";
    ok &&= caught !== undefined && off === "holds";
    rows.push([
      defect.id,
      caught === undefined ? "NOT CAUGHT" : "violated",
      caught?.by ?? "",
      caught === undefined ? "" : formatTime(caught.at),
      off,
    ]);
  }
  return { text: columns(rows) + `\n${chosen.length} defects, seed ${seed}\n`, ok };
}

function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((r) => r[c].length)));
  const line = (row: readonly string[]) =>
    row.map((cell, c) => cell.padEnd(widths[c])).join("  ").trimEnd();
  return rows.map(line).join("\n") + "\n";
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = " ";
  for (const word of text.split(/\s+/)) {
    if (line.length + word.length > 90) {
      lines.push(line);
      line = " ";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
