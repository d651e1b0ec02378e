import { ms, second } from "../base/units.ts";
import { type Action, type StepResult, Timeline } from "../operations/timeline.ts";
import { Platform } from "../platform/platform.ts";
import { judge, type Judgement } from "./judge.ts";
import type { Causes } from "./causes.ts";
import type { LoadedScenario } from "./load.ts";
import { platformSpec } from "./platform_of.ts";

/** Virtual time after which a step that still waits is given up: nothing here takes that long. */
const STEP_LIMIT = 20 * second;

/** Virtual time between two looks at whether a step has failed. */
const SLICE = 1 * ms;

/** A scenario on its way: the platform, and the steps done so far. */
export interface Run {
  readonly loaded: LoadedScenario;
  readonly seed: number;
  readonly image: string;
  readonly timeline: Timeline;
  readonly platform: Platform;
  readonly steps: readonly StepResult[];
}

export interface FinishedRun extends Run {
  readonly judgement: Judgement;
  /** Which defects broke what, where somebody found out. */
  readonly causes?: Causes;
}

/**
 * Makes the platform of a scenario and lines up its steps before `end`. Nothing has run yet.
 * `image`: another kernel than the scenario's, for the first boot and all later ones.
 */
export function prepare(
  loaded: LoadedScenario,
  seed = loaded.scenario.seed,
  image?: string,
  end = Infinity,
): Run {
  const { scenario } = loaded;
  const spec = platformSpec(scenario, seed, image);
  const next = image ?? scenario.kernel.next ?? scenario.kernel.image;
  const timeline = new Timeline(() => new Platform(spec), next, plan(loaded, end), {
    // Things going wrong may be what the run is for.
    carryOn: scenario.expect.caught !== undefined,
  });
  const { platform, results: steps } = timeline;
  return { loaded, seed, image: next, timeline, platform, steps };
}

/** The first steps of a scenario as actions. */
function plan({ scenario, args }: LoadedScenario, end: number): Action[] {
  return scenario.steps.slice(0, end).map((step, i) => ({
    do: step.do,
    with: step.with,
    args: args[i],
    expected: step.expect?.errno ?? "0",
    ...(step.id === undefined ? {} : { id: step.id }),
    ...(step.at === undefined ? {} : { at: step.at }),
  }));
}

/** Index of the first step that begins a live update: where a dashboard hands over to a person. */
export function firstUpdate(loaded: LoadedScenario): number {
  const at = loaded.scenario.steps.findIndex((s) => s.do === "update" || s.do === "kho.activate");
  return at < 0 ? Infinity : at;
}

/**
 * Runs a scenario to its end and judges it; or to the moment it is to stop at, and judges what has
 * been seen by then: in the middle of things there is no last word.
 */
export function runScenario(run: Run): FinishedRun {
  const { platform, timeline } = run;
  const { until } = run.loaded.scenario;
  if (until === undefined) {
    runToEnd(run);
    platform.judge();
  } else {
    // Something may have been done before any time has passed.
    do timeline.runTo(Math.min(until, timeline.now + SLICE)); while (
      !timeline.failed && timeline.now < until
    );
  }
  return { ...run, judgement: judge(run) };
}

/** Runs a scenario for the sake of one answer: nothing of its platform is left after that. */
export function askRun<T>(run: Run, question: (run: FinishedRun) => T): T {
  try {
    return question(runScenario(run));
  } finally {
    run.platform.dispose();
  }
}

function runToEnd({ platform, timeline, steps }: Run): void {
  while (!timeline.ended) {
    const since = platform.now - (steps[steps.length - 1]?.startedAt ?? 0);
    if (since > STEP_LIMIT && (timeline.busy || timeline.nextAt === Infinity)) return;
    if (!timeline.step()) return;
  }
}
