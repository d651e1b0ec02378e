import type { InvariantId } from "../health/invariants.ts";
import { findImage, IMAGES } from "../kernel/image.ts";
import { loadScenario } from "./load.ts";
import { askRun, type FinishedRun, prepare } from "./run.ts";

/**
 * What becomes of a guest's DMA when one kernel jumps into another: it goes on; the other kernel is
 * refused when it is loaded; nothing had been promised; it is blocked; or, which must not be, it
 * reaches what it should not, or nobody says why it cannot go on.
 */
export type Passage =
  | "goes on"
  | "refused"
  | "not promised"
  | "blocked"
  | "unsafe"
  | "unexplained";

export interface VersionCell {
  readonly from: string;
  readonly to: string;
  readonly passage: Passage;
  /** Why it was refused, or what is broken. */
  readonly why: string;
}

/** Images of one matrix: every one there is, but for the one with all faults of the series. */
export const MATRIX_IMAGES: readonly string[] = IMAGES.map(({ name }) => name)
  .filter((name) => name !== "rfc-v1-posted");

/** What no passage may break, whatever else it loses. */
const UNSAFE: readonly InvariantId[] = [
  "no-stray-dma",
  "no-untranslated-dma",
  "quiet-unless-held",
  "tables-owned",
];

/** What an IOMMU driver says when it has no way to hand a domain over. */
const NOT_PROMISED = /^(?:arm-smmu-v3|AMD-Vi): [^ ]+: (.*\bhand(?:s|ed)\b.* over)$/;

/** A machine with one card, small enough to be updated by the dozen. */
const SCENARIO = `version: 1
name: version-cell
description: one cell of the version matrix
machine:
  profile: PROFILE
  memory: 64MiB
  guestmemfs: 8MiB
  kho_scratch: 8MiB
  devices: [{ id: nic0, model: nic, bdf: "3a:00.0", interval: 500us, packet: 256B }]
  vms: [{ id: vm0, memory: 4MiB, devices: [nic0], ring: 1024 }]
kernel: { image: FROM, next: TO }
steps:
  - { do: vm.start }
  - { do: run, with: { for: 5ms } }
  - { do: update, expect: { errno: any } }
  - { do: run, with: { for: 5ms } }
`;

/** Runs one passage. */
export function passage(profile: string, from: string, to: string): VersionCell {
  const text = SCENARIO.replace("PROFILE", profile).replace("FROM", from).replace("TO", to);
  const run = prepare(loadScenario(text, "version-cell"), 1);
  return askRun(run, (finished) => cellOf(finished, from, to));
}

function cellOf(run: FinishedRun, from: string, to: string): VersionCell {
  const broken = run.judgement.invariants.filter((i) => i.verdict === "violated").map((i) => i.id);
  const unsafe = broken.filter((id) => UNSAFE.includes(id));
  const cell = (passage: Passage, why = "") => ({ from, to, passage, why });
  if (unsafe.length > 0) return cell("unsafe", unsafe.join(", "));
  const update = run.platform.update;
  const log = run.platform.events.filter((e) => e.source === "kernel").map((e) => e.text);
  if (update?.outcome === "aborted") {
    const why = /jump: (.*)$/.exec(update.reason)?.[1] ?? "";
    const told = why !== "" && log.some((line) => line.endsWith(why));
    return told ? cell("refused", why) : cell("unexplained", update.reason);
  }
  const said = run.platform.events.find((e) => e.boot === 1 && /cannot persist/.test(e.text));
  if (said !== undefined) {
    // A kernel that knows of persistence has to say itself why there is none.
    const first = run.platform.events.filter((e) => e.source === "kernel" && e.boot === 1);
    const why = first.map((e) =>
      NOT_PROMISED.exec(e.text)?.[1]
    ).find((text) => text !== undefined) ??
      (findImage(from)?.handover === "none" ? "it has no persistent iommufds" : "");
    return why === "" ? cell("unexplained", said.text) : cell("not promised", why);
  }
  return broken.length > 0 ? cell("blocked", broken.join(", ")) : cell("goes on");
}

/** Every image into every other. `seen`: after each cell, for whoever waits. */
export function versionMatrix(
  profile: string,
  images = MATRIX_IMAGES,
  seen: (done: number, of: number) => void = () => {},
): VersionCell[] {
  const pairs = images.flatMap((from) => images.map((to) => [from, to] as const));
  return pairs.map(([from, to], i) => {
    const cell = passage(profile, from, to);
    seen(i + 1, pairs.length);
    return cell;
  });
}

/** The matrix in Markdown, with the reasons as notes. */
export function matrixMarkdown(cells: readonly VersionCell[]): string {
  const images = [...new Set(cells.map((c) => c.from))], tos = [...new Set(cells.map((c) => c.to))];
  const notes: string[] = [];
  const text = ({ passage, why }: VersionCell) => {
    if (why === "") return passage;
    if (!notes.includes(why)) notes.push(why);
    return `${passage} (${notes.indexOf(why) + 1})`;
  };
  const rows = images.map((from) => {
    const row = tos.map((to) => {
      const cell = cells.find((c) => c.from === from && c.to === to);
      return cell === undefined ? "" : text(cell);
    });
    return `| ${from} | ${row.join(" | ")} |`;
  });
  return [
    `| from \\ to | ${tos.join(" | ")} |`,
    `| --- |${" --- |".repeat(tos.length)}`,
    ...rows,
    "",
    ...notes.map((note, i) => `${i + 1}. ${note}`),
  ].join("\n") + "\n";
}
