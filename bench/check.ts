import type { Report } from "./report.ts";

/** How much worse a ratio may get before somebody is told. */
const TOLERATED = 4 / 3;

/** What got worse by more than a third against a stored run, a line each. Times are not compared. */
export function worsened(now: Report, stored: Report): string[] {
  return now.pairs.flatMap(({ name, ratio }) => {
    const before = stored.pairs.find((p) => p.name === name);
    if (before === undefined || ratio.median <= before.ratio.median * TOLERATED) return [];
    const [was, is] = [before.ratio.median.toFixed(2), ratio.median.toFixed(2)];
    return [`${name}: ${is} times the reference, was ${was}`];
  });
}
