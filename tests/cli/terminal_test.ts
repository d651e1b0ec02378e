import assert from "node:assert/strict";
import { has, ROOT } from "./helpers.ts";
import { TmuxScreen } from "./tmux.ts";

const MAIN = [Deno.execPath(), "run", "--no-prompt", `${ROOT}/main.ts`];
const tmux = await has("tmux");

function terminalTest(name: string, run: () => Promise<void>): void {
  Deno.test({ name, ignore: !tmux, fn: run });
}

terminalTest(
  "k and y bring up the second boot, and no kept NIC's rate reads zero on the way",
  async () => {
    await using screen = await TmuxScreen.open(MAIN);
    // Rates are over the last 100 ms: the guests must have run for a while.
    await screen.shows(/● nic0 .* 1[45]\.\dk/);
    await screen.keys("k");
    await screen.shows(/Kexec/);
    await screen.keys("y");
    let looks = 0;
    for (;;) {
      const text = await screen.text();
      // The live-update pane has each device's rate at the end of its line.
      for (const line of text.split("\n").filter((l) => /● nic\d .*\/s/.test(l))) {
        const rate = Number(/([\d.]+)k?\/s/.exec(line)?.[1]);
        assert.ok(rate > 0, line);
        looks++;
      }
      if (/ boot 2 /.test(text.split("\n")[0]) && /DONE|done/.test(text)) break;
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    assert.ok(looks > 10, `looked ${looks} times`);
    await screen.keys("q");
    assert.equal(await screen.ended(), 0);
    assert.equal(await screen.state(), screen.before);
  },
);

const ENDS: [how: string, end: (s: TmuxScreen) => Promise<void>, status: number][] = [
  ["q", (s) => s.keys("q"), 0],
  ["Ctrl-C", (s) => s.keys("C-c"), 0],
  ["SIGTERM", (s) => s.terminate("SIGTERM"), 143],
  ["SIGINT", (s) => s.terminate("SIGINT"), 130],
  ["SIGHUP", (s) => s.terminate("SIGHUP"), 129],
];

for (const [how, end, status] of ENDS) {
  terminalTest(`${how} leaves the terminal as it was`, async () => {
    await using screen = await TmuxScreen.open(MAIN);
    await screen.shows(/Live update/);
    await end(screen);
    const code = await screen.ended();
    assert.equal(await screen.state(), screen.before);
    assert.ok(code === status || how === "Ctrl-C", `exit status ${code}`);
  });
}

terminalTest("a thrown error leaves the terminal as it was and is told", async () => {
  const app = [Deno.execPath(), "run", "--no-prompt", `${ROOT}/tests/cli/throwing_app.ts`];
  await using screen = await TmuxScreen.open(app);
  await screen.shows(/broken on purpose/);
  assert.equal(await screen.ended(), 70);
  assert.equal(await screen.state(), screen.before);
});

terminalTest(
  "a small terminal gets a small dashboard, and none is too small to live in",
  async () => {
    for (const [cols, rows] of [[80, 24], [40, 12], [20, 4]]) {
      await using screen = await TmuxScreen.open(MAIN, { cols, rows });
      await screen.shows(/rfc-v1|hitless|boot/);
      await screen.keys("q");
      assert.equal(await screen.ended(), 0);
    }
  },
);
