import assert from "node:assert/strict";
import { ms, PAGE_SIZE } from "../../src/base/units.ts";
import type { DmarDomain } from "../../src/kernel/iommu/intel/domain.ts";
import type { IntelDriver } from "../../src/kernel/iommu/intel/driver.ts";
import { FrameUse } from "../../src/kernel/mm/frames.ts";
import { NIC_RXPASID, NIC_RXPASID_VALID } from "../../src/uapi/nic_regs.ts";
import { World } from "./world.ts";

const PASID = 70;
const SID = 0x3a00;

/**
 * The whole platform on a machine in scalable mode. nic0 receives for its guest by a PASID of its
 * own, under a second domain with the same mappings; nic1 receives without one.
 */
class PasidWorld extends World {
  readonly domain: DmarDomain;

  constructor() {
    super({ profile: "intel-scalable", pasidBits: 15 });
    const { kernel, machine } = this.platform;
    const dev = kernel.pci.devices.find((d) => d.sid === SID)!;
    const first = dev.group!.domain as DmarDomain;
    this.domain = kernel.intel!.allocPaging(dev, {}) as DmarDomain;
    for (let page = 0; page < 2048; page++) {
      const pfn = first.translate(page);
      if (pfn >= 0) assert.equal(this.domain.map(page, pfn, 1, 3), 0);
    }
    assert.equal(dev.group!.attachPasid(PASID, this.domain), 0);
    machine.bus.write32(dev.bar0 + NIC_RXPASID, (NIC_RXPASID_VALID | PASID) >>> 0);
    this.run(10 * ms);
    this.platform.health.check(kernel);
  }

  /** Physical address of the device's context entry (FACTS 3.1). */
  get deviceEntry(): number {
    const root = this.unit.rootPfn * PAGE_SIZE;
    const half = this.memory.read64(root + (SID >> 8) * 16 + ((SID & 0x80) >> 4));
    return Math.floor(half / PAGE_SIZE) * PAGE_SIZE + (SID & 0x7f) * 32;
  }

  /** Physical address of a PASID's directory entry. */
  directory(pasid: number): number {
    return Math.floor(this.memory.read64(this.deviceEntry) / PAGE_SIZE) * PAGE_SIZE +
      (pasid >> 6) * 8;
  }

  /** Physical address of a PASID's table entry. */
  entry(pasid: number): number {
    const table = this.memory.read64(this.directory(pasid));
    return Math.floor(table / PAGE_SIZE) * PAGE_SIZE + (pasid & 63) * 64;
  }

  /** Physical address of the leaf of a page of a domain of 4 KiB pages. */
  leafOf(domain: DmarDomain, page: number): number {
    let table = domain.pgd;
    for (let level = domain.table.levels;; level--) {
      const at = table * PAGE_SIZE + (Math.floor(page / 512 ** (level - 1)) % 512) * 8;
      if (level === 1) return at;
      table = Math.floor(this.memory.read64(at) / PAGE_SIZE);
    }
  }

  get nic1(): DmarDomain {
    const { devices } = this.platform.kernel.pci;
    return devices.find((d) => d.sid === this.sid("nic1"))!.group!.domain as DmarDomain;
  }

  /** A page that the device has gone through lately, of those that lead to guest memory. */
  get cachedPage(): number {
    const entries = [...this.unit.iotlb.entries()];
    return entries.find((e) => e.did === this.domain.did)!.page;
  }

  /** Context cache, PASID cache and IOTLB forget, whatever the kernel thinks of it. */
  forget(): this {
    (this.platform.kernel.intel as IntelDriver).units[0].flushAll();
    return this;
  }
}

Deno.test("in scalable mode every invariant holds, for a PASID of a device too", () => {
  const world = new PasidWorld();
  const meter = world.meter("nic0");
  const { writes } = meter;
  world.run(20 * ms);
  assert.ok(meter.writes > writes, "it is the PASID by which packets come in");
  assert.ok([...world.unit.iotlb.entries()].some((e) => e.did === world.domain.did));
  for (const { id, verdict, violations } of world.judge()) {
    assert.notEqual(verdict, "violated", `${id}: ${violations.map((v) => v.detail).join("; ")}`);
  }
  const { premises } = world.health;
  for (const p of ["groups-probed", "two-domains", "iotlb-filled", "dma-seen"] as const) {
    assert.ok(premises.has(p), p);
  }
  // The domain is nobody's that would be handed over: the PASID ends before the jump.
  const dev = world.platform.kernel.pci.devices.find((d) => d.sid === SID)!;
  world.platform.machine.bus.write32(dev.bar0 + NIC_RXPASID, 0);
  dev.group!.detachPasid(PASID);
  world.domain.free();
  for (const { id, verdict, violations } of world.abortedUpdate().liveUpdate().judge()) {
    // No card here asks for pages.
    if (id === "page-requests-kept") continue;
    assert.equal(verdict, "holds", `${id}: ${violations.map((v) => v.detail).join("; ")}`);
  }
});

