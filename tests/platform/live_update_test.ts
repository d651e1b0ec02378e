import assert from "node:assert/strict";
import { MiB, ms } from "../../src/base/units.ts";
import { IMAGES } from "../../src/kernel/image.ts";
import { type Phase, requestAbort } from "../../src/platform/live_update.ts";
import type { VmSpec } from "../../src/platform/spec.ts";
import { Bench } from "../kernel/bench.ts";

/** The ring holds what arrives while the guest is paused. */
const vm = (id: string, devices: string[], persistent = true): VmSpec => ({
  id,
  memory: (4 * devices.length + 2) * MiB,
  persistent,
  devices,
  ring: 2048,
});

function running(vms: VmSpec[], kernel = "rfc-v1", seed = 1) {
  const bench = new Bench(kernel, { vms, seed });
  bench.startVms();
  const { platform } = bench;
  const report = (id: string) => {
    const guest = platform.guests.get(id);
    assert.ok(guest, `${id} is gone`);
    return guest.report();
  };
  const violated = () => {
    platform.judge();
    return platform.health.states().filter((s) => s.verdict === "violated").map((s) => s.id);
  };
  /** Runs until the update waits behind a phase. */
  const startAndHold = (phase: Phase, image = "rfc-v1") => {
    const done = platform.startUpdate(image, phase);
    for (let i = 0; i < 100 && !platform.update?.held; i++) platform.runFor(1 * ms);
    assert.ok(platform.update?.held);
    return () => {
      for (let i = 0; i < 200 && !done(); i++) platform.runFor(10 * ms);
      assert.ok(done());
      bench.sys = platform.shell();
      return platform.update?.outcome;
    };
  };
  return { bench, platform, report, violated, startAndHold };
}

Deno.test("a live update is hitless: no fault, no packet lost, every invariant exercised and kept", () => {
  const { bench, platform, report, violated } = running([vm("vm0", ["nic0", "nic1"])]);
  const resets = platform.machine.functions.map((f) => f.resets);
  for (let round = 1; round <= 3; round++) {
    const before = report("vm0").received;
    const writes = platform.health.meters.get(0).writes;
    assert.equal(bench.update(), "done");
    platform.runFor(20 * ms);
    assert.equal(platform.kernel.number, round + 1);
    assert.ok(report("vm0").received > before);
    assert.ok(platform.health.meters.get(0).writes > writes + 1000, "DMA went on meanwhile");
    assert.deepEqual(violated(), []);
    const { missing, corrupt, repeated, ringFull } = report("vm0");
    assert.deepEqual([missing, corrupt, repeated, ringFull], [0, 0, 0, 0]);
    assert.deepEqual(platform.machine.functions.map((f) => f.resets), resets);
    for (const meter of platform.health.meters.all) {
      assert.deepEqual([meter.faultCount, meter.blocked, meter.stray], [0, 0, 0]);
    }
  }
  const exercised = (id: string) => platform.health.states().find((s) => s.id === id)?.verdict;
  for (const id of ["no-dma-fault", "no-stray-dma", "tables-owned", "guest-intact"]) {
    assert.equal(exercised(id), "holds", id);
  }
});

Deno.test("two VMs come over side by side, each with its own iommufd", () => {
  const { bench, platform, report, violated } = running([
    vm("vm0", ["nic0"]),
    vm("vm1", ["nic1"]),
  ]);
  assert.deepEqual([...platform.kernel.iommufd.persistent.keys()], [1, 2]);
  for (let round = 0; round < 2; round++) {
    const before = [report("vm0").received, report("vm1").received];
    assert.equal(bench.update(), "done");
    platform.runFor(20 * ms);
    assert.deepEqual(violated(), []);
    ["vm0", "vm1"].forEach((id, i) => assert.ok(report(id).received > before[i] + 1000));
    assert.deepEqual([...platform.kernel.iommufd.persistent.keys()].sort(), [1, 2]);
  }
});

