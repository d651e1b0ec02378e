import { BenchError } from "./contender.ts";
import type { Report } from "./report.ts";

/** How much worse a ratio may get before somebody is told. */
const TOLERATED = 4 / 3;

/**
 * What got worse by more than a third against a stored run, a line each. Only ratios count, of what is
 * in both runs: times depend on the machine.
 */
export function worsened(now: Report, stored: Report): string[] {
  const before = new Map([...stored.pairs, ...stored.runs].map((r) => [r.name, r.ratio.median]));
  return [...now.pairs, ...now.runs].flatMap(({ name, ratio }) => {
    const was = before.get(name);
    if (was === undefined || ratio.median <= was * TOLERATED) return [];
    return [`${name}: ${ratio.median.toFixed(2)} times the reference, was ${was.toFixed(2)}`];
  });
}

/** A stored run. Throws BenchError where the text is none. */
export function storedRun(text: string): Report {
  let report: Partial<Report> | null;
  try {
    report = JSON.parse(text);
  } catch (error) {
    throw new BenchError((error as Error).message);
  }
  const { version, pairs, runs } = report ?? {};
  if (version !== 1 || !Array.isArray(pairs) || !Array.isArray(runs)) {
    throw new BenchError("no run that --report json has stored");
  }
  return { version, pairs, runs };
}
