import assert from "node:assert/strict";
import { ms } from "../../src/base/units.ts";
import { complaintsOf } from "../../src/health/complaints.ts";
import type { InvariantId } from "../../src/health/invariants.ts";
import { Promises } from "../../src/health/promises.ts";
import type { GuestReport } from "../../src/userspace/guest/guest.ts";
import { World } from "./world.ts";

function violated(world: World): InvariantId[] {
  return world.judge().filter((s) => s.verdict === "violated").map((s) => s.id);
}

/** SIGKILL, as the operator's verb has it. */
function kill(world: World, vm: string): void {
  const { scheduler } = world.platform.kernel;
  scheduler.kill(scheduler.find(vm)!);
  world.platform.forgetVm(vm);
}

Deno.test("what operators do to VMs is nothing to complain of", async (t) => {
  const runs: Record<string, () => World> = {
    "a VM is stopped": () => new World().stopVm("vm0").run(20 * ms),
    "a VM is stopped and started": () =>
      new World().stopVm("vm0").startVm("vm0").stopVm("vm2").startVm("vm2").run(20 * ms),
    "a VM is stopped, and the rest is updated": () => new World().stopVm("vm0").liveUpdate(),
    "a VM is killed": () => {
      const world = new World();
      kill(world, "vm1");
      return world.run(20 * ms);
    },
    "a VM is stopped after an update, and another update follows": () =>
      new World().liveUpdate().stopVm("vm1").liveUpdate(),
  };
  for (const [what, run] of Object.entries(runs)) {
    await t.step(what, () => assert.deepEqual(violated(run()), []));
  }
});

Deno.test("a device that goes with its VM in the middle of an update breaks no promise", () => {
  const world = new World();
  world.abortedUpdate(() => kill(world, "vm1"));
  assert.ok(world.meter("nic1").stopped > 0);
  assert.equal(world.verdictOn("no-dma-fault").violations.length, 0);
});

Deno.test("a persistent guest that does not come back is gone", () => {
  const world = new World().updateTo("restore");
  // What its VMM left for the next one is not what that one expects.
  const { guestmemfs } = world.platform.kernel;
  const state = guestmemfs!.inodes().find((i) => i.name === "vm0.state")!;
  world.memory.write64(guestmemfs!.frameOfPage(state, 0) * 4096, 0);
  world.finish();
  const { violations } = world.verdictOn("guest-intact");
  assert.deepEqual(violations.map((v) => [v.subject, v.detail]), [["vm0", "the guest is gone"]]);
});

Deno.test("memory of a program that ended may be the next one's", () => {
  const world = new World({ vms: ["vm0", "vm1"], cold: true }).boot();
  const { health, kernel } = world.platform;
  health.ledger.mapped("vm0", 0, [{ pfn: 5000, count: 1 }]);
  health.ledger.mapped("vm1", 0, [{ pfn: 5000, count: 1 }]);
  health.check(kernel);
  assert.deepEqual(violated(world), []);
});

Deno.test("the same violation at the same device is counted, not listed", () => {
  const world = new World();
  world.memory.write64(world.leaf("nic0", 0), 0);
  world.flushIotlb();
  const state = world.run(20 * ms).verdictOn("no-dma-fault");
  const seen = state.violations.filter((v) => v.subject === "nic0");
  assert.equal(seen.length, 1);
  assert.ok(seen[0].count > 10);
  assert.equal(seen[0].count, world.meter("nic0").faultCount);
});

Deno.test("a look at the system changes nothing in it", () => {
  const world = new World().updateTo("kexec");
  const before = world.platform.fingerprint(), hash = world.platform.machine.hash.digest();
  world.health.check(world.platform.kernel);
  assert.equal(world.platform.fingerprint(), before);
  assert.equal(world.platform.machine.hash.digest(), hash);
});

