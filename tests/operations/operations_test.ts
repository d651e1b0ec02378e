/** What an operator can do, done on a running platform: what each came to, and what it changed. */

import assert from "node:assert/strict";
import { ms } from "../../src/base/units.ts";
import { check } from "../../src/operations/arguments.ts";
import { complete } from "../../src/operations/names.ts";
import { OPERATIONS } from "../../src/operations/table.ts";
import { answer } from "../../src/operations/timeline.ts";
import type { Outcome } from "../../src/operations/types.ts";
import { snapshot } from "../../src/platform/snapshot.ts";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { parseBdf, PCI_COMMAND, PCI_COMMAND_MASTER } from "../../src/uapi/pci_regs.ts";
import { firstUpdate, prepare } from "../../src/scenario/run.ts";

/** A running platform, and a hand on it. */
class Hand {
  readonly run;

  constructor(name = "persisted-iommufd", warm = 500 * ms) {
    const loaded = loadScenario(BUILTIN.get(name) ?? "", name);
    this.run = prepare(loaded, 1, undefined, firstUpdate(loaded));
    this.timeline.runFor(warm);
  }

  get timeline() {
    return this.run.timeline;
  }
  get snapshot() {
    return snapshot(this.run.platform);
  }

  /** Does it and waits until it has answered: "0" or the errno. */
  do(name: string, given: Record<string, unknown> = {}): string {
    return answer(this.outcome(name, given));
  }

  outcome(name: string, given: Record<string, unknown> = {}): Outcome {
    const parsed = check(OPERATIONS.get(name)!, given);
    if ("wrong" in parsed) throw new Error(parsed.wrong);
    const result = this.timeline.act({ do: name, with: parsed.given, args: parsed.args });
    for (let n = 0; result.outcome === undefined && n < 3000; n++) this.timeline.runFor(1 * ms);
    assert.ok(result.outcome !== undefined, `${name} never answered`);
    return result.outcome;
  }
}

Deno.test("an iommufd by hand: open, map, unmap, destroy, close", () => {
  const hand = new Hand();
  assert.equal(
    hand.do("iommufd.map", { fd: "x", memory: "memfd", size: "4KiB", iova: 0 }),
    "EBADF",
  );
  const opened = hand.outcome("iommufd.open", { as: "x" });
  assert.match(opened.output ?? "", /^descriptor 3 of process \d+, called x$/);
  assert.deepEqual(complete(hand.timeline, "descriptors", ""), ["x"]);
  const map = { fd: "x", memory: "anonymous", size: "8KiB", iova: "0x100000" };
  assert.equal(hand.do("iommufd.map", map), "0");
  assert.equal(hand.do("iommufd.map", map), "EEXIST");
  assert.equal(hand.do("iommufd.unmap", { fd: "x", iova: "0x100000", size: "4KiB" }), "ENOENT");
  assert.equal(hand.do("iommufd.unmap", { fd: "x", iova: "0x100000", size: "8KiB" }), "0");
  assert.equal(hand.outcome("iommufd.ioas", { fd: "x" }).output, "IOAS 2");
  assert.equal(hand.do("iommufd.map", { ...map, ioas: 2 }), "0");
  assert.equal(hand.do("iommufd.destroy", { fd: "x", id: 2 }), "0");
  assert.equal(hand.do("iommufd.destroy", { fd: "x", id: 2 }), "ENOENT");
  // Only one that was not used yet can be marked.
  assert.equal(hand.do("iommufd.mark", { fd: "x" }), "EFAULT");
  assert.equal(hand.do("iommufd.destroy", { fd: "x", id: 1 }), "0");
  assert.equal(hand.do("iommufd.mark", { fd: "x" }), "0");
  assert.equal(hand.do("iommufd.mark", { fd: "x" }), "EBUSY");
  assert.equal(hand.do("iommufd.close", { fd: "x" }), "0");
  assert.equal(hand.do("iommufd.close", { fd: "x" }), "EBADF");
});

Deno.test("a device by hand: bound once its VM is gone, attached, detached, closed", () => {
  const hand = new Hand();
  hand.do("iommufd.open", { as: "x" });
  const bind = { device: "nic0", fd: "x" };
  assert.notEqual(hand.do("device.bind", bind), "0");
  assert.equal(hand.do("device.attach", { device: "nic0" }), "EBADF");
  assert.equal(hand.do("vm.kill", { vm: "vm0" }), "0");
  assert.equal(hand.do("device.bind", bind), "0");
  assert.equal(hand.do("device.attach", { device: "nic0" }), "0");
  const nic = () => hand.snapshot.devices.find((d) => d.id === "nic0")!;
  assert.equal(nic().domain, "paging");
  assert.equal(hand.do("device.master", { device: "nic0", on: true }), "0");
  assert.equal(nic().busMaster, true);
  assert.equal(hand.do("device.master", { device: "nic0", on: false }), "0");
  assert.equal(nic().busMaster, false);
  const resets = nic().resets;
  assert.equal(hand.do("device.reset", { device: "nic0" }), "0");
  assert.equal(nic().resets, resets + 1);
  assert.equal(hand.do("device.detach", { device: "nic0" }), "0");
  assert.equal(nic().domain, "blocking");
  assert.equal(hand.do("device.close", { device: "nic0" }), "0");
  assert.equal(hand.do("device.attach", { device: "nic0" }), "EBADF");
});

