import assert from "node:assert/strict";
import { exec, has, ROOT } from "./helpers.ts";
import { TmuxScreen } from "./tmux.ts";

/**
 * The two forms of one file: what they are built with and how they run elsewhere. Built in a copy of
 * the tree's dist folder, run from an empty folder.
 */

const task = (name: string) => exec(Deno.execPath(), ["task", name]);

Deno.test("the bundle runs from another folder, with no permission", async (t) => {
  const built = await task("bundle");
  assert.equal(built.code, 0, built.err);
  const away = await Deno.makeTempDir();
  const file = `${ROOT}/dist/hitless.js`;

  await t.step("it is one executable file with a first line of its own", () => {
    assert.match(Deno.readTextFileSync(file), /^#!\/usr\/bin\/env -S deno run --no-prompt\n/);
    assert.equal((Deno.statSync(file).mode ?? 0) & 0o111, 0o111);
  });

  await t.step("it plays persisted-iommufd", async () => {
    const args = ["run", "--no-prompt", file, "--scenario", "persisted-iommufd"];
    const { code, out, err } = await exec(Deno.execPath(), args, { cwd: away });
    assert.equal(code, 0, err);
    assert.match(out, /verdict holds\n$/);
  });

  await t.step("it draws the dashboard", async () => {
    if (!await has("tmux")) return;
    await using screen = await TmuxScreen.open(
      [Deno.execPath(), "run", "--no-prompt", file],
      { cwd: away },
    );
    await screen.shows(/Live update/);
    await screen.keys("q");
    await screen.ended();
  });
  await Deno.remove(away, { recursive: true });
});

Deno.test("the binary runs where there is neither Deno nor Node", async (t) => {
  const built = await task("binary");
  assert.equal(built.code, 0, built.err);
  const file = `${ROOT}/dist/hitless`;
  const away = await Deno.makeTempDir();
  const env = { PATH: "/nowhere", HOME: away, TERM: "xterm-256color" };

  await t.step("it plays persisted-iommufd and hands the exit status through", async () => {
    const play = (...args: string[]) => exec(file, args, { cwd: away, env, clearEnv: true });
    const good = await play("--scenario", "persisted-iommufd");
    assert.equal(good.code, 0, good.err);
    assert.match(good.out, /verdict holds\n$/);
    const bad = await play("--scenario", "persisted-iommufd", "--kernel", "mainline");
    assert.equal(bad.code, 1);
    assert.equal((await play("--bogus")).code, 2);
  });

  await t.step("it draws the dashboard, and SIGTERM reaches the program itself", async () => {
    if (!await has("tmux")) return;
    const vars = Object.entries(env).map(([k, v]) => `${k}=${v}`);
    await using screen = await TmuxScreen.open(["/usr/bin/env", "-i", ...vars, file], {
      cwd: away,
    });
    await screen.shows(/Live update/);
    await screen.terminate();
    await screen.ended();
    assert.equal(await screen.state(), screen.before);
  });
  await Deno.remove(away, { recursive: true });
});
