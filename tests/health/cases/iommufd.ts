import assert from "node:assert/strict";
import { ms } from "../../../src/base/units.ts";
import { Area } from "../../../src/kernel/iommufd/area.ts";
import { HwptPaging } from "../../../src/kernel/iommufd/hwpt.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import type { Ioas } from "../../../src/kernel/iommufd/ioas.ts";
import { O_RDWR } from "../../../src/uapi/sys.ts";
import { ioasAlloc, setPersistent } from "../../../src/userspace/calls.ts";
import { World } from "../world.ts";
import type { Cases } from "./case.ts";

/** The HWPT of a VM's devices, and its IOAS. */
function hwptOf(world: World, id: number): { hwpt: HwptPaging; ioas: Ioas } {
  const ctx = world.platform.kernel.iommufd.contexts.find((c) => c.persistentId === id)!;
  const hwpt = ctx.objects.all.find((o) => o instanceof HwptPaging)!;
  return { hwpt, ioas: hwpt.ioas };
}

function fileOf(world: World, name: string) {
  return world.platform.kernel.guestmemfs!.inodes().find((i) => i.name === name)!;
}

/** An update held with its dump standing, in which something changes. */
function whileDumped(change: (world: World) => void): World {
  const world = new World();
  return world.abortedUpdate(() => {
    change(world);
    world.health.check(world.platform.kernel);
  });
}

