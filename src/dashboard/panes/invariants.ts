import { hex } from "../../base/units.ts";
import type { InvariantState } from "../../health/health.ts";
import type { Snapshot } from "../../platform/snapshot.ts";
import { type Glyphs, type Line, list, type Role, wrap } from "../../tui/mod.ts";
import { seconds, violatedCount } from "../words.ts";
import type { Pane } from "./pane.ts";

type Verdict = InvariantState["verdict"];

const ROLE: Readonly<Record<Verdict, Role>> = {
  violated: "bad",
  holds: "good",
  "not exercised": "dim",
};
const ORDER: readonly Verdict[] = ["violated", "holds", "not exercised"];

export const invariantsPane: Pane = {
  id: "invariants",
  title: "Invariants",
  count(s) {
    const bad = violatedCount(s);
    return bad > 0 ? `${bad} VIOLATED` : `of ${s.invariants.length} none violated`;
  },
  draw(region, s, model) {
    const lines = invariantLines(s, region.glyphs, region.w);
    const { top, left } = model.scroll.invariants;
    const shown = list(region, {
      count: lines.length,
      line: (i) => lines[i]!,
      offset: top,
      left,
    });
    return { ...shown, total: lines.length };
  },
};

/** Violated ones first, each with where and when it was first seen. */
function invariantLines(s: Snapshot, glyphs: Glyphs, width: number): Line[] {
  const [done, , waiting, failed] = glyphs.phase;
  const mark = { violated: failed, holds: done, "not exercised": waiting };
  return ORDER.flatMap((verdict) =>
    s.invariants.filter((i) => i.verdict === verdict).flatMap((i): Line[] => {
      const word = verdict === "not exercised" ? "unseen" : verdict;
      const style = ROLE[verdict];
      const name = verdict === "holds" ? "text" : style;
      return [
        [{ text: ` ${mark[verdict]} ${word.padEnd(9)}`, style }, { text: i.id, style: name }],
        ...i.violations.flatMap((v) => violationLines(v, width)),
      ];
    })
  );
}

const INDENT = "   ";

function violationLines(v: InvariantState["violations"][number], width: number): Line[] {
  const where = v.address === undefined ? v.subject : `${v.subject} at ${hex(v.address)}`;
  const times = v.count > 1 ? `, ${v.count} times` : "";
  // One column is left for the scrollbar.
  const detail = wrap(v.detail, Math.max(8, width - 2 * INDENT.length - 1));
  return [
    { text: `${INDENT}${where}, ${seconds(v.time)}${times}`, style: "warn" },
    ...detail.map((line): Line => ({ text: INDENT + INDENT + line, style: "text" })),
  ];
}
