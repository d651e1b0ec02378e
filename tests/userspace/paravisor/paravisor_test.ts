import assert from "node:assert/strict";
import { MiB, ms, PAGE_SIZE } from "../../../src/base/units.ts";
import type { DeviceSpec } from "../../../src/machine/machine.ts";
import { findProfile } from "../../../src/machine/profile.ts";
import { stateOf } from "../../../src/platform/dump/state.ts";
import { iommufdTree } from "../../../src/platform/look/iommufd_tree.ts";
import { Platform } from "../../../src/platform/platform.ts";
import type { VmSpec } from "../../../src/platform/spec.ts";
import { LINUX_REBOOT_CMD_KEXEC, O_WRONLY } from "../../../src/uapi/sys.ts";
import { throwAway } from "../../throw_away.ts";

const NVME: DeviceSpec = { id: "nvme0", model: "nvme", bdf: "3b:00.0", latency: 40 * ms };
const PV: VmSpec = {
  id: "pv0",
  memory: 4 * MiB,
  persistent: true,
  devices: ["nvme0"],
  ring: 64,
  program: "paravisor",
  dma: "iommufd",
};

/** A machine without IOMMUs whose only disk a paravisor drives, and somebody to operate it. */
class Stage {
  readonly platform: Platform;

  constructor(o: Partial<VmSpec> = {}, kernel = "rfc-v1", cmdline?: string) {
    this.platform = throwAway(
      new Platform({
        machine: { profile: findProfile("pc-no-iommu")!, memory: 96 * MiB, devices: [NVME] },
        vms: [{ ...PV, ...o }],
        kernel,
        guestmemfs: 32 * MiB,
        khoScratch: 16 * MiB,
        ...(cmdline !== undefined && { cmdline }),
        seed: 1,
      }),
    );
    this.until(() => this.platform.kernel.ready);
    this.start();
  }

  run(ns: number): void {
    this.platform.runFor(ns);
  }

  until(condition: () => boolean): void {
    for (let i = 0; !condition(); i++) {
      assert.ok(i < 500, "it never came to that");
      this.run(4 * ms);
    }
  }

  start(): void {
    this.platform.startVm(this.platform.spec.vms[0]);
    this.until(() => ["running", "exited"].includes(this.status));
    this.run(100 * ms);
  }

  get status(): string {
    return this.platform.statusOf("pv0");
  }

  get disk() {
    return this.platform.machine.functions[0];
  }

  get done(): number {
    return this.platform.guests.get("pv0")!.report().ioCompleted;
  }

  compact(): void {
    const sys = this.platform.shell();
    const fd = sys.open("/proc/sys/vm/compact_memory", O_WRONLY);
    assert.ok(sys.write(fd, new TextEncoder().encode("1")) > 0);
  }

  /** A live update, and how it ended. `calledOff`: once its guest is paused. */
  update(calledOff = false): string {
    const { platform } = this;
    const over = platform.startUpdate("rfc-v1", calledOff ? "pause" : undefined);
    if (calledOff) {
      this.until(() => platform.update!.held);
      platform.update!.abortRequested = true;
      platform.director.poke();
    }
    this.until(over);
    return platform.update!.outcome;
  }

  /** What is violated. */
  get complaints(): string[] {
    this.platform.judge();
    return this.platform.health.violations.map((v) => `${v.invariant} ${v.subject}: ${v.detail}`);
  }

  says(text: string): boolean {
    return this.platform.events.some((e) => e.text.includes(text));
  }
}

Deno.test("through updates, one called off, and compaction the disk works on (FACTS 9 R24-R26)", async (t) => {
  for (const dma of ["iommufd", "guestmemfs"] as const) {
    await t.step(dma, () => {
      const stage = new Stage({ dma });
      assert.equal(stage.status, "running");
      stage.compact();
      for (const calledOff of [true, false, false]) {
        const { done } = stage;
        assert.equal(stage.update(calledOff), calledOff ? "aborted" : "done");
        stage.compact();
        stage.run(100 * ms);
        assert.ok(stage.done > done);
      }
      assert.deepEqual(stage.complaints, []);
      assert.equal(stage.disk.resets, 1);
    });
  }
});

Deno.test("its memory lies in guestmemfs and in a memfd, pinned", () => {
  const { platform } = new Stage();
  const queues = platform.kernel.userPages.pinned;
  assert.ok(queues > 0 && queues < 64, `${queues} pages`);
  assert.deepEqual(platform.shell().readdir("/mnt/guestmemfs"), ["pv0"]);
  const { iommufds: [{ hwpts, devices }] } = stateOf(platform.kernel);
  assert.deepEqual(hwpts.map((h) => h.noiommu), [true]);
  assert.ok(devices[0].access_id! > devices[0].id);
  const lines = iommufdTree(platform, new Set()).map(({ detail }) => detail);
  assert.ok(lines.some((line) => line.startsWith("walked by no hardware")));
  const other = new Stage({ persistent: false }).platform;
  assert.equal(other.kernel.userPages.pinned, queues + PV.memory / PAGE_SIZE);
  assert.deepEqual(other.shell().readdir("/mnt/guestmemfs"), []);
});

Deno.test("a paravisor that ends, by itself or not, leaves the disk stopped and reset", async (t) => {
  for (const how of ["quit", "kill"] as const) {
    await t.step(how, () => {
      const stage = new Stage();
      const { kernel } = stage.platform;
      const task = kernel.scheduler.find("pv0")!;
      if (how === "quit") kernel.scheduler.send(task, "quit");
      else kernel.scheduler.kill(task);
      stage.run(100 * ms);
      assert.deepEqual([stage.disk.resets, stage.disk.port.busMaster], [2, false]);
      assert.equal(kernel.userPages.pinned, 0);
      stage.platform.forgetVm("pv0");
      stage.start();
      assert.equal(stage.status, "running");
      assert.ok(stage.done > 0);
      assert.deepEqual(stage.complaints, []);
    });
  }
});

Deno.test("where the kernel persists nothing it says so, and its disk stops at the kexec", () => {
  const stage = new Stage({}, "mainline");
  assert.equal(stage.status, "running");
  assert.ok(stage.says("kernel cannot persist an iommufd (EOPNOTSUPP): going on without"));
  const { kernel } = stage.platform;
  const sys = stage.platform.shell();
  assert.equal(sys.kexecFileLoad("mainline", 0), 0);
  assert.equal(stage.disk.port.busMaster, true);
  stage.platform.atNextJump(() => assert.equal(stage.disk.port.busMaster, false));
  assert.equal(sys.reboot(LINUX_REBOOT_CMD_KEXEC), 0);
  stage.until(() => stage.platform.kernel !== kernel && stage.platform.kernel.ready);
});

Deno.test("without noiommu mode there is nothing it could drive", () => {
  const stage = new Stage({}, "rfc-v1", "vfio.enable_unsafe_noiommu_mode=0");
  assert.equal(stage.status, "exited");
  assert.ok(stage.says("probe of 0000:3b:00.0 failed with error -22"));
  assert.equal(stage.disk.port.busMaster, false);
});

Deno.test("what is only locked is not found again", () => {
  const stage = new Stage({ dma: "mlock", persistent: true });
  assert.equal(stage.status, "running");
  stage.update();
  assert.ok(stage.says("cannot go on: find the disk's memory again"));
});
