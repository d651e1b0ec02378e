import assert from "node:assert/strict";
import { lookOver } from "../../src/health/checks.ts";
import type { InvariantId } from "../../src/health/invariants.ts";
import { AmdDomain } from "../../src/kernel/iommu/amd/domain.ts";
import type { AmdDriver } from "../../src/kernel/iommu/amd/driver.ts";
import type { SmmuDomain } from "../../src/kernel/iommu/arm/domain.ts";
import type { SmmuDriver } from "../../src/kernel/iommu/arm/driver.ts";
import { FrameUse } from "../../src/kernel/mm/frames.ts";
import { AMDVI_CONTROL } from "../../src/uapi/amdvi_regs.ts";
import { SMMU_CR0 } from "../../src/uapi/smmuv3_regs.ts";
import { KernelRig, NIC, NIC_SID, NVME, NVME_SID } from "../kernel/rig.ts";

/** Frame of 2 MiB that nothing else uses. */
const LARGE = 0xc00;

type AnyDomain = SmmuDomain | AmdDomain;

/** Two devices on a domain each, DMA done, and hands on the hardware that tell no kernel. */
class Hands {
  readonly rig: KernelRig;
  readonly nic: AnyDomain;
  /** Of the last look. */
  premises: string[] = [];

  constructor(profile: string) {
    this.rig = new KernelRig({ profile });
    this.nic = this.#attach(NIC, NIC_SID, 0x900);
    this.#attach(NVME, NVME_SID, 0xa00);
  }

  #attach(name: string, sid: number, pfn: number): AnyDomain {
    const { rig } = this;
    const group = rig.dev(name).group!;
    group.claim(this, () => false);
    // Not the allocator's to give away.
    for (const at of [pfn, LARGE]) this.rig.kernel.pages.mark(at, 512, FrameUse.preserved);
    const domain = rig.kernel.iommuDriver?.allocPaging(rig.dev(name), {}) as AnyDomain;
    domain.map(16, pfn, 8, 3);
    domain.map(512, LARGE, 512, 3);
    group.attach(domain);
    for (const page of [16, 23, 600]) assert.ok(rig.translate(sid, page) > 0);
    return domain;
  }

  findings(): { invariant: InvariantId; detail: string }[] {
    const { machine, kernel } = this.rig;
    const look = lookOver(machine, kernel, {
      nameOf: (sid) => sid.toString(16),
      strangerOf: () => undefined,
      seen: new WeakSet(),
    });
    this.premises = [...look.premises];
    return look.findings.map(({ invariant, detail }) => ({ invariant, detail }));
  }

  /** Frame and word of a device's entry. */
  entry(sid: number): { pfn: number; word: number; words: number } {
    if (this.rig.machine.amdvis.length > 0) {
      const [iommu] = (this.rig.kernel.iommuDriver as AmdDriver).iommus;
      return { pfn: iommu.root + (sid >>> 7), word: (sid & 127) * 8, words: 8 };
    }
    const { memory, smmus: [unit] } = this.rig.machine;
    assert.equal(unit.streams.find(sid), 0);
    assert.ok(memory.isRam(unit.streams.pfn));
    return { pfn: unit.streams.pfn, word: unit.streams.word, words: 16 };
  }

  store(sid: number, word: number, value: number): void {
    const { pfn, word: first } = this.entry(sid);
    this.rig.machine.memory.store(pfn, first + word, value);
  }

  /** The units read the entry anew. */
  flush(sid: number): void {
    const driver = this.rig.kernel.iommuDriver as SmmuDriver | AmdDriver;
    if ("smmus" in driver) driver.smmus[0].commands.invalidateSte(sid);
    else driver.iommus[0].commands.invalidateDevice(sid);
  }

  get isAmd(): boolean {
    return this.nic instanceof AmdDomain;
  }

  /** An entry of the first table, far from what is mapped, that leads to a table. */
  plant(pfn: number): void {
    const { memory } = this.rig.machine;
    const low = this.isAmd ? (pfn << 12) | 2 << 9 | 1 : (pfn << 12) | 3;
    memory.store(this.nic.pgd, 400 * 2, low);
    memory.store(this.nic.pgd, 400 * 2 + 1, this.isAmd ? 3 << 29 : 0);
  }

  freeFrame(): number {
    for (let pfn = 0x400;; pfn++) {
      if (this.rig.kernel.pages.useOf(pfn) === FrameUse.free) return pfn;
    }
  }
}

interface Tampering {
  how: string;
  run(h: Hands): void;
  invariant: InvariantId;
  detail: RegExp;
}