interface TakenAway {
  how: string;
  run(world: PasidWorld): void;
  /** What is found, by the device or the unit it is found at. */
  found: readonly [invariant: string, subject: string, detail: RegExp, address?: true][];
}

const ON = `^PASID ${PASID} of group 0 is on a paging domain at 0x[\\da-f]+, DID \\d+, hardware `;
/** In the log of what the NIC got. */
const REFUSED = (reason: string) => new RegExp(`to IOVA 0x[\\da-f]+: fault reason 0x${reason} \\(`);

const TAKEN_AWAY: TakenAway[] = [
  {
    how: "its PASID entry is zeroed",
    run(world) {
      world.memory.write(world.entry(PASID), new Uint8Array(64));
      world.forget().run(ms);
    },
    found: [
      ["domain-in-hardware", "nic0", new RegExp(ON + "blocks$")],
      ["no-dma-fault", "nic0", REFUSED("59"), true],
    ],
  },
  {
    how: "its PASID entry is pointed at another device's tables",
    run(world) {
      world.memory.write64(
        world.entry(PASID),
        world.nic1.pgd * PAGE_SIZE + world.memory.read64(world.entry(PASID)) % PAGE_SIZE,
      );
      world.forget().run(ms);
    },
    found: [
      ["domain-in-hardware", "nic0", new RegExp(ON + "walks 0x[\\da-f]+, DID \\d+")],
      ["no-stray-dma", "nic0", /to IOVA 0x[\da-f]+: landed in 0x[\da-f]+, vm1's memory$/, true],
      ["leaves-owned", "nic0", /vm1's memory$/],
    ],
  },
  {
    how: "its PASID entry gets another domain id",
    run(world) {
      const at = world.entry(PASID) + 8;
      world.memory.write64(at, world.memory.read64(at) + 900);
      world.forget();
    },
    found: [["domain-in-hardware", "nic0", new RegExp(ON + "walks 0x[\\da-f]+, DID 9\\d\\d$")]],
  },
  {
    how: "its PASID entry gets the domain id of another device",
    run(world) {
      const at = world.entry(PASID) + 8;
      world.memory.write64(at, world.nic1.did);
      world.forget();
    },
    found: [
      ["domain-in-hardware", "nic0", new RegExp(ON + "walks 0x[\\da-f]+, DID \\d$")],
      ["did-one-root", "nic1", /^DID \d+ stands for tables at 0x[\da-f]+ and for tables at 0x/],
    ],
  },
  {
    how: "its PASID entry lets everything pass",
    run(world) {
      world.memory.write64(world.entry(PASID), 4 * 64 + 1);
      world.forget().run(ms);
    },
    found: [
      ["domain-in-hardware", "nic0", new RegExp(ON + "passes through, DID")],
      ["no-stray-dma", "nic0", /to IOVA 0x[\da-f]+: landed in/, true],
    ],
  },
  {
    how: "hardware goes by a PASID entry that nobody flushed",
    run(world) {
      const at = world.entry(PASID), words = world.memory.read(at, 64);
      world.memory.write(at, world.memory.read(world.entry(0), 64));
      world.forget().run(ms);
      world.memory.write(at, words);
    },
    found: [["domain-in-hardware", "nic0", new RegExp(ON + "walks .* \\(cached\\)$")]],
  },
  {
    how: "its directory entry is cleared",
    run(world) {
      world.memory.write64(world.directory(PASID), 0);
      world.forget().run(ms);
    },
    found: [
      ["domain-in-hardware", "nic0", new RegExp(ON + "blocks$")],
      ["no-dma-fault", "nic0", REFUSED("51"), true],
    ],
  },
  {
    how: "its context entry lets no PASID in",
    run(world) {
      world.memory.write64(world.deviceEntry, world.memory.read64(world.deviceEntry) - 8);
      world.forget().run(ms);
    },
    found: [
      ["domain-in-hardware", "nic0", new RegExp(ON + "blocks$")],
      ["no-dma-fault", "nic0", REFUSED("45"), true],
    ],
  },
  {
    how: "requests without a PASID are sent by its entry",
    run(world) {
      world.memory.write64(world.deviceEntry + 8, PASID);
      world.forget();
    },
    found: [["domain-in-hardware", "nic0", /^group 0 is on a paging domain at .*, hardware walks/]],
  },
  {
    how: "the cached context entry leads to a directory that memory no longer names",
    run(world) {
      const other = world.freeFrame() * PAGE_SIZE, at = world.deviceEntry;
      world.memory.write64(other, 0);
      world.memory.write64(at, other + world.memory.read64(at) % PAGE_SIZE);
      world.forget().run(ms);
      world.memory.write64(at, world.directory(PASID) - world.directory(PASID) % PAGE_SIZE);
    },
    found: [
      ["domain-in-hardware", "nic0", /hardware blocks$/],
      ["no-dma-fault", "nic0", REFUSED("51"), true],
    ],
  },
  {
    how: "a PASID leads somewhere without a domain",
    run(world) {
      world.memory.write(world.entry(PASID + 1), world.memory.read(world.entry(PASID), 64));
    },
    found: [[
      "domain-in-hardware",
      "nic0",
      new RegExp(
        `^PASID ${PASID + 1} is on no domain, hardware walks 0x`,
      ),
    ]],
  },
  {
    how: "PASID 0 of a device for which there is no group leads somewhere",
    run(world) {
      world.memory.write(world.deviceEntry + 5 * 32, world.memory.read(world.deviceEntry, 32));
      world.memory.write64(world.deviceEntry + 5 * 32 + 8, 3);
    },
    found: [
      ["domain-in-hardware", "3a:00.5", /^there is no group for PASID 0, hardware walks/],
      ["leaves-owned", "3a:00.5", /vm0's memory$/],
      // Its directory is the other device's.
      ["tables-owned", "rfc-v1", /is in two places of the tables$/, true],
    ],
  },
  {
    how: "its PASID table lies in free memory",
    run(world) {
      const free = world.freeFrame() * PAGE_SIZE, table = world.entry(PASID);
      world.memory.write(free, world.memory.read(table - table % PAGE_SIZE, PAGE_SIZE));
      world.memory.write64(world.directory(PASID), free + 1);
    },
    found: [["tables-owned", "rfc-v1", /is free memory to this kernel$/, true]],
  },
  {
    how: "its PASID table has two places in the directory",
    run(world) {
      world.memory.write64(world.directory(200), world.memory.read64(world.directory(PASID)));
    },
    found: [
      ["tables-owned", "rfc-v1", /is in two places of the tables$/, true],
      ["domain-in-hardware", "nic0", /^PASID 198 is on no domain, hardware walks/],
    ],
  },
  {
    how: "a page of its tables is led elsewhere, and the IOTLB is not told",
    run(world) {
      const leaf = world.leafOf(world.domain, world.cachedPage);
      world.memory.write64(leaf, world.memory.read64(leaf) + PAGE_SIZE);
    },
    found: [[
      "iotlb-fresh",
      "dmar0",
      new RegExp(
        `IOVA 0x[\\da-f]+ at 0x[\\da-f]+, the tables of nic0 PASID ${PASID} say otherwise`,
      ),
      true,
    ]],
  },
];

for (const { how, run, found } of TAKEN_AWAY) {
  Deno.test(`a PASID's way to memory: ${how}`, () => {
    const world = new PasidWorld();
    assert.equal(world.health.violations.length, 0);
    run(world);
    world.health.check(world.platform.kernel);
    const all = world.health.violations;
    const text = all.map((v) => `${v.invariant} ${v.subject}: ${v.detail}`).join("\n");
    for (const [invariant, subject, detail, address] of found) {
      const seen = all.find((v) => v.invariant === invariant && v.subject === subject);
      assert.ok(seen !== undefined, `no ${invariant} at ${subject}:\n${text}`);
      assert.match(seen.detail, detail);
      if (address) assert.ok(seen.address !== undefined && seen.address > 0, text);
    }
    const ids = new Set(found.map(([invariant]) => invariant));
    assert.deepEqual(
      [...new Set(all.map((v) => v.invariant))].filter((i) => !ids.has(i)),
      [],
      text,
    );
  });
}

Deno.test("the tables of a PASID are the kernel's, each page of them", () => {
  const world = new PasidWorld();
  const { pages } = world.platform.kernel;
  for (
    const at of [world.deviceEntry, world.directory(PASID), world.entry(PASID), world.entry(0)]
  ) {
    assert.equal(pages.useOf(Math.floor(at / PAGE_SIZE)), FrameUse.iommuTable);
  }
});
