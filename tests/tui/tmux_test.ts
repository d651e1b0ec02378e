/** The demo app in a real terminal: whatever ends it, the terminal is as it was before. */

import assert from "node:assert/strict";

const DEMO = new URL("./demo_app.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
let folder = "";

async function tmux(...args: string[]): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command("tmux", {
    args: ["-S", `${folder}/socket`, "-f", "/dev/null", ...args],
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`tmux ${args.join(" ")}: ${text.decode(stderr)}`);
  return text.decode(stdout);
}

async function hasTmux(): Promise<boolean> {
  try {
    return (await new Deno.Command("tmux", { args: ["-V"] }).output()).success;
  } catch {
    return false;
  }
}

/** Waits until the screen (or a state) matches; fails with what was seen last. */
async function until(look: () => Promise<string>, wanted: RegExp, what: string): Promise<string> {
  let seen = "";
  for (let n = 0; n < 300; n++) {
    seen = await look();
    if (wanted.test(seen)) return seen;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return assert.fail(`${what}: waited for ${wanted}, last seen:\n${seen}`);
}

const pane = () => tmux("capture-pane", "-p");
const modes = () => tmux("display", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag}");
const type = (...keys: string[]) => tmux("send-keys", ...keys);

let serial = 0;

/** Runs a shell command to its end and returns what it printed. */
async function shell(command: string): Promise<string> {
  const mark = `done-${++serial}`;
  await type("-l", `clear; ${command}; echo ${mark.replace("-", "-''")}`);
  await type("Enter");
  return (await until(pane, new RegExp(`^${mark}`, "m"), command)).split(mark)[0]!;
}

Deno.test({
  name: "the demo app gives a real terminal back, however it ends",
  ignore: !(await hasTmux()),
  async fn(t) {
    folder = await Deno.makeTempDir();
    const deno = Deno.execPath();
    const start = `'${deno}' run --no-prompt --no-check --config '${CONFIG}' '${DEMO}'`;
    await tmux("new-session", "-d", "-x", "80", "-y", "24", "env PS1='$ ' sh");
    try {
      await until(pane, /^\$/m, "the shell");
      const before = await shell("stty -a");
      assert.match(before, /icanon/);

      /** Starts the app, ends it by `end`, and checks the terminal and the exit status. */
      const run = async (
        name: string,
        code: number,
        end: () => Promise<unknown>,
        text?: RegExp,
      ) => {
        await t.step(name, async () => {
          await type("-l", `clear; ${start}; echo "status-"$?`);
          await type("Enter");
          await until(pane, /1 Devices/, `${name}: start`);
          assert.equal((await modes()).trim(), "1 0 0");
          await end();
          const seen = await until(pane, /^status-\d+/m, `${name}: end`);
          assert.equal(/^status-(\d+)/m.exec(seen)![1], String(code));
          if (text !== undefined) assert.match(seen, text);
          assert.equal((await modes()).trim(), "0 1 1");
          assert.equal(await shell("stty -a"), before);
        });
      };
      const kill = (signal: string) => async () => {
        const parent = (await tmux("display", "-p", "#{pane_pid}")).trim();
        const { stdout } = await new Deno.Command("pgrep", { args: ["-P", parent] }).output();
        Deno.kill(Number(new TextDecoder().decode(stdout).trim()), signal as Deno.Signal);
      };

      await run("q", 0, async () => {
        await tmux("resize-window", "-x", "60", "-y", "16");
        await until(pane, /resized to 60x16/, "resize");
        await type("j", "Down");
        await until(pane, /Devices 3\/20/, "keys");
        await tmux("resize-window", "-x", "80", "-y", "24");
        await until(pane, /resized to 80x24/, "resize back");
        await type("q");
      });
      await run("ctrl-c", 0, () => type("C-c"));
      await run("an error", 70, () => type("t"), /thrown on request/);
      await run("a rejection", 70, () => type("r"), /rejected on request/);
      await run("Deno.exit", 5, () => type("x"));
      await run("SIGTERM", 143, kill("SIGTERM"));
      await run("SIGINT", 130, kill("SIGINT"));
      await run("SIGHUP", 129, kill("SIGHUP"));
      await t.step("ctrl-z and fg", async () => {
        await type("-l", `clear; ${start}`);
        await type("Enter");
        await until(pane, /1 Devices/, "start");
        await type("C-z");
        await until(modes, /^0 1 1/, "suspended");
        assert.equal(await shell("stty -a"), before);
        await type("-l", "fg");
        await type("Enter");
        await until(pane, /1 Devices/, "resumed");
        await until(modes, /^1 0 0/, "resumed");
        await type("j");
        await until(pane, /Devices 2\/20/, "keys after fg");
        await type("q");
        await until(modes, /^0 1 1/, "end");
        assert.match(await shell('echo "status-"$?'), /status-0/);
        assert.equal(await shell("stty -a"), before);
      });
    } finally {
      await tmux("kill-server");
      await Deno.remove(folder, { recursive: true });
    }
  },
});