Deno.test("a kernel that is out of memory is looked over like any other", () => {
  const world = new World();
  const { pages } = world.platform.kernel;
  while (pages.freePages > 0) pages.allocRange(1, 1, 2);
  world.platform.kernel.guestmemfs!.inodes()[0].pins += 3;
  assert.deepEqual(violated(world), ["pins-balanced"]);
});

Deno.test("a promise is broken by a stop only while it stands", () => {
  const promises = new Promises();
  promises.set(1, true);
  promises.set(2, true);
  promises.stopped(1);
  promises.stopped(2);
  promises.set(2, false);
  assert.deepEqual(promises.takeStopped(), [1]);
  assert.deepEqual(promises.takeStopped(), [], "each is told once");
});

Deno.test("a promise is on the road from the jump until the guest has its device", () => {
  const promises = new Promises();
  promises.set(1, true);
  assert.ok(promises.stands(1) && !promises.crossing(1));
  promises.jumped(1);
  promises.jumped(2);
  assert.ok(promises.crossing(1) && !promises.crossing(2));
  promises.set(1, true);
  assert.ok(promises.stands(1) && !promises.crossing(1));
  promises.set(1, false);
  assert.ok(!promises.stands(1));
});

const CLEAN: GuestReport = {
  crashed: false,
  steps: 9,
  received: 9,
  missing: 4,
  missed: 4,
  corrupt: 0,
  repeated: 0,
  ringFull: 1,
  ioIssued: 9,
  ioCompleted: 9,
  ioErrors: 0,
  ioCorrupt: 0,
  ioLost: 0,
  ioRepeated: 0,
  ioFailed: 0,
  canaries: 9,
  canaryChecked: 9,
  canaryDamaged: 0,
  firstDamage: undefined,
  nics: [],
  nvmes: [],
};

Deno.test("what fails while a device's memory is given up breaks no promise, and is counted", () => {
  const promises = new Promises();
  promises.set(1, true);
  assert.equal(promises.failed(1), true);
  promises.suspend(1, true);
  assert.deepEqual([promises.failed(1), promises.failed(1), promises.failed(2)], [
    false,
    false,
    false,
  ]);
  promises.set(1, true);
  assert.equal(promises.failed(1), true);
  promises.suspend(1, true);
  promises.suspend(1, false);
  assert.equal(promises.failed(1), true, "it was refused");
  promises.set(1, false);
  assert.equal(promises.failed(1), false);
  assert.deepEqual([promises.excused(1), promises.excused(2)], [2, 0]);
});

Deno.test("whatever a guest has lost is a complaint of its own", () => {
  assert.deepEqual(complaintsOf(CLEAN), [], "packets a full ring explains are not lost");
  const spoilt: [Partial<GuestReport>, RegExp][] = [
    [{ crashed: true }, /crashed/],
    [{ missing: 6 }, /^2 packets lost/],
    [{ corrupt: 1 }, /packets damaged/],
    [{ repeated: 1 }, /twice/],
    [{ ioErrors: 1 }, /disk commands failed/],
    [{ ioCorrupt: 1 }, /read back wrong/],
    [{ ioLost: 1 }, /disk commands lost/],
    [{ ioRepeated: 1 }, /twice/],
  ];
  for (const [change, text] of spoilt) {
    const [complaint, ...rest] = complaintsOf({ ...CLEAN, ...change });
    assert.match(complaint.detail, text);
    assert.deepEqual(rest, []);
  }
  const spoiltIo = { ...CLEAN, missing: 6, ioErrors: 1, ioLost: 2, ioCorrupt: 3 };
  assert.deepEqual(
    complaintsOf(spoiltIo, { packets: 1, disks: true }).map(({ detail }) => detail),
    ["1 packets lost that no full ring explains", "3 disk blocks read back wrong"],
  );
  const canary = complaintsOf({ ...CLEAN, canaryDamaged: 2, firstDamage: 0x5000 });
  assert.deepEqual(canary, [{ detail: "2 memory canaries damaged", address: 0x5000 }]);
});
