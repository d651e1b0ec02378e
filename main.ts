#!/usr/bin/env -S deno run --no-prompt
import { main } from "./src/cli.ts";

Deno.exit(await main(Deno.args));
