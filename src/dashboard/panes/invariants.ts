import { hex } from "../../base/units.ts";
import type { InvariantState } from "../../health/health.ts";
import { INVARIANTS, PREMISES } from "../../health/invariants.ts";
import { type Glyphs, type Line, list, type Role, wrap } from "../../tui/mod.ts";
import { filterOf } from "../filter.ts";
import type { Model, Scene } from "../model.ts";
import { seconds, violatedCount } from "../words.ts";
import { chosenIndex, type Pane } from "./pane.ts";

type Verdict = InvariantState["verdict"];

const ROLE: Readonly<Record<Verdict, Role>> = {
  violated: "bad",
  holds: "good",
  "not exercised": "dim",
};
const ORDER: readonly Verdict[] = ["violated", "holds", "not exercised"];

/** The invariants that the filter lets through, violated ones first. */
function inOrder(s: Scene, model: Model): readonly InvariantState[] {
  const filter = model.filters.invariants;
  const all = ORDER.flatMap((verdict) => s.invariants.filter((i) => i.verdict === verdict));
  if (filter === "") return all;
  const wanted = filterOf(filter);
  return all.filter((i) => wanted(`${i.verdict} ${i.id} ${i.title}`));
}

/** The one that is chosen. */
export function chosenInvariant(model: Model, s: Scene): InvariantState | undefined {
  const all = inOrder(s, model);
  return all[chosenIndex(all.map((i) => i.id), model.chosen.invariants)];
}

export const invariantsPane: Pane = {
  id: "invariants",
  title: "Invariants",
  filters: true,
  count(s) {
    const bad = violatedCount(s);
    return bad > 0 ? `${bad} VIOLATED` : `of ${s.invariants.length} none violated`;
  },
  note: () => "Enter explains",
  rows: (s, model) => inOrder(s, model).map((i) => i.id),
  rowText: (s, model) => invariantText(chosenInvariant(model, s)).join("\n"),
  draw(region, s, model) {
    const all = inOrder(s, model);
    const chosen = chosenIndex(all.map((i) => i.id), model.chosen.invariants);
    const blocks = all.map((i) => blockOf(i, region.glyphs, region.w));
    const lines = blocks.flat();
    const before = blocks.slice(0, Math.max(0, chosen)).reduce((sum, b) => sum + b.length, 0);
    const shown = list(region, {
      count: lines.length,
      line: (i) => lines[i]!,
      offset: model.scroll.invariants.top,
      left: model.scroll.invariants.left,
      selected: chosen < 0 ? -1 : before,
      focused: model.focus === "invariants",
    });
    return { ...shown, total: lines.length };
  },
};

/** Each with where and when it was first seen broken, or what it still wants to have seen. */
function blockOf(i: InvariantState, glyphs: Glyphs, width: number): Line[] {
  const [done, , waiting, failed] = glyphs.phase;
  const mark = { violated: failed, holds: done, "not exercised": waiting };
  const word = i.verdict === "not exercised" ? "unseen" : i.verdict;
  const style = ROLE[i.verdict];
  const name = i.verdict === "holds" ? "text" : style;
  const unseen = i.verdict === "not exercised";
  const wants = unseen && width >= 44 + i.id.length ? `  wants: ${i.premise}` : "";
  // What it says, where there is room for a sentence.
  const says = width < SENTENCE ? "" : `  ${i.title}`;
  return [
    [
      { text: ` ${mark[i.verdict]} ${word.padEnd(9)}`, style },
      { text: width < SENTENCE ? i.id : i.id.padEnd(NAME), style: name },
      { text: says + wants, style: "dim" },
    ],
    ...i.violations.flatMap((v) => violationLines(v, width)),
  ];
}

const INDENT = "   ";
/** The longest name, and the width from which on invariants are spelled out beside it. */
const NAME = 19, SENTENCE = 100;

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

/** Everything about one invariant: what it says, what it wants to have seen, how it was broken. */
export function invariantText(i: InvariantState | undefined): string[] {
  if (i === undefined) return [];
  const source = INVARIANTS.find((x) => x.id === i.id)?.source ?? "";
  return [
    `${i.id}: ${i.verdict}`,
    "",
    `${i.title}.`,
    "",
    `It says something once ${PREMISES[i.premise]} (${i.premise}).`,
    `Source: ${source}.`,
    ...i.violations.flatMap((v) => [
      "",
      `${v.subject}${v.address === undefined ? "" : ` at ${hex(v.address)}`}, first at ` +
      `${seconds(v.time)}${v.count > 1 ? `, ${v.count} times` : ""}:`,
      `  ${v.detail}`,
    ]),
  ];
}
