import assert from "node:assert/strict";
import { MiB, ms } from "../../src/base/units.ts";
import type { Task } from "../../src/kernel/process/task.ts";
import type { VmSpec } from "../../src/platform/spec.ts";
import { O_RDWR } from "../../src/uapi/sys.ts";
import { Bench } from "../kernel/bench.ts";
import { said } from "../kernel/requests.ts";

const VM: VmSpec = {
  id: "vm0",
  memory: 8 * MiB,
  persistent: true,
  devices: ["nic0"],
  ring: 256,
};

/** A bench with one VM that runs. */
function running(o: Partial<VmSpec> = {}, kernel = "rfc-v1") {
  const bench = new Bench(kernel, { vms: [{ ...VM, ...o }] });
  bench.startVms();
  const { platform } = bench;
  const task = () => platform.kernel.scheduler.find("vm0") as Task;
  /** Sends a message and says what the VMM answers. */
  const tell = (message: string, status: string) => {
    platform.tellVms(message);
    platform.runFor(1 * ms);
    assert.equal(platform.statusOf("vm0"), status);
  };
  const files = () => bench.sys.readdir("/mnt/guestmemfs");
  return { bench, platform, task, tell, files };
}

/** Packets the guest has got. */
const received = (bench: Bench) => bench.platform.guests.get("vm0")?.report().received ?? -1;

Deno.test("a persistent VM has its memory in guestmemfs and its iommufd marked", () => {
  const { bench, platform, files } = running();
  assert.equal(platform.statusOf("vm0"), "running");
  assert.deepEqual(files(), ["vm0"]);
  assert.equal(bench.unlink("vm0"), "EBUSY");
  assert.deepEqual([...platform.kernel.iommufd.persistent.keys()], [1]);
  assert.ok(received(bench) > 0);
  assert.equal(bench.pinned, 0);
});

Deno.test("any other VM has ordinary memory, pinned for its devices", () => {
  const { bench, platform, files } = running({ persistent: false });
  assert.equal(platform.statusOf("vm0"), "running");
  assert.deepEqual(files(), []);
  assert.equal(bench.pinned, 8 * MiB / 4096);
  assert.ok(received(bench) > 0);
});

Deno.test("where the kernel has no persistence a persistent VM says so and goes on without", () => {
  const { bench, platform } = running({}, "mainline");
  assert.equal(platform.statusOf("vm0"), "running");
  assert.ok(platform.events.some((e) => e.text.includes("cannot persist an iommufd (EOPNOTSUPP)")));
  assert.ok(received(bench) > 0);
});

Deno.test("a VM without devices runs as well, and nothing waits for it after a kexec", () => {
  const { bench, platform } = running({ devices: [] });
  assert.equal(platform.statusOf("vm0"), "running");
  assert.equal(bench.update(), "done");
  assert.equal(platform.statusOf("vm0"), "running");
  assert.ok(platform.guests.get("vm0")?.report().canaryChecked);
});

Deno.test("pause stops the guest, not its devices; resume lets it go on", () => {
  const { bench, platform, tell } = running();
  const nic = platform.machine.functions[0];
  tell("pause", "paused");
  const before = received(bench), writes = platform.health.meters.get(0).writes;
  platform.runFor(20 * ms);
  assert.equal(received(bench), before);
  assert.ok(platform.health.meters.get(0).writes > writes);
  assert.equal(nic.port.busMaster, true);
  tell("resume", "running");
  platform.runFor(20 * ms);
  assert.ok(received(bench) >= before + 150);
  assert.equal(platform.guests.get("vm0")?.report().missing, 0);
});

Deno.test("prepare makes the state file, pause writes it, forget removes it", () => {
  const { tell, files } = running();
  tell("prepare", "prepared");
  assert.deepEqual(files(), ["vm0", "vm0.state"]);
  tell("pause", "paused");
  tell("forget", "running");
  assert.deepEqual(files(), ["vm0"]);
});

