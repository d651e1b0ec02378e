/** Key scripts that walk every pane and do every command, on a platform that runs. */

import assert from "node:assert/strict";
import { COMMANDS } from "../../src/dashboard/commands/table.ts";
import type { Command } from "../../src/dashboard/commands/types.ts";
import { DEVICE_TABS, PANE_IDS } from "../../src/dashboard/model.ts";
import { paneOf } from "../../src/dashboard/panes/mod.ts";
import { demoSession, smallSession } from "./platforms.ts";
import { DOWN, ENTER, ESC, Rig, UP } from "./rig.ts";

const RIGHT = "\x1b[C", LEFT = "\x1b[D", PGDN = "\x1b[6~";

for (const [cols, rows] of [[120, 40], [80, 24], [40, 12]] as const) {
  Deno.test(`every pane at ${cols}x${rows}: focused, moved in, filtered, looked into, zoomed`, async () => {
    const rig = new Rig(demoSession(), { cols, rows });
    await rig.type(" ");
    for (const [i, id] of PANE_IDS.entries()) {
      const { title, filters } = paneOf(id);
      await rig.type(String(i + 1));
      await rig.pass(40);
      const focused = await rig.text();
      assert.match(focused, new RegExp(`[━┏]${i + 1} ${title}`), `${title}\n${focused}`);
      await rig.type(DOWN + PGDN + UP + "Gg" + RIGHT + LEFT);
      await rig.type("z");
      await rig.pass(40);
      assert.match((await rig.screen())[1]!, new RegExp(`^┏━${i + 1} ${title}`));
      await rig.type(ENTER);
      await rig.pass(40);
      await rig.type(ESC);
      if (filters === true) {
        await rig.type("/zzz");
        await rig.pass(40);
        assert.match(await rig.text(), /nothing like that|Invariants/);
        await rig.type(ENTER);
        await rig.type("\\");
      }
      await rig.type("y");
      await rig.pass(40);
      await rig.screen();
      assert.ok(rig.copied.length > 5, `${title}: ${rig.copied}`);
      await rig.type(ESC + ESC);
    }
    assert.equal(await rig.quit(), 0);
  });
}

Deno.test("every page of every device is drawn", async () => {
  const rig = new Rig(demoSession());
  await rig.type(" ");
  for (const id of ["nic0", "nvme0", "nic2"]) {
    for (const tab of DEVICE_TABS) {
      await rig.command(`device ${id} ${tab}`);
      const text = await rig.text();
      assert.match(text, new RegExp(`Device ${id} ${DEVICE_TABS.indexOf(tab) + 1} of 5`));
      assert.doesNotMatch(text, /not looked into yet/);
      await rig.type(PGDN + ESC);
    }
  }
  await rig.quit();
});

/** What stands for an argument; others are left out where they may be. */
const VALUES: Readonly<Record<string, string>> = {
  vm: "vm0",
  device: "nic0",
  image: "rfc-v1",
  fd: "x",
  as: "x",
  file: "vm0",
  path: "/sys/kernel/kho/active",
  point: "kho_blob_full",
  memory: "memfd",
  size: "4KiB",
  iova: "0x100000",
  for: "1ms",
  time: "390ms",
  name: "a",
  what: "palette",
  to: "colorblind",
  key: "j",
  pane: "devices",
  text: "1",
  on: "true",
  id: "1",
};
/** These would end the session, or need a world outside. */
const NOT: readonly string[] = ["quit", "quit.now", "suspend"];

function lineOf({ id, arguments: all = [] }: Command): string {
  const needed = all.filter((a) => a.required);
  const value = (name: string, choices?: readonly string[]) =>
    choices === undefined || choices.includes(VALUES[name] ?? "")
      ? VALUES[name] ?? "1"
      : choices[0]!;
  return [id, ...needed.map((a) => `${a.name}=${value(a.name, a.choices)}`)].join(" ");
}

Deno.test("every command is done from the colon, one after the other, and the screen stands", async () => {
  const rig = new Rig(smallSession("rfc-v1", 400e6));
  for (const command of COMMANDS) {
    if (NOT.includes(command.id)) continue;
    const line = lineOf(command);
    await rig.command(line);
    if (rig.model.overlay?.kind === "question") await rig.type("y");
    await rig.pass(34);
    const screen = await rig.screen();
    assert.match(screen[0]!, /hitless|━|─/, line);
    // It is done, or the line stands there with what keeps it from being done.
    const { prompt } = rig.model;
    const asks = command.id === "command" || prompt?.purpose !== "command";
    assert.ok(asks || prompt?.wrong !== undefined, line);
    await rig.type(ESC + ESC);
    if (rig.model.paused) await rig.type(" ");
    assert.deepEqual(rig.io.log.filter((entry) => /^(exit|error)/.test(entry)), [], line);
  }
  assert.equal(await rig.quit(), 0);
});

Deno.test("every key of the table, in every pane, and Esc after each: the screen stands", async () => {
  const rig = new Rig(smallSession());
  await rig.type(" ");
  const { keyBytes } = await import("../../src/tui/mod.ts");
  for (const [i] of PANE_IDS.entries()) {
    for (const command of COMMANDS) {
      if (NOT.includes(command.id)) continue;
      for (const key of command.keys) {
        await rig.type(String(i + 1) + (keyBytes(key) ?? ""));
        await rig.type(ESC + ESC);
      }
    }
    await rig.pass(40);
    assert.match((await rig.screen())[0]!, /verdict/);
  }
  assert.deepEqual(rig.io.log.filter((entry) => /^(exit|error)/.test(entry)), []);
  assert.equal(await rig.quit(), 0);
});

Deno.test("5,000 devices: a step looks at the rows on the screen only, sorted and filtered too", async () => {
  const { snapshotOf, device } = await import("./snapshots.ts");
  const { Hands } = await import("./hands.ts");
  const { view } = await import("../../src/dashboard/view.ts");
  const { flush, Grid, Region } = await import("../../src/tui/mod.ts");
  let looks = 0;
  const devices = Array.from({ length: 5000 }, (_, i) => {
    const row = device(`nic${i}`, { rate: (i * 7919) % 5000, faults: i % 50 === 0 ? i : 0 });
    const { history } = row;
    return Object.defineProperty(row, "history", { get: () => (looks++, history) });
  });
  const hands = new Hands(snapshotOf({ devices })).command("zoom");
  const grid = new Grid(200, 50);
  const frame = () => {
    looks = 0;
    hands.metrics = view(Region.of(grid), hands.model, hands.snapshot);
    return flush(grid);
  };
  for (const line of ["sort none", "sort DMA/s", "sort.reverse", "filter nic4"]) {
    hands.command(line);
    frame();
    const start = performance.now();
    for (const key of ["G", "g", "pagedown", "down", "up"]) {
      hands.press(key);
      assert.notEqual(frame(), "", `${line} ${key}`);
      // A row that is drawn reads its past three times.
      assert.ok(looks > 0 && looks <= 3 * 50, `${line} ${key}: ${looks} of 5000 rows`);
    }
    const each = (performance.now() - start) / 5;
    assert.ok(each < 50, `${line}: ${each} ms a step`);
  }
  hands.command("filter.clear").command("sort DMA/s").command("sort.reverse").press("G");
  frame();
  assert.equal(hands.model.chosen.devices, "nic0", "the slowest one is the last");
});
