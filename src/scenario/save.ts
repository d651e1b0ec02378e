import { answer, type StepResult, type Timeline } from "../operations/timeline.ts";
import { durationText } from "../operations/values.ts";
import { snapshot } from "../platform/snapshot.ts";
import type { Run } from "./run.ts";
import { yamlText } from "./yaml.ts";

/**
 * A run so far as a scenario: run again, it comes to the same moment and the same event hash, which
 * it expects, as it expects every answer and every verdict that were seen. `name`: as scenarios are
 * named. The run is brought to the end of its nanosecond.
 */
export function saveText(run: Run, name: string): string {
  const { loaded, timeline, seed, platform } = run;
  timeline.settle();
  const { hash, invariants } = snapshot(platform);
  const ids = (verdict: string) => invariants.filter((i) => i.verdict === verdict).map((i) => i.id);
  const { machine } = loaded.raw;
  const { cmdline } = loaded.scenario.kernel;
  const head = {
    version: 1,
    name,
    description: `What was done by hand on ${loaded.scenario.name}, seed ${seed}, up to ` +
      `${durationText(timeline.now)}.`,
    ...(machine === undefined ? {} : { machine }),
    kernel: {
      image: platform.spec.kernel,
      next: run.image,
      ...(cmdline === "" ? {} : { cmdline }),
    },
    seed,
  };
  const tail = {
    until: durationText(timeline.now),
    expect: { invariants: ids("holds"), violated: ids("violated"), hash },
  };
  const steps = lines(timeline, run.steps);
  const list = steps.length === 0 ? "steps: []\n" : "steps:\n" + steps.join("");
  return yamlText(head, 3) + list + yamlText(tail, 2);
}

/** Each step on a line; what lies ahead is left out, and what a failure has kept from beginning. */
function lines({ plan, failed }: Timeline, results: readonly StepResult[]): string[] {
  return plan.flatMap((action) => {
    const result = results.find((r) => r.action === action);
    if (result === undefined && (failed || action.at !== undefined)) return [];
    const got = result?.outcome === undefined ? "any" : answer(result.outcome);
    const step = {
      ...(action.at === undefined ? {} : { at: durationText(action.at) }),
      ...(action.id === undefined ? {} : { id: action.id }),
      do: action.do,
      ...(Object.keys(action.with).length === 0 ? {} : { with: action.with }),
      ...(got === "0" ? {} : { expect: { errno: got } }),
    };
    return `  - ${yamlText(step, 0)}`;
  });
}