Deno.test("a descriptor goes with its kernel", () => {
  const hand = new Hand();
  hand.do("iommufd.open", { as: "x" });
  hand.do("update");
  const outcome = hand.outcome("iommufd.mark", { fd: "x" });
  assert.deepEqual(outcome, { errno: 9, detail: "x went with boot 1" });
  assert.deepEqual(complete(hand.timeline, "descriptors", ""), []);
});

Deno.test("a persisted iommufd is picked up once", () => {
  const hand = new Hand();
  hand.do("kho.activate");
  hand.do("kexec.load");
  hand.do("kexec.execute");
  assert.deepEqual(complete(hand.timeline, "iommufds", ""), ["1"]);
  assert.equal(hand.do("iommufd.pickup", { id: 1, as: "old" }), "0");
  assert.deepEqual(complete(hand.timeline, "iommufds", ""), []);
  assert.equal(hand.do("iommufd.pickup", { id: 1, as: "again" }), "EBUSY");
  assert.equal(hand.do("iommufd.pickup", { id: 2, as: "none" }), "ENOENT");
  assert.equal(hand.do("device.bind", { device: "nic0", fd: "old" }), "0");
});

Deno.test("files: read, written, removed, and what refuses it", () => {
  const hand = new Hand();
  assert.equal(hand.outcome("file.read", { path: "/sys/kernel/kho/active" }).output, "0");
  assert.equal(hand.do("file.write", { path: "/sys/kernel/kho/active", text: "2" }), "EINVAL");
  assert.equal(hand.do("file.write", { path: "/sys/kernel/kho/active", text: "1" }), "0");
  assert.equal(hand.snapshot.khoActive, true);
  assert.match(
    hand.outcome("file.read", { path: "/sys/kernel/kho/dt" }).output ?? "",
    /^000000 {2}d0 0d fe ed .* {2}\.\.\.\./,
  );
  assert.equal(hand.do("file.remove", { path: "/mnt/guestmemfs/vm0" }), "EBUSY");
  assert.equal(hand.do("kho.deactivate"), "0");
  assert.equal(hand.do("guestmemfs.create", { file: "a", size: "2MiB" }), "0");
  assert.equal(hand.do("file.remove", { path: "/mnt/guestmemfs/a" }), "0");
  assert.equal(hand.do("file.remove", { path: "/sys/kernel/kho/active" }), "EROFS");
  assert.deepEqual(complete(hand.timeline, "paths", "/sys/kernel/kho/a"), [
    "/sys/kernel/kho/active",
  ]);
  assert.deepEqual(complete(hand.timeline, "paths", "/mn"), ["/mnt/"]);
});

Deno.test("vm.crash: the VMM dies of a null pointer, its devices stop, it can be started again", () => {
  const hand = new Hand();
  assert.equal(hand.do("vm.crash", { vm: "vm0" }), "0");
  assert.match(
    hand.run.platform.events.map((e) => e.text).join("\n"),
    /vm0\[\d+\]: segmentation fault at 0x0/,
  );
  const s = hand.snapshot;
  assert.ok(s.devices.every((d) => !d.busMaster));
  assert.equal(OPERATIONS.get("vm.crash")?.unavailable?.(s), "no VM runs");
  assert.equal(OPERATIONS.get("vm.start")?.unavailable?.(s), null);
  assert.equal(hand.do("vm.start", { vm: "vm0" }), "0");
  hand.timeline.runFor(100 * ms);
  assert.ok(hand.snapshot.devices.every((d) => d.health === "healthy"));
});

