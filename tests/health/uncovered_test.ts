import assert from "node:assert/strict";
import { MiB, ms, PAGE_SIZE } from "../../src/base/units.ts";
import { FrameUse } from "../../src/kernel/mm/frames.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { Platform } from "../../src/platform/platform.ts";
import { snapshot } from "../../src/platform/snapshot.ts";
import * as V from "../../src/uapi/vtd_regs.ts";
import { throwAway } from "../throw_away.ts";

const NIC = 0, DISK = 1;

/** A card behind an IOMMU in a VM's hands, and a disk that none covers, driven by a paravisor. */
function mixed(): Platform {
  const platform = throwAway(
    new Platform({
      machine: {
        profile: findProfile("intel-legacy")!,
        memory: 96 * MiB,
        devices: [
          { id: "nic0", model: "nic", bdf: "3a:00.0", interval: 400_000, packetBytes: 128 },
          { id: "nvme0", model: "nvme", bdf: "3b:00.0", latency: 4 * ms, iommu: "none" },
        ],
      },
      vms: [
        { id: "vm0", memory: 4 * MiB, persistent: true, devices: ["nic0"], ring: 256 },
        {
          id: "pv0",
          memory: 4 * MiB,
          persistent: true,
          devices: ["nvme0"],
          ring: 64,
          program: "paravisor",
          dma: "iommufd",
        },
      ],
      kernel: "rfc-v1",
      guestmemfs: 32 * MiB,
      khoScratch: 16 * MiB,
      seed: 1,
    }),
  );
  for (let i = 0; !platform.kernel.ready; i++) platform.runFor(4 * ms);
  for (const vm of platform.spec.vms) platform.startVm(vm);
  platform.runFor(150 * ms);
  for (const { id } of platform.spec.vms) assert.equal(platform.statusOf(id), "running");
  return platform;
}

/** What hardware does when the disk writes a word to a frame. */
function diskWrites(platform: Platform, pfn: number): void {
  const { port } = platform.machine.functions[DISK];
  assert.ok(port.write(pfn >>> 20, (pfn % 2 ** 20) * PAGE_SIZE, Uint32Array.of(0xdead), 1));
}

function found(platform: Platform): string[] {
  return platform.health.violations.map((v) => `${v.invariant} ${v.subject}: ${v.detail}`);
}

const WRONG: { whose: string; frame: (p: Platform) => number; text: RegExp }[] = [
  {
    whose: "the kernel's",
    frame: (p) => p.kernel.pages.allocPage(FrameUse.kernel),
    text: /^no-stray-dma nvme0: .*landed in .*nobody's memory$/,
  },
  {
    whose: "another guest's",
    frame: (p) => {
      const fs = p.kernel.guestmemfs!;
      return fs.frameOfPage(fs.inodes().find((i) => i.name === "vm0")!, 3);
    },
    text: /^no-stray-dma nvme0: .*landed in .*vm0's memory$/,
  },
];

Deno.test("what a device without an IOMMU does where it has no business is seen in memory", async (t) => {
  const platform = mixed();
  platform.health.check(platform.kernel);
  assert.deepEqual(found(platform), []);
  for (const { whose, frame, text } of WRONG) {
    await t.step(whose, () => {
      platform.health.violations.length = 0;
      diskWrites(platform, frame(platform));
      assert.equal(found(platform).length, 1);
      assert.match(found(platform)[0], text);
      assert.equal(snapshot(platform).devices[DISK].health, "stray");
    });
  }
});

Deno.test("translation that is off excuses no device that a unit is in charge of", () => {
  const platform = mixed();
  const { bus, units: [unit] } = platform.machine;
  const { writes } = platform.health.meters.get(DISK);
  bus.write32(unit.regBase + V.DMAR_GCMD_REG, 0);
  platform.runFor(20 * ms);
  assert.ok(platform.health.meters.get(DISK).writes > writes);
  const of = (fn: number) => platform.health.meters.get(fn).untranslated;
  assert.ok(of(NIC) > 0);
  assert.equal(of(DISK), 0);
  const subjects = platform.health.violations.filter((v) => v.invariant === "no-untranslated-dma");
  assert.deepEqual(subjects.map((v) => v.subject), ["nic0"]);
});

Deno.test("a device without an IOMMU is called what it is, whoever has it", () => {
  const platform = mixed();
  const modes = () => snapshot(platform).devices.map((d) => d.mode);
  assert.deepEqual(modes(), ["iommu", "noiommu"]);
  const { kernel } = platform;
  kernel.scheduler.send(kernel.scheduler.find("pv0")!, "quit");
  platform.runFor(20 * ms);
  assert.deepEqual(modes(), ["iommu", "noiommu"]);
  platform.startUpdate("rfc-v1");
  while (platform.kernel === kernel) platform.runFor(1 * ms);
  assert.equal(platform.kernel.ready, false);
  assert.equal(modes()[DISK], "noiommu");
});
