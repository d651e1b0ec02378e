#!/usr/bin/env -S deno run --no-prompt
import { main } from "./src/cli.ts";

const status = await main(Deno.args);
// Not at once: Deno keeps what V8 made of the modules, for the next time, after they have been run.
setTimeout(() => Deno.exit(status));
