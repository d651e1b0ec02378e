/** What is made from tables is as the tables are now. */

import assert from "node:assert/strict";
import { generated } from "../.ci/docs.ts";
import { exec, has } from "./cli/helpers.ts";

for (const [path, text] of generated()) {
  Deno.test(`${path} is current (deno task docs writes it)`, () => {
    const there = Deno.readTextFileSync(new URL(`../${path}`, import.meta.url));
    assert.ok(there === text, `${path} is out of date: run deno task docs`);
  });
}

const man = await has("man");

Deno.test({
  name: "the manual page is one that man can set",
  ignore: !man,
  async fn() {
    const { code, out, err } = await exec("man", ["-l", "--warnings", "docs/hitless.1"], {
      env: { LC_ALL: "C.UTF-8", MANWIDTH: "80" },
    });
    assert.equal(code, 0, err);
    assert.equal(err, "");
    assert.match(out, /--record <file>[^]*vm\.kill vm=VM[^]*EXIT STATUS/);
  },
});
