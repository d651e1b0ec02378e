import { findDefect, SWITCHES } from "../kernel/defects/catalogue.ts";
import type { Defect } from "../kernel/defects/types.ts";
import { imageProblem, imageWith } from "../kernel/image.ts";
import { BUILTIN } from "./builtin.ts";
import { didYouMean, UsageError } from "./errors.ts";
import { type LoadedScenario, loadScenario } from "./load.ts";
import type { Scenario } from "./schema.ts";

/** What a defect's own scenario is called: `defect-D55`. */
const PREFIX = "defect-";

export function isDefectScenario(name: string): boolean {
  return name.startsWith(PREFIX);
}

/**
 * The scenario of a defect: the steps of the one that shows it best, on a kernel that has it, and
 * the expectation that it is caught. A {@link UsageError} for a defect there is none of.
 */
export function defectScenario(name: string): LoadedScenario {
  const id = name.slice(PREFIX.length);
  const defect = findDefect(id);
  if (defect === undefined) {
    const ids = SWITCHES.map((d) => PREFIX + d.id);
    throw new UsageError(`there is no scenario ${JSON.stringify(name)}${didYouMean(name, ids)}`);
  }
  if (defect.notShown !== undefined) {
    throw new UsageError(`${id} has no scenario, it cannot show here: ${defect.notShown}`);
  }
  return withDefect(baseScenario(defect), defect, name);
}

/** The scenario a defect is shown in, on a kernel without it. */
export function baseScenario(defect: Defect): LoadedScenario {
  const text = BUILTIN.get(defect.scenario);
  if (text === undefined) throw new Error(`${defect.id}: no scenario ${defect.scenario}`);
  return loadScenario(text, `scenarios/${defect.scenario}.yaml`);
}

/** The scenario on kernels that have these defects besides: every one it names. */
export function addDefects(loaded: LoadedScenario, ids: readonly string[]): LoadedScenario {
  const { scenario } = loaded;
  const { image, next } = scenario.kernel;
  // A kernel that has none of the series' code has none of its faults either.
  const add = (name: string) => {
    const changed = imageWith(name, ids);
    return imageProblem(changed) === undefined ? changed : name;
  };
  const kernel = { ...scenario.kernel, image: add(image), ...(next && { next: add(next) }) };
  const args = loaded.args.map((a) =>
    typeof a.image === "string" ? { ...a, image: add(a.image) } : a
  );
  return { ...loaded, args, scenario: { ...scenario, kernel } };
}

function withDefect(base: LoadedScenario, defect: Defect, name: string): LoadedScenario {
  const loaded = addDefects(base, [defect.id]);
  const { scenario } = loaded;
  const answers = defect.invariants.length === 0;
  const changed: Scenario = {
    ...scenario,
    name: name.toLowerCase(),
    description: `${defect.id}, ${defect.title}. Seen: ${defect.seen} ` +
      `(The steps of ${scenario.name}, which holds without it.)`,
    expect: {
      invariants: [],
      violated: [],
      devices: {},
      caught: { by: [...defect.invariants] as Scenario["expect"]["violated"], answers },
    },
  };
  return { ...loaded, scenario: changed };
}
