/** The dashboard by hand: `deno run tests/dashboard/run_demo.ts [image]`. Needs no permission. */

import { runDashboard } from "../../src/dashboard/mod.ts";
import { demoSession } from "./platforms.ts";

if (import.meta.main) {
  const [image = "rfc-v1"] = Deno.args;
  Deno.exit(await runDashboard(demoSession(image)));
}
