import type { InvariantState } from "../health/health.ts";
import type { Violation } from "../health/invariants.ts";
import { findDefect, SWITCHES } from "../kernel/defects/catalogue.ts";
import { findImage, parseImageName } from "../kernel/image.ts";
import { askRun, prepare, type Run } from "./run.ts";
import type { Scenario } from "./schema.ts";

/** The image a posted one is a worse form of. */
const COMPLETED: Readonly<Record<string, string>> = { "rfc-v1-posted": "rfc-v1" };

/** Defects by violation. `D55` does it alone, `+D16` only together with the others that have a plus. */
export type Causes = ReadonlyMap<string, readonly string[]>;

/** A kernel is a subject too, and goes by another name in each run; its splats tell each other apart. */
export function causeKey({ invariant, subject, detail }: Violation): string {
  if (findImage(subject) === undefined) return `${invariant} ${subject}`;
  return invariant === "no-splat" ? `no-splat ${detail}` : `${invariant} kernel`;
}

const keysOf = (states: readonly InvariantState[]) =>
  new Set(states.flatMap((s) => s.violations).map(causeKey));

/**
 * Which defect breaks what, by experiment: the run is repeated on a kernel with each one alone, and
 * where that breaks the same invariant at the same subject, the defect is a cause. Where none does so
 * alone, each is taken away from the whole: those without which it does not break do it together.
 * A kernel with one defect needs no experiment.
 */
export function findCauses(run: Run, states: readonly InvariantState[]): Causes {
  const broken = keysOf(states);
  const names = imagesOf(run);
  const present = SWITCHES.filter((d) => names.some((n) => findImage(n)?.defects.has(d.id)))
    .map((d) => d.id);
  const causes = new Map<string, string[]>([...broken].map((key) => [key, []]));
  if (broken.size === 0 || present.length === 0) return causes;
  if (present.length === 1) {
    for (const key of broken) causes.get(key)?.push(present[0]);
    return causes;
  }
  const breaks = (image: (name: string) => string) =>
    askRun(prepare(onImages(run, image), run.seed), (r) => keysOf(r.judgement.invariants));
  for (const id of present) {
    const found = breaks((name) => alone(name, id));
    for (const key of broken) if (found.has(key)) causes.get(key)?.push(id);
  }
  // One that comes with others is no cause where one of those does it.
  for (const [key, ids] of causes) {
    causes.set(key, ids.filter((id) => !findDefect(id)?.needs?.some((n) => ids.includes(n))));
  }
  const open = [...broken].filter((key) => causes.get(key)?.length === 0);
  for (const id of open.length === 0 ? [] : present) {
    const found = breaks((name) => without(name, id));
    for (const key of open) if (!found.has(key)) causes.get(key)?.push(`+${id}`);
  }
  return causes;
}

/** The image of a name with this defect and no other. */
function alone(name: string, id: string): string {
  const base = parseImageName(name)?.base ?? name;
  const completed = COMPLETED[base] ?? base;
  return findImage(name)?.defects.has(id) ? `${completed}+${id}` : completed;
}

/** The image of a name with all its defects but this one. */
function without(name: string, id: string): string {
  const parsed = parseImageName(name);
  if (parsed === undefined || !findImage(name)?.defects.has(id)) return name;
  return parsed.added.includes(id) ? name.replace(`+${id}`, "") : `${name}-${id}`;
}

/** Every image the run names: of its first boot, of its updates, of its steps. */
function imagesOf({ loaded, platform, image }: Run): string[] {
  const steps = loaded.args.map((a) => a.image).filter((i) => typeof i === "string");
  return [...new Set([platform.spec.kernel, image, ...steps as string[]])];
}

/** The same scenario on other kernels; whatever a step answers, the run goes on. */
function onImages(run: Run, other: (name: string) => string): Run["loaded"] {
  const { loaded, platform, image } = run;
  const { expect, kernel } = loaded.scenario;
  const scenario: Scenario = {
    ...loaded.scenario,
    kernel: { ...kernel, image: other(platform.spec.kernel), next: other(image) },
    expect: { ...expect, caught: expect.caught ?? { by: [], answers: false } },
  };
  const args = loaded.args.map((a) =>
    typeof a.image === "string" ? { ...a, image: other(a.image) } : a
  );
  return { ...loaded, scenario, args };
}
