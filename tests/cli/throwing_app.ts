import { Timeline } from "../../src/operations/timeline.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { prepare } from "../../src/scenario/run.ts";
import { runDashboard } from "../../src/dashboard/dashboard.ts";
import { eventsPane } from "../../src/dashboard/panes/events.ts";

/** The dashboard over a platform that breaks while it is on screen; `pane`: a pane breaks instead. */
const run = prepare(loadScenario(BUILTIN.get("tour") ?? "", "tour"), 1, undefined, 1);
const { timeline, image } = run;
const broken = () => {
  if (timeline.now > 700e6) throw new Error("broken on purpose");
};
if (Deno.args[0] === "pane") {
  const draw = eventsPane.draw.bind(eventsPane);
  Object.assign(eventsPane, {
    draw: (...args: Parameters<typeof draw>) => {
      broken();
      return draw(...args);
    },
  });
} else {
  timeline.runFor = (ns) => {
    Timeline.prototype.runFor.call(timeline, ns);
    broken();
  };
}
Deno.exit(await runDashboard({ timeline, title: "tour", image }, {}));