Deno.test("a VM without persistence is started from cold; its neighbour notices nothing", () => {
  const { bench, platform, report, violated } = running([
    vm("vm0", ["nic0"]),
    vm("vm1", ["nic1"], false),
  ]);
  platform.runFor(100 * ms);
  const before = [report("vm0").received, report("vm1").received];
  assert.equal(bench.update(), "done");
  assert.ok(report("vm0").received > before[0]);
  assert.ok(report("vm1").received < before[1], "its guest booted again");
  const [kept, cold] = platform.machine.functions;
  assert.equal(kept.resets, 1);
  assert.ok(cold.resets > 1);
  platform.runFor(20 * ms);
  assert.ok(report("vm1").received > 0);
  assert.deepEqual(violated(), []);
});

Deno.test("the control: on mainline the same update loses the guest and its DMA", () => {
  const { bench, platform, report, violated } = running([vm("vm0", ["nic0"])], "mainline");
  const before = report("vm0").received;
  assert.equal(bench.update("mainline"), "done");
  assert.ok(report("vm0").received < before + 1000, "its guest booted again");
  assert.equal(platform.update?.kho, false);
  assert.ok(violated().includes("no-dma-fault"), violated().join());
  assert.ok(platform.health.meters.get(0).blocked > 0);
});

Deno.test("an update called off before the jump leaves everything as it was (FACTS 10.3 I10)", () => {
  for (const phase of ["prepare", "pause"] as const) {
    const { bench, platform, report, violated, startAndHold } = running([
      vm("vm0", ["nic0"]),
      vm("vm1", ["nic1"]),
    ]);
    const before = platform.fingerprint();
    const finish = startAndHold(phase);
    assert.notEqual(platform.fingerprint(), before);
    assert.ok(requestAbort(platform));
    assert.equal(finish(), "aborted");
    assert.equal(platform.fingerprint(), before);
    const received = report("vm0").received;
    platform.runFor(20 * ms);
    assert.ok(report("vm0").received > received);
    assert.equal(bench.update(), "done", "the next one works");
    assert.deepEqual(violated(), []);
    assert.equal(requestAbort(platform), false, "too late");
  }
});

/** What refuses an update, and the reason its operator is given. */
const REFUSED: { why: string; image?: string; arm?: string; reason: RegExp }[] = [
  { why: "there is no such image", image: "rfc-v9", reason: /kexec_file_load: ENOENT/ },
  {
    why: "the next kernel cannot read what is handed over (FACTS 8.14 G11)",
    image: "mainline",
    reason: /kexec_file_load: ENOEXEC, .* does not read kho-v1/,
  },
  {
    why: "the IOMMU driver refuses",
    arm: "fault:kho_notify:intel-iommu",
    reason: /active: EINVAL/,
  },
  { why: "iommufd refuses", arm: "fault:kho_notify:iommufd", reason: /active: EINVAL/ },
  { why: "guestmemfs refuses", arm: "fault:kho_notify:guestmemfs", reason: /active: EINVAL/ },
  { why: "there is no memory for the blob", arm: "fault:alloc_pages", reason: /active: EINVAL/ },
];

Deno.test("an update that is refused is called off, and the guests run on", async (t) => {
  for (const { why, image, arm, reason } of REFUSED) {
    await t.step(why, () => {
      const { bench, platform, report, violated } = running([vm("vm0", ["nic0"])]);
      const before = platform.fingerprint();
      if (arm !== undefined) platform.chooser.arm(arm);
      assert.equal(bench.update(image), "aborted");
      assert.match(platform.update?.reason ?? "", reason);
      assert.equal(platform.fingerprint(), before);
      const { received } = report("vm0");
      platform.runFor(20 * ms);
      assert.ok(report("vm0").received > received);
      assert.deepEqual(violated(), []);
    });
  }
});

Deno.test("a VMM killed after it saved its state comes back behind the jump as if it had lived", () => {
  const { bench, platform, report, violated, startAndHold } = running([vm("vm0", ["nic0"])]);
  const { received } = report("vm0");
  const finish = startAndHold("pause");
  bench.killVm("vm0");
  const update = platform.update;
  assert.ok(update);
  platform.runFor(20 * ms);
  assert.deepEqual(bench.complaints, []);
  platform.release(update);
  assert.equal(finish(), "done");
  assert.ok(report("vm0").received > received + 1000);
  assert.equal(platform.machine.functions[0].resets, 1);
  assert.deepEqual(violated(), []);
});

