import assert from "node:assert/strict";
import { EmulatorBug } from "../../src/base/assert.ts";
import { MiB } from "../../src/base/units.ts";
import { MACHINE_MEMORY } from "../../src/machine/memory_pool.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { jsonReport } from "../../src/scenario/report.ts";
import { askRun, prepare } from "../../src/scenario/run.ts";
import { keep, type Kept } from "../platform/dump/rig.ts";

/** One card and one disk, and a guest that is asked for its memory by both. */
const text = (kernel: string, memory: number) =>
  `version: 1
name: reuse
description: a live update on memory that was another machine's
machine:
  memory: ${memory}MiB
  guestmemfs: 16MiB
  kho_scratch: 8MiB
  devices:
    - { id: nic0, model: nic, bdf: "3a:00.0", interval: 200us, packet: 256B }
    - { id: nvme0, model: nvme, bdf: "3b:00.0", latency: 2ms }
  vms: [{ id: vm0, memory: 8MiB, devices: [nic0, nvme0], ring: 1024 }]
kernel: { image: ${kernel} }
steps:
  - { do: vm.start }
  - { do: run, with: { for: 5ms } }
  - { do: update, expect: { errno: any } }
  - { do: run, with: { for: 5ms } }
`;

/** All that can be known of a run: its report with the hash of its events, its dumps. */
function everything(kernel: string, memory = 64) {
  const run = prepare(loadScenario(text(kernel, memory), "reuse"), 1), dumps: Kept[] = [];
  run.platform.onJump = (old, n) => dumps.push(keep(old, n));
  return askRun(run, (finished) => {
    dumps.push(keep(run.platform.kernel, 9));
    return { report: jsonReport(finished), dumps };
  });
}

/** No byte of what waits for a machine of so many bytes is set. */
function assertClear(size: number): void {
  const buffer = MACHINE_MEMORY.take(size), words = new Uint32Array(buffer.bytes);
  let set = 0;
  for (let i = 0; i < words.length; i++) set |= words[i];
  assert.equal(set, 0);
  assert.equal(buffer.written.indexOf(1), -1);
  MACHINE_MEMORY.give(buffer);
}

Deno.test("a run comes to the same, in its report and its dumps, whoever had the memory before", () => {
  assert.equal(MACHINE_MEMORY.space, 0);
  const first = everything("rfc-v1");
  assert.ok(MACHINE_MEMORY.space > 0, "the memory waits for the next machine");
  const fault = everything("rfc-v1+D55", 128);
  const space = MACHINE_MEMORY.space;
  assert.deepEqual(everything("rfc-v1"), first);
  assert.deepEqual(everything("rfc-v1+D55", 128), fault);
  assert.notDeepEqual(fault, first);
  assert.equal(MACHINE_MEMORY.space, space, "no more memory was made");
  for (const size of [64 * MiB, 128 * MiB]) assertClear(size);
});

Deno.test("a platform that is gone can be read about, not run or looked into", () => {
  const run = prepare(loadScenario(text("rfc-v1", 64), "reuse"), 1), { platform } = run;
  const now = askRun(run, () => platform.now);
  assert.equal(platform.now, now);
  assert.equal(platform.update?.outcome, "done");
  const uses: Record<string, () => unknown> = {
    "a run": () => platform.runFor(1),
    "a step": () => run.timeline.step(),
    "a system call": () => platform.shell().kexecFileLoad("rfc-v1", 0),
    "a verdict": () => platform.judge(),
    "a dump": () => keep(platform.kernel, 1),
  };
  for (const [name, use] of Object.entries(uses)) assert.throws(use, EmulatorBug, name);
});