const TAMPERINGS: Tampering[] = [
  {
    how: "one device's entry is copied over another's",
    run(h) {
      const from = h.entry(NVME_SID), { memory } = h.rig.machine;
      for (let i = 0; i < from.words; i++) {
        h.store(NIC_SID, i, memory.load(from.pfn, from.word + i));
      }
      h.flush(NIC_SID);
    },
    invariant: "domain-in-hardware",
    detail: /^group 0 is on a paging domain at 0x[\da-f]+, (VMID|DomainID) \d+, hardware walks 0x/,
  },
  {
    how: "the same, seen in the cache before it is seen in memory",
    run(h) {
      const old = h.entry(NIC_SID), { memory } = h.rig.machine;
      const kept = Array.from({ length: old.words }, (_, i) => memory.load(old.pfn, old.word + i));
      h.store(NIC_SID, h.isAmd ? 2 : 4, 77);
      h.flush(NIC_SID);
      h.rig.translate(NIC_SID, 16);
      kept.forEach((word, i) => h.store(NIC_SID, i, word));
    },
    invariant: "domain-in-hardware",
    detail: /(VMID|DomainID) 77 \(cached\)$/,
  },
  {
    how: "a device is let pass",
    run(h) {
      if (h.isAmd) h.store(NIC_SID, 0, 0);
      else h.store(NIC_SID, 0, 1 | 4 << 1);
      h.flush(NIC_SID);
    },
    invariant: "domain-in-hardware",
    detail: /hardware passes through/,
  },
  {
    how: "a device is blocked",
    run(h) {
      if (h.isAmd) h.store(NIC_SID, 0, 3);
      else h.store(NIC_SID, 0, 1);
      h.store(NIC_SID, 1, 0);
      h.flush(NIC_SID);
    },
    invariant: "domain-in-hardware",
    detail: /hardware blocks$/,
  },
  {
    how: "a device nobody knows gets tables",
    run(h) {
      const from = h.entry(NIC_SID), { memory } = h.rig.machine;
      for (let i = 0; i < from.words; i++) {
        h.store(NIC_SID + 8, i, memory.load(from.pfn, from.word + i));
      }
    },
    invariant: "domain-in-hardware",
    detail: /^there is no group, hardware walks/,
  },
  {
    how: "the unit is turned off",
    run(h) {
      const { bus, firmware } = h.rig.machine;
      const [{ regBase }] = h.isAmd ? firmware.ivhds : firmware.smmus;
      bus.write32(regBase + (h.isAmd ? AMDVI_CONTROL : SMMU_CR0), 0);
    },
    invariant: "domain-in-hardware",
    detail: /hardware does not translate$/,
  },
  {
    how: "an id stands for two tables",
    run(h) {
      h.store(NIC_SID, h.isAmd ? 2 : 4, idOfNvme(h));
      h.flush(NIC_SID);
    },
    invariant: "did-one-root",
    detail: /^(VMID|DomainID) \d+ stands for tables at 0x[\da-f]+ and for tables at 0x/,
  },
  {
    how: "an entry leads to a table in free memory",
    run: (h) => h.plant(h.freeFrame()),
    invariant: "tables-owned",
    detail: /is free memory to this kernel$/,
  },
  {
    how: "an entry leads to a table that has its place",
    run: (h) => h.plant(middle(h)),
    invariant: "tables-owned",
    detail: /is in two places of the tables$/,
  },
  {
    how: "pages are unmapped and nothing is flushed",
    run: (h) => void h.nic.table.unmap(16, 8, []),
    invariant: "iotlb-fresh",
    detail:
      /^IOTLB has (VMID|DomainID) \d+ IOVA 0x1[\da-f]000 at 0x9[\da-f]+, the tables of 3a00 say otherwise$/,
  },
  {
    how: "a block becomes read-only and nothing is flushed",
    run(h) {
      h.nic.table.unmap(512, 512, []);
      h.nic.table.map(512, LARGE, 512, 1);
    },
    invariant: "iotlb-fresh",
    detail: /IOVA 0x200000 at 0xc00000/,
  },
  {
    how: "a page leads to free memory",
    run: (h) => void h.nic.table.map(32, h.freeFrame(), 1, 3),
    invariant: "leaves-owned",
    detail: /^IOVA 0x20000 leads to 0x[\da-f]+, free memory$/,
  },
  {
    how: "a block leads to memory of which half is free",
    run(h) {
      h.rig.kernel.pages.mark(LARGE + 256, 256, FrameUse.free);
    },
    invariant: "leaves-owned",
    detail: /^IOVA 0x300000 leads to 0xd00000, free memory$/,
  },
];

function idOfNvme(h: Hands): number {
  return (h.rig.dev(NVME).group!.domain as AnyDomain).did;
}

/** The middle table of the other domain. */
function middle(h: Hands): number {
  return (h.rig.dev(NVME).group!.domain as AnyDomain).table.tables().at(-2)!;
}

for (const profile of ["arm-smmuv3-bbml0", "arm-smmuv3-bbml2", "amd"]) {
  Deno.test(`${profile}: nothing is wrong with a machine nobody has tampered with`, () => {
    const hands = new Hands(profile);
    assert.deepEqual(hands.findings(), []);
    for (const p of ["groups-probed", "two-domains", "iotlb-filled"]) {
      assert.ok(hands.premises.includes(p), p);
    }
  });

  for (const { how, run, invariant, detail } of TAMPERINGS) {
    Deno.test(`${profile}: ${invariant}: ${how}`, () => {
      const hands = new Hands(profile);
      run(hands);
      const found = hands.findings().filter((f) => f.invariant === invariant);
      assert.ok(found.some((f) => detail.test(f.detail)), JSON.stringify(hands.findings()));
    });
  }
}
