/** `deno task docs`: writes what is made from the tables of commands and flags. */

import { commandLine } from "../src/cli.ts";
import { manPage } from "../src/cli/man.ts";
import { keysMarkdown } from "../src/dashboard/docs.ts";

/** Each file, as it ought to be. */
export function generated(): ReadonlyMap<string, string> {
  return new Map([
    ["docs/keys.md", keysMarkdown()],
    ["docs/hitless.1", manPage(commandLine(() => {}))],
  ]);
}

if (import.meta.main) {
  for (const [path, text] of generated()) {
    await Deno.writeTextFile(new URL(`../${path}`, import.meta.url), text);
  }
}
