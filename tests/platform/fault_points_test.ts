import assert from "node:assert/strict";
import { FAULT_POINTS } from "../../src/kernel/fault_points.ts";
import { Platform } from "../../src/platform/platform.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { platformSpec } from "../../src/scenario/platform_of.ts";
import { ms } from "../../src/base/units.ts";
import { throwAway } from "../throw_away.ts";

/** One VM with a NIC: everything a live update touches, and little else. */
const SMALL = `version: 1
name: small
description: one VM, one NIC
machine:
  memory: 128MiB
  guestmemfs: 16MiB
  kho_scratch: 4MiB
  devices:
    - { id: nic0, model: nic, bdf: "3a:00.0", interval: 500us }
  vms:
    - { id: vm0, memory: 8MiB, devices: [nic0], ring: 1024 }
steps: [{ do: check }]
`;

function running(): Platform {
  const platform = throwAway(new Platform(platformSpec(loadScenario(SMALL, "small").scenario, 1)));
  platform.runFor(300 * ms);
  platform.startVms();
  for (const vm of platform.spec.vms) platform.startVm(vm);
  platform.runFor(50 * ms);
  return platform;
}

function broken(platform: Platform): string[] {
  return platform.health.violations.map((v) => `${v.invariant} at ${v.subject}: ${v.detail}`);
}

/** An update with a point armed for its n-th visit; the platform when it is over. */
function updateWith(point: string, nth: number): Platform {
  const platform = running();
  platform.chooser.arm(point, nth);
  platform.startUpdate("rfc-v1");
  platform.runFor(1000 * ms);
  return platform;
}

/** Points that are visited before the jump, by the update itself: it must be called off cleanly. */
const REFUSED: [point: string, visits: number[]][] = [
  [FAULT_POINTS.khoBlobFull, [1]],
  [FAULT_POINTS.khoNotify + "intel-iommu", [1]],
  [FAULT_POINTS.khoNotify + "iommufd", [1]],
  [FAULT_POINTS.khoNotify + "guestmemfs", [1]],
  [FAULT_POINTS.allocPages, [1]],
  [FAULT_POINTS.allocPage, [1, 2, 100, 255]],
];

for (const [point, visits] of REFUSED) {
  for (const nth of visits) {
    Deno.test(`${point}, visit ${nth}: the update is called off and nothing is left of it`, () => {
      const platform = updateWith(point, nth);
      assert.equal(platform.update?.outcome, "aborted", platform.update?.reason);
      assert.equal(platform.boots, 1);
      platform.judge();
      assert.deepEqual(broken(platform), []);
      assert.ok(platform.health.premises.has("update-aborted"));
      assert.equal(platform.statusOf("vm0"), "running");
    });
  }
}

Deno.test("after an update that was called off by a fault the next one goes through", () => {
  const platform = updateWith(FAULT_POINTS.khoBlobFull, 1);
  platform.startUpdate("rfc-v1");
  platform.runFor(1000 * ms);
  platform.judge();
  assert.equal(platform.update?.outcome, "done");
  assert.deepEqual(broken(platform), []);
});

Deno.test("a VMM that dies at any slice of an update takes no other memory with it", () => {
  // 250 us a slice: the first 40 reach from before the pause to the jump.
  for (const nth of [1, 2, 5, 9, 13, 17, 21, 40]) {
    const platform = updateWith(FAULT_POINTS.program + "vm0", nth);
    const harmful = platform.health.violations.filter((v) =>
      v.invariant !== "guest-intact" && v.invariant !== "no-dma-fault" &&
      v.invariant !== "abort-restores"
    );
    assert.deepEqual(harmful, [], `visit ${nth}`);
  }
});

for (const point of [FAULT_POINTS.copyFromUser, FAULT_POINTS.copyToUser]) {
  Deno.test(`${point}: the ioctl answers EFAULT and the VMM says so and ends`, () => {
    const platform = throwAway(
      new Platform(platformSpec(loadScenario(SMALL, "small").scenario, 1)),
    );
    platform.runFor(300 * ms);
    platform.chooser.arm(point, 2);
    for (const vm of platform.spec.vms) platform.startVm(vm);
    platform.runFor(50 * ms);
    assert.equal(platform.statusOf("vm0"), "exited");
    assert.ok(platform.events.some((e) => /cannot go on: .*EFAULT/.test(e.text)));
    // Whatever it had is given back: the next one starts.
    for (const vm of platform.spec.vms) platform.startVm(vm);
    platform.runFor(50 * ms);
    assert.equal(platform.statusOf("vm0"), "running");
    platform.health.check(platform.kernel);
    assert.deepEqual(broken(platform), []);
  });
}

Deno.test("points that are not armed change nothing", () => {
  const hash = (arm: boolean) => {
    const platform = running();
    if (arm) platform.chooser.arm("fault:nothing_of_the_kind");
    platform.startUpdate("rfc-v1");
    platform.runFor(600 * ms);
    return platform.machine.hash.digest();
  };
  assert.equal(hash(true), hash(false));
});
