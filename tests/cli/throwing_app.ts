import { Timeline } from "../../src/operations/timeline.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { prepare } from "../../src/scenario/run.ts";
import { runDashboard } from "../../src/dashboard/dashboard.ts";

/** The dashboard over a platform that breaks while it is on screen. */
const run = prepare(loadScenario(BUILTIN.get("tour") ?? "", "tour"), 1, undefined, 1);
const { timeline, image } = run;
timeline.runFor = (ns) => {
  Timeline.prototype.runFor.call(timeline, ns);
  if (timeline.now > 700e6) throw new Error("broken on purpose");
};
Deno.exit(await runDashboard({ timeline, title: "tour", image }, {}));
