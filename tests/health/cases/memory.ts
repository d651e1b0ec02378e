import assert from "node:assert/strict";
import { ms } from "../../../src/base/units.ts";
import { BOOT_PARAMS, readBootParams } from "../../../src/kernel/kho/boot_params.ts";
import { PCI_COMMAND } from "../../../src/uapi/pci_regs.ts";
import { O_CREAT, O_RDWR } from "../../../src/uapi/sys.ts";
import type { Cases } from "./case.ts";
import { World } from "../world.ts";

/** Some page of the guest's that neither a device nor a driver uses. */
const QUIET_GPA = 0x7f8000;

/** A file that a VM will take for its memory, its blocks those of another VM's. */
function sameMemory(world: World, as: string, of: string): void {
  const sys = world.platform.shell();
  const fd = sys.open(`/mnt/guestmemfs/${as}`, O_RDWR | O_CREAT);
  assert.ok(fd > 0 && sys.ftruncate(fd, 8 << 20) === 0);
  const inodes = world.platform.kernel.guestmemfs!.inodes();
  const [mine, other] = [as, of].map((name) => inodes.find((i) => i.name === name)!);
  for (let i = 0; i < other.numMappings; i++) mine.setBlock(i, other.block(i));
}

/** The kernel's books and the guests' memory. */
export const MEMORY_CASES: Cases<
  "pins-balanced" | "scratch-clean" | "abort-restores" | "guest-intact"
> = {
  "pins-balanced": {
    broken: [
      {
        how: "the pins of a file are counted up in memory",
        run() {
          const world = new World();
          const inode = world.platform.kernel.guestmemfs!.inodes().find((i) => i.name === "vm0")!;
          inode.pins++;
          return world;
        },
        subject: "vm0",
        detail: /^2 pins, 1 mappings$/,
      },
      {
        how: "a pin is lost",
        run() {
          const world = new World();
          world.platform.kernel.guestmemfs!.inodes().find((i) => i.name === "vm1")!.pins = 0;
          return world;
        },
        subject: "vm1",
        detail: /^0 pins, 1 mappings$/,
      },
      {
        how: "a pin too many comes up while the iommufds wait to be picked up",
        run() {
          const world = new World().updateTo("restore");
          // Right after the file system came over, before a VMM has run.
          const { kernel } = world.platform;
          assert.ok(kernel.iommufd.pending.length > 0);
          kernel.guestmemfs!.inodes().find((i) => i.name === "vm0")!.pins++;
          world.health.check(kernel);
          return world;
        },
        subject: "vm0",
        detail: /^2 pins, 1 mappings$/,
      },
    ],
    unexercised: {
      what: "a VM with ordinary memory",
      run: () => new World({ vms: ["vm2"] }).run(20 * ms),
    },
  },

  "scratch-clean": {
    broken: [{
      how: "the list of what is to be kept names a page of scratch",
      run() {
        const world = new World();
        world.platform.onJump = () => {
          const { memory } = world;
          const { memCache, memCacheSize, scratch, scratchSize } = readBootParams(memory)!;
          memory.write64(memCache + memCacheSize, scratch + scratchSize - 4096);
          memory.write64(memCache + memCacheSize + 8, 4096);
          memory.write64(BOOT_PARAMS + 48, memCacheSize + 16);
        };
        return world.liveUpdate();
      },
      subject: "kho",
      detail: /^preserved 0x[\da-f]+-0x[\da-f]+ meets scratch$/,
    }],
    unexercised: { what: "a host on which KHO was never active", run: () => new World() },
  },

  "abort-restores": {
    broken: [
      {
        how: "a bit of a device's command register changes meanwhile",
        run: () => {
          const world = new World();
          return world.abortedUpdate(() => world.configWrite("nic0", PCI_COMMAND, 0x406));
        },
        subject: "rfc-v1",
        detail: /^was "device 0000:3a:00.0 command 6 .*", is "device 0000:3a:00.0 command 1030 /,
      },
      {
        how: "somebody leaves an iommufd open",
        run: () => {
          const world = new World();
          return world.abortedUpdate(() => world.platform.shell().open("/dev/iommu", O_RDWR));
        },
        subject: "rfc-v1",
        detail: /iommufd 0 frozen false/,
      },
    ],
    unexercised: { what: "an update that went through", run: () => new World().liveUpdate() },
  },

  "guest-intact": {
    broken: [
      {
        how: "a word of its memory is changed while it is paused",
        run() {
          const world = new World().updateTo("kexec");
          world.memory.write64(world.guestAddress("vm1", QUIET_GPA), 0xbad);
          return world.finish();
        },
        subject: "vm1",
        detail: /changed behind the guest's back/,
      },
      {
        how: "another guest's device writes into it while it is paused",
        run() {
          const world = new World().updateTo("kexec");
          const [from, to] = ["nic0", "nic1"].map((d) => world.leaf(d, 0x600000));
          // The last 2 MiB of vm1, which its own card never touches, under vm0's ring.
          world.memory.write64(world.leaf("nic0", 0), world.memory.read64(to));
          assert.notEqual(from, to);
          world.flushIotlb();
          world.run(5 * ms);
          return world.finish();
        },
        subject: "vm1",
        detail: /changed behind the guest's back/,
      },
      {
        how: "its file has other blocks when it comes back",
        run() {
          const world = new World({ vms: ["vm0"] }).updateTo("restore");
          const inode = world.platform.kernel.guestmemfs!.inodes().find((i) => i.name === "vm0")!;
          inode.setBlock(3, 15);
          return world.finish();
        },
        subject: "vm0",
        detail: /guest page is now frame 0x[\da-f]+, it was another/,
      },
      {
        how: "two guests are given the same memory",
        run() {
          const world = new World({ vms: ["vm0", "vm1"], cold: true }).boot().startVm("vm0");
          sameMemory(world, "vm1", "vm0");
          return world.startVm("vm1").run(10 * ms);
        },
        subject: "vm1",
        detail: /guest page is frame 0x[\da-f]+, which vm0 has too/,
      },
      {
        how: "the kernel keeps nothing and the guest has to boot again",
        run: () => new World({ vms: ["vm0"], kernel: "mainline" }).liveUpdate("mainline"),
        subject: "vm0",
        detail: /./,
      },
    ],
    unexercised: {
      what: "a guest that first came up after the kexec",
      run: () =>
        new World({ vms: ["vm0"], cold: true }).boot().liveUpdate().startVm("vm0").run(10 * ms)
          .abortedUpdate(),
    },
  },
};