/** Memory that devices reach, and what iommufd knows of it. */
export const IOMMUFD_CASES: Cases<"leaves-owned" | "areas-mapped" | "one-claimant" | "dump-true"> =
  {
    "leaves-owned": {
      broken: [
        {
          how: "an entry leads to free memory",
          run() {
            const world = new World();
            let pfn = Math.ceil(world.freeFrame() / 512) * 512;
            while (world.platform.kernel.pages.useOf(pfn) !== FrameUse.free) pfn += 512;
            world.memory.write64(world.leaf("nic0", 0x600000), pfn * 4096 + 0x83);
            return world;
          },
          subject: "nic0",
          detail: /^IOVA 0x600000 leads to 0x[\da-f]+, free memory$/,
        },
        {
          how: "an entry leads to another guest's memory",
          run() {
            const world = new World();
            const other = world.memory.read64(world.leaf("nic1", 0x600000));
            world.memory.write64(world.leaf("nic0", 0x600000), other);
            world.flushIotlb();
            return world;
          },
          subject: "nic0",
          detail: /leads to 0x[\da-f]+, vm1's memory$/,
        },
        {
          how: "a block leaves its file under the device's DMA",
          run() {
            const world = new World();
            fileOf(world, "vm0").numMappings--;
            return world;
          },
          subject: "nic0",
          detail: /^IOVA 0x600000 leads to 0x[\da-f]+, a block of guestmemfs that is no file's$/,
        },
        {
          how: "a page of a process is not pinned any more",
          run() {
            const world = new World();
            const { userPages } = world.platform.kernel;
            const pfn = Math.floor(world.memory.read64(world.leaf("nic2", 0)) / 4096);
            userPages.get(pfn);
            userPages.unpin(pfn);
            return world;
          },
          subject: "nic2",
          detail: /a process's memory that nobody has pinned$/,
        },
      ],
      unexercised: { what: "a host without VMs", run: () => new World({ vms: [] }).run(10 * ms) },
    },

    "areas-mapped": {
      broken: [
        {
          how: "an entry of a page table is cleared",
          run() {
            const world = new World();
            world.memory.write64(world.leaf("nic1", 0x400000), 0);
            world.flushIotlb();
            return world;
          },
          subject: "nic1",
          detail: /^IOVA 0x400000 is in an area, and not in the tables$/,
        },
        {
          how: "an entry may only be read",
          run() {
            const world = new World();
            const at = world.leaf("nic1", 0x400000);
            world.memory.write64(at, world.memory.read64(at) - 2);
            world.flushIotlb();
            return world;
          },
          subject: "nic1",
          detail: /^IOVA 0x400000 has other permissions/,
        },
        {
          how: "a file has another block where it was mapped",
          run() {
            const world = new World();
            fileOf(world, "vm1").setBlock(3, 15);
            return world;
          },
          subject: "nic1",
          detail: /^IOVA 0x600000 leads to 0x[\da-f]+, where the file has 0x/,
        },
        {
          how: "an area is forgotten",
          run() {
            const world = new World();
            const { ioas } = hwptOf(world, 2);
            ioas.iopt.areas.clear();
            return world;
          },
          subject: "nic1",
          detail: /^IOVA 0x0 is in the tables, and no area has it$/,
        },
      ],
      unexercised: { what: "a host without VMs", run: () => new World({ vms: [] }).run(10 * ms) },
    },

    "one-claimant": {
      broken: [
        {
          how: "two iommufds have one id",
          run() {
            const world = new World();
            for (const ctx of world.platform.kernel.iommufd.contexts) {
              if (ctx.persistentId !== 0) ctx.persistentId = 1;
            }
            return world;
          },
          subject: "iommufd 1",
          detail: /^2 open iommufds are this one$/,
        },
        {
          how: "an iommufd has the id of one that waits",
          run() {
            const world = new World().updateTo("restore");
            const { kernel } = world.platform;
            const sys = world.platform.shell();
            const fd = sys.open("/dev/iommu", O_RDWR);
            assert.equal(setPersistent(sys, fd), 3);
            kernel.iommufd.contexts.find((c) => c.persistentId === 3)!.persistentId = 2;
            world.health.check(kernel);
            return world;
          },
          subject: "iommufd 2",
          detail: /^is open, and waits to be picked up$/,
        },
        {
          how: "two HWPTs have the same tables",
          run() {
            const world = new World();
            const { hwpt, ioas } = hwptOf(world, 2);
            const other = world.platform.kernel.iommufd.contexts.find((c) => c.persistentId === 1)!;
            const options = { auto: false, flags: 0 };
            other.objects.add(new HwptPaging(ioas, hwpt.domain, options));
            return world;
          },
          subject: "iommufd 2",
          detail: /^the tables of HWPT \d+ are another's too$/,
        },
        {
          how: "two files have one block",
          run() {
            const world = new World();
            fileOf(world, "vm0").setBlock(3, fileOf(world, "vm1").block(0));
            return world;
          },
          subject: "vm0",
          detail: /^has block \d+ of vm1$/,
        },
      ],
      unexercised: { what: "a VM with ordinary memory", run: () => new World({ vms: ["vm2"] }) },
    },

    "dump-true": {
      broken: [
        {
          how: "an address space is made while the dump stands",
          run: () =>
            whileDumped((world) => {
              const ctx = world.platform.kernel.iommufd.contexts.find((c) => c.persistentId === 1)!;
              ctx.frozen = false;
              const task = world.platform.kernel.scheduler.find("vm0")!;
              const [fd] = task.fds.find(([, file]) => file === ctx)!;
              ioasAlloc(world.platform.kernel.scheduler.makeSys(task), fd);
            }),
          subject: "iommufd 1",
          detail: /^the tree does not say "IOAS \d+"$/,
        },
        {
          how: "an area goes while the dump stands",
          run: () => whileDumped((world) => hwptOf(world, 2).ioas.iopt.areas.clear()),
          subject: "iommufd 2",
          detail: /^the tree says "IOAS \d+ has 0x0 \+ 0x800000, .*", which is not so$/,
        },
        {
          how: "what comes out of the tree is something else",
          run() {
            const world = new World().updateTo("restore");
            world.until(() => world.platform.statusOf("vm1") === "restored");
            const { ioas } = hwptOf(world, 2);
            ioas.iopt.areas.insert(new Area(0x40000000n, 0x40000fffn, 7, null, 0));
            world.health.check(world.platform.kernel);
            return world;
          },
          subject: "iommufd 2",
          detail: /^the tree does not say "IOAS \d+ has 0x40000000 \+ 0x1000, .*"$/,
        },
        {
          how: "a persistent iommufd is not in the dump",
          run: () =>
            whileDumped((world) => {
              const sys = world.platform.shell();
              const fd = sys.open("/dev/iommu", O_RDWR);
              assert.equal(setPersistent(sys, fd), 3);
            }),
          subject: "iommufd 3",
          detail: /^is not in the tree$/,
        },
      ],
      unexercised: { what: "a host on which KHO was never active", run: () => new World() },
    },
  };