Deno.test("a VMM killed before it saved its state is lost, but its device harms nobody", () => {
  const { bench, platform, startAndHold } = running([vm("vm0", ["nic0"]), vm("vm1", ["nic1"])]);
  const finish = startAndHold("prepare");
  bench.killVm("vm0");
  assert.ok(platform.update);
  platform.release(platform.update);
  assert.equal(finish(), "failed");
  assert.equal(platform.statusOf("vm1"), "running");
  platform.runFor(20 * ms);
  platform.health.check(platform.kernel);
  const bad = platform.health.violations.filter((v) => v.subject !== "vm0");
  assert.deepEqual(bad, []);
  const meter = platform.health.meters.get(0);
  assert.deepEqual([meter.faultCount, meter.stray], [0, 0]);
  // Its memory stays under the device until somebody takes that over.
  assert.equal(bench.unlink("vm0"), "EBUSY");
  assert.equal(platform.kernel.iommufd.pending.length, 1);
  const fd = bench.mustPickUp(platform.kernel.iommufd.pending[0]);
  const { cdev } = bench.bound(fd);
  bench.sys.close(cdev);
  bench.sys.close(fd);
  assert.equal(bench.unlink("vm0"), "ok");
});

Deno.test("a VMM killed in an update that is then called off leaves nothing behind", () => {
  const { bench, platform, startAndHold } = running([vm("vm0", ["nic0"])]);
  const finish = startAndHold("pause");
  bench.killVm("vm0");
  platform.forgetVm("vm0");
  requestAbort(platform);
  assert.equal(finish(), "aborted");
  assert.deepEqual([bench.unlink("vm0"), bench.unlink("vm0.state")], ["ok", "ok"]);
  assert.equal(platform.machine.functions[0].port.busMaster, false);
  bench.attachedFresh();
});

/** One run with an update in it: the hash, and everything that happened. */
function run(seed: number, kernel: string): { hash: string; events: string[] } {
  const { bench, platform } = running(
    [vm("vm0", ["nic0"]), vm("vm1", ["nic1"], false)],
    kernel,
    seed,
  );
  bench.update(kernel);
  platform.runFor(20 * ms);
  platform.judge();
  const events = platform.events.map((e) => `${e.time} ${e.boot} ${e.source} ${e.text}`);
  return { hash: platform.machine.hash.digest(), events };
}

Deno.test("the same seed gives the same run, another seed another one", () => {
  for (const { name } of IMAGES) {
    const first = run(7, name);
    assert.deepEqual(run(7, name), first, name);
    assert.notEqual(run(8, name).hash, first.hash, name);
  }
});

Deno.test("looking does not change a run", () => {
  const hashes = [false, true].map((look) => {
    const { bench, platform } = running([vm("vm0", ["nic0"])]);
    const done = platform.startUpdate("rfc-v1");
    for (let i = 0; i < 600; i++) {
      platform.runFor(1 * ms);
      if (!look) continue;
      platform.fingerprint();
      platform.health.check(platform.kernel);
      platform.health.states();
      for (const guest of platform.guests.values()) guest.report();
    }
    assert.ok(done());
    assert.equal(bench.platform.update?.outcome, "done");
    return platform.machine.hash.digest();
  });
  assert.equal(hashes[0], hashes[1]);
});

Deno.test("across thirty seeds an update is hitless", () => {
  for (let seed = 100; seed < 130; seed++) {
    const bench = new Bench("rfc-v1", {
      seed,
      vms: [vm("vm0", ["nic0"])],
    });
    bench.startVms(5 * ms);
    assert.equal(bench.update(), "done", `seed ${seed}`);
    bench.platform.judge();
    assert.deepEqual(bench.platform.health.violations, [], `seed ${seed}`);
  }
});