Deno.test("a VMM that is told to forget an update it never prepared for stays up", () => {
  const { tell, files } = running();
  tell("forget", "running");
  tell("forget", "running");
  assert.deepEqual(files(), ["vm0"]);
});

Deno.test("prepared and called off again and again, a VMM leaks nothing", () => {
  const { bench, tell, task } = running();
  const before = [bench.fingerprint, task().fds.length, task().mm.vmas.length];
  for (let i = 0; i < 5; i++) {
    tell("prepare", "prepared");
    tell("prepare", "prepared");
    tell("pause", "paused");
    tell("forget", "running");
    assert.deepEqual([bench.fingerprint, task().fds.length, task().mm.vmas.length], before);
  }
});

Deno.test("a VMM after an update has what one that was started has, and no more", () => {
  const { bench, task } = running();
  const before = [task().fds.length, task().mm.vmas.length];
  for (let i = 0; i < 3; i++) {
    assert.equal(bench.update(), "done");
    assert.deepEqual([task().fds.length, task().mm.vmas.length], before);
  }
});

Deno.test("a device somebody else has is fatal to a VM, with a word about it", () => {
  const bench = new Bench("rfc-v1", { vms: [VM] });
  const other = bench.attachedFresh();
  bench.startVms();
  assert.equal(bench.platform.statusOf("vm0"), "exited");
  const text = "cannot go on: VFIO_DEVICE_BIND_IOMMUFD: EINVAL";
  assert.ok(bench.platform.events.some((e) => e.source === "program" && e.text.endsWith(text)));
  assert.equal(bench.unlink("vm0"), "ok", "what it had is let go");
  bench.sys.close(other.cdev);
  bench.startVms();
  assert.equal(bench.platform.statusOf("vm0"), "running");
});

Deno.test("a guest that is too big for guestmemfs does not start", () => {
  const { bench, platform } = running({ memory: 64 * MiB });
  assert.equal(platform.statusOf("vm0"), "exited");
  assert.ok(platform.events.some((e) => e.text.includes("ftruncate guest memory: ENOMEM")));
  assert.equal(bench.pinned, 0);
});

Deno.test("quit gives everything back", () => {
  const { bench, platform } = running();
  platform.tellVms("quit");
  platform.runFor(1 * ms);
  assert.equal(platform.statusOf("vm0"), "exited");
  assert.equal(bench.unlink("vm0"), "ok");
  assert.equal(platform.machine.functions[0].port.busMaster, false);
  bench.attachedFresh();
});

Deno.test("killed at any moment, a VMM gives everything back", () => {
  for (const at of ["prepare", "pause"]) {
    const { bench, tell } = running();
    tell(at, at === "prepare" ? "prepared" : "paused");
    bench.killVm("vm0");
    for (const name of ["vm0", "vm0.state"]) {
      const want = name === "vm0" || at === "prepare" ? "ok" : "ENOENT";
      assert.equal(bench.unlink(name), want);
    }
    assert.deepEqual(bench.complaints, []);
  }
});

Deno.test("a VM that is started again after its end boots from nothing", () => {
  const { bench, platform } = running();
  const before = received(bench);
  platform.tellVms("quit");
  platform.runFor(1 * ms);
  bench.startVms(5 * ms);
  assert.equal(platform.statusOf("vm0"), "running");
  assert.ok(received(bench) < before && received(bench) > 0);
});

Deno.test("a guest whose memory is unmapped under its device takes the faults, nobody else", () => {
  const { bench, platform, tell } = running();
  const file = bench.sys.open("/mnt/guestmemfs/vm0", O_RDWR);
  tell("unmap", "unmapped");
  platform.runFor(10 * ms);
  const meter = platform.health.meters.get(0);
  assert.ok(meter.faultCount > 0);
  assert.deepEqual([meter.stray, said(bench.sys.ftruncate(file, 4 * MiB))], [0, "ok"]);
});