Deno.test("vm.unmap and vm.map: DMA is refused in between, and goes on after it", () => {
  const hand = new Hand();
  const nic = () => hand.snapshot.devices.find((d) => d.id === "nic0")!;
  assert.equal(hand.do("vm.unmap", { vm: "vm0" }), "0");
  hand.timeline.runFor(50 * ms);
  const { faults } = nic();
  assert.ok(faults > 0);
  assert.equal(hand.do("vm.map", { vm: "vm0" }), "0");
  assert.equal(hand.do("vm.map", { vm: "vm0" }), "EBUSY");
  const after = nic().faults;
  hand.timeline.runFor(150 * ms);
  assert.equal(nic().faults, after);
  assert.equal(nic().health, "healthy");
  // What the operator took away and gave back is not held against the host.
  const { platform } = hand.run;
  const details = () => {
    platform.judge();
    return platform.health.violations.map(({ detail }) => detail);
  };
  const { missing = 0, ioLost = 0 } = platform.guests.get("vm0")?.report() ?? {};
  assert.ok(missing > 0 && ioLost > 0);
  assert.deepEqual(details(), []);
  // What it loses otherwise is.
  const { pci } = platform.machine, sid = parseBdf("3a:00.0")!;
  const command = pci.configRead(sid, PCI_COMMAND, 2);
  pci.configWrite(sid, PCI_COMMAND, 2, command & ~PCI_COMMAND_MASTER);
  hand.timeline.runFor(10 * ms);
  pci.configWrite(sid, PCI_COMMAND, 2, command);
  hand.timeline.runFor(10 * ms);
  assert.match(
    details().join(),
    /bus mastering is off.*,50 packets lost that no full ring explains/,
  );
});

Deno.test("an unplugged device answers no more; after a kexec nobody knows it; plugged, the next finds it", () => {
  const hand = new Hand();
  const nic = () => hand.snapshot.devices.find((d) => d.id === "nic0")!;
  assert.equal(hand.do("device.unplug", { device: "nic0" }), "0");
  assert.equal(hand.do("device.unplug", { device: "nic0" }), "EBUSY");
  assert.equal(nic().present, false);
  const { operations } = nic();
  hand.timeline.runFor(100 * ms);
  assert.equal(nic().operations, operations);
  hand.do("update");
  assert.equal(nic().owner, "none");
  assert.equal(hand.do("device.plug", { device: "nic0" }), "0");
  hand.do("kexec.load", { image: "mainline" });
  hand.do("kexec.execute");
  assert.equal(nic().owner, "vfio-pci");
  assert.equal(hand.do("vm.start"), "0");
  hand.timeline.runFor(100 * ms);
  assert.equal(nic().health, "healthy");
});

Deno.test("a VM whose device was pulled out does not hang at its start", () => {
  const hand = new Hand();
  hand.do("vm.kill", { vm: "vm0" });
  hand.do("device.unplug", { device: "nic0" });
  hand.do("vm.start");
  hand.timeline.runFor(50 * ms);
  assert.notEqual(hand.snapshot.devices[0].health, "healthy");
});

Deno.test("fault.arm: the point fires once, at the visit that was asked for", () => {
  const hand = new Hand();
  assert.equal(hand.do("fault.arm", { point: "kho_blob_full" }), "0");
  assert.deepEqual(hand.snapshot.armed, [{ point: "kho_blob_full", nth: 1 }]);
  assert.equal(hand.do("kho.activate"), "EINVAL");
  assert.deepEqual(hand.snapshot.armed, []);
  assert.equal(hand.do("kho.activate"), "0");
  hand.do("fault.arm", { point: "program:vm0" });
  hand.do("fault.disarm", { point: "program:vm0" });
  hand.timeline.runFor(1 * ms);
  assert.equal(hand.snapshot.vms[0].status, "running");
});

Deno.test("operations say why they cannot be done now", () => {
  const hand = new Hand();
  const why = (name: string) => OPERATIONS.get(name)?.unavailable?.(hand.snapshot) ?? null;
  assert.equal(why("update"), null);
  assert.match(why("update.abort") ?? "", /no live update runs/);
  assert.match(why("update.continue") ?? "", /no live update is held/);
  assert.match(why("kexec.execute") ?? "", /no next kernel is loaded/);
  hand.do("update", { hold: "pause" });
  assert.equal(why("update.continue"), null);
  assert.equal(why("update.abort"), null);
  assert.match(why("update") ?? "", /a live update runs \(phase pause\)/);
  hand.timeline.act({ do: "update.continue", with: {}, args: {} });
  hand.timeline.runFor(30 * ms);
  assert.match(why("kho.activate") ?? "", /boot 1 shuts down/);
  hand.timeline.runFor(60 * ms);
  assert.match(why("iommufd.open") ?? "", /boot 2 is not up yet/);
});

Deno.test("images are offered by name, and behind a + with their defects", () => {
  const { timeline } = new Hand("only-guestmemfs", 0);
  assert.ok(complete(timeline, "images", "rfc").includes("rfc-v1"));
  assert.ok(complete(timeline, "images", "rfc-v1+").includes("rfc-v1+D55"));
  assert.deepEqual(complete(timeline, "images", "mainline+"), []);
  assert.ok(complete(timeline, "points", "alloc").includes("alloc_page"));
});
