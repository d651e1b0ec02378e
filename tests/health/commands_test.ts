import assert from "node:assert/strict";
import { CommandLedger } from "../../src/health/commands.ts";
import { SLOT_BLOCKS } from "../../src/userspace/guest/nvme_workload.ts";

/** `w` writes, `r` reads, then first block and count; `!` fails; `reset` is the controller's. */
function run(...commands: string[]): string[] {
  const ledger = new CommandLedger();
  const found: string[] = [];
  for (const text of commands) {
    if (text === "reset") {
      ledger.restarted(0);
      continue;
    }
    const [, kind, block, blocks, fails] = /^([wr])(\d+)\+(\d+)(!?)$/.exec(text)!;
    const said = ledger.executed(0, kind === "w", Number(block), Number(blocks), fails === "");
    if (said !== undefined) found.push(said);
  }
  return found;
}

const other = SLOT_BLOCKS;

const RUNS: { name: string; commands: string[]; found: string[] }[] = [
  {
    name: "what is written is read, then written again",
    commands: ["w4+2", "r4+2", "w9+1"],
    found: [],
  },
  {
    name: "slots do not know of each other",
    commands: ["w4+2", `w${other}+8`, "r4+2", `r${other}+8`],
    found: [],
  },
  {
    name: "a write that comes twice",
    commands: ["w4+2", "w4+2", "r4+2"],
    found: ["write of 2 blocks at block 4 was executed twice, or in the place of another"],
  },
  {
    name: "a write that comes again after its read",
    commands: ["w4+2", "r4+2", "w4+2", "w9+1"],
    found: ["write of 1 blocks at block 9 was executed twice, or in the place of another"],
  },
  {
    name: "a read that comes twice",
    commands: ["w4+2", "r4+2", "r4+2"],
    found: ["read of 2 blocks at block 4 was executed twice, or in the place of another"],
  },
  {
    name: "a read of something else",
    commands: ["w4+2", "r5+2"],
    found: ["read of 2 blocks at block 5 came where others were to be read"],
  },
  { name: "a failed write is done again", commands: ["w4+2!", "w4+2", "r4+2"], found: [] },
  { name: "a failed read is done again", commands: ["w4+2", "r4+2!", "r4+2"], found: [] },
  { name: "a driver that starts over", commands: ["w4+2", "reset", "w4+2", "r4+2"], found: [] },
];

Deno.test("a disk's commands, each executed once", async (t) => {
  for (const { name, commands, found } of RUNS) {
    await t.step(name, () => assert.deepEqual(run(...commands), found));
  }
});
