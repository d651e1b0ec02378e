import { second } from "../base/units.ts";
import type { Outcome, Session } from "../operations/types.ts";
import { OPERATIONS } from "../operations/table.ts";
import type { Script } from "../platform/director.ts";
import { Platform } from "../platform/platform.ts";
import { errnoName } from "../uapi/errno.ts";
import { judge, type Judgement } from "./judge.ts";
import type { LoadedScenario } from "./load.ts";
import { platformSpec } from "./platform_of.ts";

/** Virtual time after which a step that still waits is given up: nothing here takes that long. */
const STEP_LIMIT = 20 * second;

/** How one step went. */
export interface StepResult {
  readonly index: number;
  readonly name: string;
  readonly startedAt: number;
  endedAt: number;
  /** undefined: it never answered. */
  outcome: Outcome | undefined;
  /** What was expected of it, and whether it was so. */
  readonly expected: string;
  ok: boolean;
}

/** A scenario on its way: the platform, and the steps done so far. */
export interface Run {
  readonly loaded: LoadedScenario;
  readonly seed: number;
  readonly image: string;
  readonly platform: Platform;
  readonly steps: StepResult[];
}

export interface FinishedRun extends Run {
  readonly judgement: Judgement;
}

/** Makes the platform of a scenario. `image`: another kernel than the scenario's. */
export function prepare(loaded: LoadedScenario, seed: number, image?: string): Run {
  const { scenario } = loaded;
  const platform = new Platform(platformSpec(scenario, seed, image));
  const next = image ?? scenario.kernel.next ?? scenario.kernel.image;
  return { loaded, seed, image: next, platform, steps: [] };
}

/** The steps as a script, up to (not including) step `end`. */
export function* steps(run: Run, end = Infinity): Script {
  const { loaded, platform } = run;
  const session: Session = { platform, image: run.image, descriptors: new Map() };
  yield () => platform.settled;
  for (const [index, step] of loaded.scenario.steps.entries()) {
    if (index >= end) return;
    const operation = OPERATIONS.get(step.do);
    if (operation === undefined) return;
    const expected = step.expect?.errno ?? "0";
    const result: StepResult = {
      index,
      name: step.id ?? step.do,
      startedAt: platform.now,
      endedAt: -1,
      outcome: undefined,
      expected,
      ok: false,
    };
    run.steps.push(result);
    platform.note(`step ${index + 1}: ${step.do}`);
    const outcome = yield* operation.run(session, loaded.args[index]);
    result.outcome = outcome;
    result.endedAt = platform.now;
    const got = outcome.errno === 0 ? "0" : errnoName(outcome.errno);
    result.ok = expected === "any" || got === expected;
    platform.health.check(platform.kernel);
    // A step that went otherwise than expected leaves nothing to build the next one on.
    if (!result.ok) return;
  }
}

/** Index of the first step that begins a live update: where a dashboard hands over to a person. */
export function firstUpdate(loaded: LoadedScenario): number {
  const at = loaded.scenario.steps.findIndex((s) => s.do === "update" || s.do === "kho.activate");
  return at < 0 ? Infinity : at;
}

/** Runs a scenario to its end and judges it. */
export function runScenario(run: Run): FinishedRun {
  const { platform } = run;
  const ended = platform.run(steps(run));
  while (!ended()) {
    const current = run.steps[run.steps.length - 1];
    if (platform.now - (current?.startedAt ?? 0) > STEP_LIMIT) break;
    if (!platform.machine.queue.step()) break;
  }
  platform.judge();
  return { ...run, judgement: judge(run) };
}
