import assert from "node:assert/strict";
import { ms } from "../../src/base/units.ts";
import { sysfsFile } from "../../src/kernel/fs/sysfs.ts";
import { nullDereference } from "../../src/kernel/oops.ts";
import { LINUX_REBOOT_CMD_KEXEC, O_RDONLY, type Program, TaskKilled } from "../../src/uapi/sys.ts";
import { KernelRig } from "./rig.ts";

/** A kernel with a file whose handler goes through a NULL pointer. */
function broken(): KernelRig {
  const rig = new KernelRig();
  const bad = sysfsFile({ show: () => nullDereference("bad_show", 0x10) });
  rig.kernel.vfs.mkdirs("/sys").add("bad", bad);
  return rig;
}

const reader: Program = function* (sys) {
  const fd = sys.open("/sys/bad", O_RDONLY);
  yield 1000;
  sys.read(fd, 10);
  sys.log("it came back");
  return 0;
};

Deno.test("an oops kills the task in whose name the kernel ran, and nobody else", () => {
  const rig = broken();
  const task = rig.kernel.spawn("reader", reader);
  rig.run(10_000);
  assert.equal(task.exitStatus, 137);
  assert.deepEqual(rig.printed, []);
  assert.deepEqual(rig.log.slice(-3), [
    "BUG: kernel NULL pointer dereference, address: 0x10",
    "RIP: bad_show",
    `Comm: reader PID: ${task.pid}`,
  ]);
  assert.equal(rig.kernel.panicked, undefined);
  assert.equal(rig.sys.open("/sys/bad", O_RDONLY), 3);
});

Deno.test("a shell whose call does not come back runs no other", () => {
  const { sys } = broken();
  const fd = sys.open("/sys/bad", O_RDONLY);
  assert.throws(() => sys.read(fd, 10), new TaskKilled("sh was killed by an oops in bad_show"));
  assert.throws(() => sys.open("/sys/bad", O_RDONLY), new TaskKilled("sh was killed"));
});

Deno.test("at boot there is no task to kill: the kernel stops", () => {
  const rig = new KernelRig({
    beforeBoot: (rig) => rig.machine.pci.configRead = () => nullDereference("pci_scan_slot"),
  });
  assert.equal(rig.kernel.ready, false);
  assert.deepEqual(rig.log.slice(-3), [
    "BUG: kernel NULL pointer dereference, address: 0x0",
    "RIP: pci_scan_slot",
    "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
  ]);
  assert.throws(() => rig.sys.pid.toString() + rig.sys.now(), TaskKilled);
});

Deno.test("in shutdown it stops as well, and nothing jumps", () => {
  const rig = new KernelRig();
  rig.activate();
  rig.load();
  rig.kernel.iommu.shutdown = () => nullDereference("zap_context_table_entries");
  assert.equal(rig.sys.reboot(LINUX_REBOOT_CMD_KEXEC), 0);
  rig.run(200 * ms);
  assert.equal(rig.kernel.panicked, "Fatal exception");
  assert.equal(rig.boots, 1);
});
