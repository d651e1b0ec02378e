import assert from "node:assert/strict";
import { ms } from "../../src/base/units.ts";
import { INVARIANT_IDS, type InvariantId } from "../../src/health/invariants.ts";
import { BOOT_PARAMS, readBootParams } from "../../src/kernel/kho/boot_params.ts";
import { PCI_COMMAND } from "../../src/uapi/pci_regs.ts";
import { O_CREAT, O_RDWR } from "../../src/uapi/sys.ts";
import { DMA_GCMD_TE } from "../../src/uapi/vtd_regs.ts";
import { World } from "./world.ts";

/** A way to break the world, and what the judge has to say of it. */
interface Breakage {
  readonly how: string;
  /** Makes a world, breaks it, and lets it run on. */
  run(): World;
  /** Device, guest or unit it is seen at, and what is said. */
  readonly subject: string;
  readonly detail: RegExp;
}

interface Case {
  readonly broken: readonly [Breakage, ...Breakage[]];
  /** A run in which the situation never comes up. */
  readonly unexercised: { readonly what: string; run(): World };
}

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

const CASES: Record<InvariantId, Case> = {
  "no-dma-fault": {
    broken: [
      {
        how: "an entry of its page table is cleared while its guest is paused",
        run() {
          const world = new World().updateTo("kexec");
          world.memory.write64(world.leaf("nic0", 0x1000), 0);
          return world.finish();
        },
        subject: "nic0",
        detail: /^read to IOVA 0x[\da-f]+: fault reason 0x06 /,
      },
      {
        how: "its bus mastering is turned off while the next kernel boots",
        run() {
          const world = new World().updateTo("boot");
          world.busMaster("nic1", false);
          return world.finish();
        },
        subject: "nic1",
        detail: /bus mastering is off/,
      },
      {
        how: "its tables lead to where no memory is",
        run() {
          const world = new World();
          world.memory.write64(world.leaf("nic1", 0), 0x40000000 + 0x83);
          world.flushIotlb();
          return world.run(5 * ms);
        },
        subject: "nic1",
        detail: /no memory at the address/,
      },
      {
        how: "the card is reset, so that it does not even try any more",
        run() {
          const world = new World().updateTo("boot");
          world.run(20 * ms).platform.machine.functions[world.fn("nic0")].reset();
          return world.finish();
        },
        subject: "nic0",
        detail: /was stopped with work in hand/,
      },
      {
        how: "the old kernel resets the card on its way out",
        run() {
          const world = new World().updateTo("kexec").run(5 * ms);
          world.platform.machine.functions[world.fn("nic1")].reset();
          return world.finish();
        },
        subject: "nic1",
        detail: /was stopped with work in hand/,
      },
    ],
    unexercised: { what: "a VM that never saw a kexec", run: () => new World().run(50 * ms) },
  },

  "no-stray-dma": {
    broken: [
      {
        how: "an entry of its page table leads into another guest",
        run() {
          const world = new World();
          const other = world.memory.read64(world.leaf("nic1", 0));
          world.memory.write64(world.leaf("nic0", 0), other);
          world.flushIotlb();
          return world.run(5 * ms);
        },
        subject: "nic0",
        detail: /landed in 0x[\da-f]+, vm1's memory/,
      },
      {
        how: "an entry of its page table leads into the kernel",
        run() {
          const world = new World();
          world.memory.write64(world.leaf("nic0", 0), 0x83);
          world.flushIotlb();
          return world.run(5 * ms);
        },
        subject: "nic0",
        detail: /landed in 0x[\da-f]+, nobody's memory/,
      },
      {
        how: "a device does DMA before its guest has any memory",
        run() {
          const world = new World({ cold: true }).boot();
          // The NIC is started by hand, on a domain somebody wrote into the context table.
          const { machine } = world.platform;
          world.command(0);
          world.configWrite("nic0", PCI_COMMAND, 6);
          const bar = (machine.pci.configRead(world.sid("nic0"), 0x10, 4) & ~0xf) >>> 0;
          const register = (at: number, value: number) => machine.bus.write32(bar + at, value);
          register(0x2800, 0x200000);
          register(0x2808, 128);
          register(0x2818, 7);
          register(0x100, 2);
          return world.run(5 * ms);
        },
        subject: "nic0",
        detail: /nobody's memory/,
      },
    ],
    unexercised: {
      what: "a host without VMs",
      run: () => new World({ cold: true }).boot().run(50 * ms),
    },
  },

  "quiet-unless-held": {
    broken: [{
      how: "a device that was not handed over is let loose while the next kernel boots",
      run() {
        const world = new World().updateTo("boot").run(100 * ms);
        const words = world.contextWords("nic0");
        world.memory.write(world.contextEntry("nic2"), words);
        world.busMaster("nic2", true);
        return world.finish();
      },
      subject: "nic2",
      detail: /reached 0x[\da-f]+ before its driver was there/,
    }],
    unexercised: {
      what: "a kexec with nothing but persistent VMs",
      run: () => new World({ vms: ["vm0", "vm1"] }).liveUpdate(),
    },
  },

  "tables-owned": {
    broken: [
      {
        how: "an entry leads to a table in free memory",
        run() {
          const world = new World().liveUpdate();
          const top = world.context("nic0").root * 4096;
          world.memory.write64(top + 511 * 8, world.freeFrame() * 4096 + 3);
          return world.run(ms);
        },
        subject: "rfc-v1",
        detail: /table page 0x[\da-f]+ is free memory to this kernel/,
      },
      {
        how: "a guest's memory is walked as a table",
        run() {
          const world = new World().liveUpdate();
          const top = world.context("nic0").root * 4096;
          world.memory.write64(top + 511 * 8, world.guestAddress("vm0", QUIET_GPA) + 3);
          return world;
        },
        subject: "rfc-v1",
        detail: /is a guest's memory to this kernel/,
      },
      {
        how: "a table of one domain hangs in another domain as well",
        run() {
          const world = new World().liveUpdate();
          const [from, to] = ["nic0", "nic1"].map((d) => world.context(d).root * 4096);
          world.memory.write64(to + 511 * 8, world.memory.read64(from));
          return world;
        },
        subject: "rfc-v1",
        detail: /is in two places of the tables/,
      },
    ],
    unexercised: { what: "a kernel that nobody was before", run: () => new World() },
  },

  "domain-in-hardware": {
    broken: [
      {
        how: "a context entry is pointed elsewhere behind the core's back",
        run() {
          const world = new World();
          world.memory.write(world.contextEntry("nic0"), world.contextWords("nic1"));
          world.flushContexts();
          return world;
        },
        subject: "nic0",
        detail: /is on a paging domain at 0x[\da-f]+, DID \d+, hardware walks 0x/,
      },
      {
        how: "a context entry is cleared behind the core's back",
        run() {
          const world = new World();
          world.memory.write(world.contextEntry("nvme0"), new Uint8Array(16));
          world.flushContexts();
          return world;
        },
        subject: "nvme0",
        detail: /hardware blocks/,
      },
      {
        how: "only the domain id of a context entry is changed",
        run() {
          const world = new World();
          const at = world.contextEntry("nvme0") + 8;
          world.memory.write64(at, world.memory.read64(at) + 77 * 256);
          world.flushContexts();
          return world;
        },
        subject: "nvme0",
        detail: /hardware walks 0x[\da-f]+, DID/,
      },
      {
        how: "hardware goes by a context entry that nobody flushed",
        run() {
          const world = new World();
          const entry = world.contextEntry("nic0"), words = world.contextWords("nic0");
          world.memory.write(entry, world.contextWords("nic1"));
          world.flushContexts();
          world.unit.translate(world.sid("nic0"), 0, 0, false);
          world.memory.write(entry, words);
          return world;
        },
        subject: "nic0",
        detail: /hardware walks 0x[\da-f]+, DID \d+ \(cached\)/,
      },
      {
        how: "a context entry passes everything through",
        run() {
          const world = new World();
          const entry = world.contextEntry("nvme0");
          world.memory.write64(entry, 9);
          world.flushContexts();
          return world;
        },
        subject: "nvme0",
        detail: /hardware passes through/,
      },
      {
        how: "there is a context entry for which there is no device",
        run() {
          const world = new World();
          world.memory.write(world.contextEntry("nic0") + 5 * 16, world.contextWords("nic0"));
          return world;
        },
        subject: "3a:00.5",
        detail: /there is no group, hardware walks 0x/,
      },
    ],
    unexercised: {
      what: "a kernel that has found no devices yet",
      run: () => new World({ cold: true }).run(100 * ms),
    },
  },

  "did-one-root": {
    broken: [{
      how: "two context entries with different tables get one domain id",
      run() {
        const world = new World();
        const [from, to] = ["nic0", "nic1"].map((d) => world.contextEntry(d) + 8);
        world.memory.write64(to, world.memory.read64(from));
        world.flushContexts();
        return world;
      },
      subject: "nic1",
      detail: /^DID \d+ stands for tables at 0x[\da-f]+ and for tables at 0x/,
    }],
    unexercised: {
      what: "a unit that blocks everything yet",
      run: () => new World({ cold: true }).run(100 * ms),
    },
  },

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

  "no-untranslated-dma": {
    broken: [{
      how: "translation is turned off",
      run() {
        const world = new World();
        world.command(0);
        return world.run(ms);
      },
      subject: "nic0",
      detail: /reached 0x[\da-f]+ with translation off/,
    }],
    unexercised: {
      what: "a host without VMs",
      run: () => new World({ cold: true }).boot().run(50 * ms),
    },
  },

  "iotlb-fresh": {
    broken: [
      {
        how: "an entry of a page table is changed and nobody flushes",
        run() {
          const world = new World();
          const leaf = world.leaf("nic0", 0);
          world.memory.write64(leaf, world.memory.read64(leaf) + 0x200000);
          return world;
        },
        subject: "dmar0",
        detail: /^IOTLB has DID \d+ IOVA 0x0 at 0x[\da-f]+, the tables say otherwise$/,
      },
      {
        how: "an entry of a page table may only be read now and nobody flushes",
        run() {
          const world = new World();
          const leaf = world.leaf("nic0", 0);
          world.memory.write64(leaf, world.memory.read64(leaf) - 2);
          return world;
        },
        subject: "dmar0",
        detail: /the tables say otherwise$/,
      },
      {
        how: "a superpage is split, one page of it is moved, and nobody flushes",
        run() {
          const world = new World();
          const leaf = world.leaf("nic0", 0), big = world.memory.read64(leaf);
          const table = world.freeFrame() * 4096;
          for (let i = 0; i < 512; i++) {
            world.memory.write64(table + i * 8, big - 0x80 + (i === 300 ? 301 : i) * 4096);
          }
          world.memory.write64(leaf, table + 3);
          return world;
        },
        subject: "dmar0",
        detail: /IOVA 0x12c000 at /,
      },
    ],
    unexercised: {
      what: "a host without VMs",
      run: () => new World({ cold: true }).boot().run(50 * ms),
    },
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

Deno.test("every invariant has a case here", () => {
  assert.deepEqual(Object.keys(CASES), [...INVARIANT_IDS]);
});

Deno.test("in a good run every invariant holds", async (t) => {
  for (const seed of [1, 2, 3]) {
    const states = new World({ seed }).abortedUpdate().liveUpdate().liveUpdate().judge();
    for (const { id, verdict, violations } of states) {
      await t.step(`${id}, seed ${seed}`, () => {
        assert.equal(verdict, "holds", violations.map((v) => v.detail).join("; "));
      });
    }
  }
});

for (const id of INVARIANT_IDS) {
  const { broken, unexercised } = CASES[id];
  for (const { how, run, subject, detail } of broken) {
    Deno.test(`${id} is violated when ${how}`, () => {
      const { verdict, violations } = run().verdictOn(id);
      assert.equal(verdict, "violated");
      const seen = violations.find((v) => v.subject === subject);
      assert.ok(seen !== undefined, violations.map((v) => `${v.subject}: ${v.detail}`).join("; "));
      assert.match(seen.detail, detail);
    });
  }
  Deno.test(`${id} is not exercised by ${unexercised.what}`, () => {
    const { verdict, violations } = unexercised.run().verdictOn(id);
    assert.equal(verdict, "not exercised", violations.map((v) => v.detail).join("; "));
  });
}

Deno.test("a unit that translates again after a look is judged by its tables again", () => {
  const world = new World();
  world.command(0);
  world.command(DMA_GCMD_TE);
  assert.equal(world.verdictOn("domain-in-hardware").verdict, "holds");
});
