import { ms } from "../../../src/base/units.ts";
import type { Cases } from "./case.ts";
import { World } from "../world.ts";

/** Some page of the guest's that neither a device nor a driver uses. */
const QUIET_GPA = 0x7f8000;

const TRANSLATION_OFF = {
  what: "a kexec before which translation is turned off",
  run: () => new World({ vms: ["vm2"], kernel: "mainline" }).liveUpdate("mainline"),
};

/** Tables and caches. */
export const TABLES_CASES: Cases<
  | "tables-owned"
  | "tables-kept"
  | "closed-at-jump"
  | "domain-in-hardware"
  | "did-one-root"
  | "iotlb-fresh"
> = {
  "closed-at-jump": {
    broken: [
      {
        how: "a context entry is put back after the shutdown",
        run() {
          const world = new World();
          const at = world.contextEntry("nic2"), words = world.contextWords("nic2");
          world.updateTo("kexec").run(40 * ms);
          world.memory.write(at, words);
          return world.finish();
        },
        subject: "nic2",
        detail: /is not handed over, and hardware walks 0x[\da-f]+, DID \d+$/,
      },
    ],
    unexercised: TRANSLATION_OFF,
  },

  "tables-kept": {
    broken: [
      {
        how: "a table is made after the dump",
        run() {
          const world = new World().updateTo("kexec");
          const top = world.context("nic0").root * 4096;
          world.memory.write64(top + 511 * 8, world.freeFrame() * 4096 + 3);
          return world.finish();
        },
        subject: "dmar0",
        detail: /table page 0x[\da-f]+ is in use and not kept, one of 1$/,
      },
    ],
    unexercised: TRANSLATION_OFF,
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

  "iotlb-fresh": {
    broken: [
      {
        how: "a device's translations are still cached at a jump that takes it off",
        run() {
          const world = new World().updateTo("kexec");
          const { unit } = world,
            flush = unit.iotlb.invalidateAll,
            one = unit.iotlb.invalidateDomain;
          unit.iotlb.invalidateAll = unit.iotlb.invalidateDomain = () => {};
          world.run(40 * ms);
          Object.assign(unit.iotlb, { invalidateAll: flush, invalidateDomain: one });
          return world.finish();
        },
        subject: "dmar0",
        detail: /IOTLB has DID \d+ IOVA 0x[\da-f]+ at the jump, which no device is on/,
      },
      {
        how: "an entry of a page table is changed and nobody flushes",
        run() {
          const world = new World();
          const leaf = world.leaf("nic0", 0);
          world.memory.write64(leaf, world.memory.read64(leaf) + 0x200000);
          return world;
        },
        subject: "dmar0",
        detail: /^IOTLB has DID \d+ IOVA 0x0 at 0x[\da-f]+, the tables of nic0 say otherwise$/,
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
        detail: /the tables of nic\d say otherwise$/,
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
      {
        how: "an entry leads to a copy of the table it led to, and nobody flushes",
        run() {
          const world = new World();
          const leaf = world.leaf("nic0", 0), big = world.memory.read64(leaf);
          const [table, copy] = [0, 1].map((i) => (world.freeFrame() + i) * 4096);
          for (const at of [table, copy]) {
            for (let i = 0; i < 512; i++) world.memory.write64(at + i * 8, big - 0x80 + i * 4096);
          }
          world.memory.write64(leaf, table + 3);
          world.unit.iotlb.invalidateAll();
          world.run(20 * ms);
          world.memory.write64(leaf, copy + 3);
          return world;
        },
        subject: "dmar0",
        detail:
          /^paging-structure cache has DID \d+ IOVA 0x0 by the table at 0x[\da-f]+, the tables of nic0 say/,
      },
    ],
    unexercised: {
      what: "a host without VMs",
      run: () => new World({ cold: true }).boot().run(50 * ms),
    },
  },
};
