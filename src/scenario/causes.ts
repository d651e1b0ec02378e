import type { InvariantState } from "../health/health.ts";
import type { Violation } from "../health/invariants.ts";
import { SWITCHES } from "../kernel/defects/catalogue.ts";
import { findImage, parseImageName } from "../kernel/image.ts";
import { prepare, type Run, runScenario } from "./run.ts";
import type { Scenario } from "./schema.ts";

/** The image a posted one is a worse form of. */
const COMPLETED: Readonly<Record<string, string>> = { "rfc-v1-posted": "rfc-v1" };

/** Defects by violation, as `invariant subject`. */
export type Causes = ReadonlyMap<string, readonly string[]>;

/** A kernel is a subject too, and goes by another name in each run. */
export function causeKey({ invariant, subject, detail }: Violation): string {
  if (invariant === "no-splat") return `${invariant} ${detail}`;
  return `${invariant} ${findImage(subject) === undefined ? subject : "kernel"}`;
}

/**
 * Which defect breaks what, by experiment: the run is repeated on a kernel with each one alone, and
 * where that breaks the same invariant at the same subject, the defect is a cause. A kernel with one
 * defect needs no experiment. Defects whose catalogue entry does not name any of the invariants that
 * broke are not tried.
 */
export function findCauses(run: Run, states: readonly InvariantState[]): Causes {
  const broken = states.flatMap((s) => s.violations).map(causeKey);
  const names = imagesOf(run);
  const present = SWITCHES.filter((d) => names.some((n) => findImage(n)?.defects.has(d.id)));
  const causes = new Map<string, string[]>(broken.map((key) => [key, []]));
  if (broken.length === 0 || present.length === 0) return causes;
  if (present.length === 1) {
    for (const key of broken) causes.get(key)?.push(present[0].id);
    return causes;
  }
  const ids = new Set(states.filter((s) => s.violations.length > 0).map((s) => s.id as string));
  for (const defect of present) {
    if (!defect.invariants.some((id) => ids.has(id))) continue;
    const alone = runScenario(prepare(onlyWith(run, defect.id), run.seed));
    const found = new Set(
      alone.judgement.invariants.flatMap((s) => s.violations).map((v) => causeKey(v)),
    );
    for (const key of broken) if (found.has(key)) causes.get(key)?.push(defect.id);
  }
  return causes;
}

/** Every image the run names: of its first boot, of its updates, of its steps. */
function imagesOf({ loaded, platform, image }: Run): string[] {
  const steps = loaded.args.map((a) => a.image).filter((i) => typeof i === "string");
  return [...new Set([platform.spec.kernel, image, ...steps as string[]])];
}

/** The same scenario on kernels that have this defect and no other. */
function onlyWith(run: Run, id: string): Run["loaded"] {
  const { loaded, platform, image } = run;
  const alone = (name: string) => {
    const base = parseImageName(name)?.base ?? name;
    const completed = COMPLETED[base] ?? base;
    return findImage(name)?.defects.has(id) ? `${completed}+${id}` : completed;
  };
  const { expect, kernel } = loaded.scenario;
  const scenario: Scenario = {
    ...loaded.scenario,
    kernel: { ...kernel, image: alone(platform.spec.kernel), next: alone(image) },
    // Whatever a step answers, the run goes on: it is the invariants that are compared.
    expect: { ...expect, caught: expect.caught ?? { by: [], answers: false } },
  };
  const args = loaded.args.map((a) =>
    typeof a.image === "string" ? { ...a, image: alone(a.image) } : a
  );
  return { ...loaded, scenario, args };
}
