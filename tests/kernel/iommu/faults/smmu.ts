import assert from "node:assert/strict";
import type { SmmuDomain } from "../../../../src/kernel/iommu/arm/domain.ts";
import type { SmmuDriver } from "../../../../src/kernel/iommu/arm/driver.ts";
import type { SmmuDevice } from "../../../../src/kernel/iommu/arm/smmu.ts";
import * as Q from "../../../../src/uapi/smmuv3_queues.ts";
import { AF, contextDescriptor, PAGE, S2_RW, stage1Ste } from "../../../machine/smmuv3/bench.ts";
import { KernelRig, NIC_SID } from "../../rig.ts";

/** A page number where this machine has no memory. */
const HOLE = 0x70000n;

/** What a record says beside its number: bits 64 and on (FACTS 4.1; IHI 0070 chapter 7). */
const READ = 1n << 35n, S2 = 1n << 39n, TTD = 1n << 40n, IN = 2n << 40n;

/** A request that cannot be served: what leads to it, what is recorded and what is printed. */
export interface EventCase {
  readonly event: number;
  readonly name: string;
  /** Hands on the tables; the kernel is not told. */
  prepare(at: Streams): void;
  readonly write: boolean;
  readonly iova: number;
  readonly ssid?: number;
  /** The NIC's unless said. */
  readonly sid?: number;
  readonly profile?: string;
  /** The last three of the record's four qwords. */
  record(at: Streams): [flags: bigint, address: bigint, second: bigint];
  /** The text of the second line, where there is one. */
  readonly text?: string;
}

/** A kernel with its NIC on a domain of its own, and the words of the tables hardware walks. */
export class Streams {
  readonly rig: KernelRig;
  readonly smmu: SmmuDevice;
  readonly domain: SmmuDomain;

  constructor(profile = "arm-smmuv3-bbml0") {
    this.rig = new KernelRig({ profile });
    const driver = this.rig.kernel.iommuDriver as SmmuDriver;
    this.smmu = driver.smmus[0];
    const { group } = this.rig.dev();
    assert.equal(group?.claim("test", () => false), 0);
    this.domain = driver.allocPaging(this.rig.dev(), {}) as SmmuDomain;
    assert.equal(group?.attach(this.domain), 0);
  }

  get #memory() {
    return this.rig.machine.memory;
  }

  /** 64 bits of a table: `index` counts entries of 8 bytes. */
  load(pfn: number, index: number): bigint {
    const word = (i: number) => BigInt(this.#memory.load(pfn, index * 2 + i) >>> 0);
    return word(0) | word(1) << 32n;
  }

  store(pfn: number, index: number, value: bigint): void {
    this.#memory.store(pfn, index * 2, Number(value & 0xffffffffn) | 0);
    this.#memory.store(pfn, index * 2 + 1, Number(value >> 32n & 0xffffffffn) | 0);
  }

  /** A page that is nobody's table yet. */
  page(): number {
    return this.rig.kernel.pages.allocPage(1);
  }

  /** The NIC's stream table entry: 8 qwords. */
  ste(change: (qwords: bigint[]) => bigint[]): void {
    const slot = this.smmu.streams.slot(NIC_SID);
    assert.ok(slot);
    const word = (i: number) => BigInt(slot.load(i) >>> 0);
    const before = Array.from({ length: 8 }, (_, i) => word(2 * i) | word(2 * i + 1) << 32n);
    change(before).forEach((value, i) => {
      slot.store(2 * i, Number(value & 0xffffffffn) | 0);
      slot.store(2 * i + 1, Number(value >> 32n) | 0);
    });
  }

  /** The NIC goes by stage 1, with this context descriptor; its page. */
  stage1(descriptor: bigint[], bits = 0, dss = 0): number {
    const pfn = this.page();
    descriptor.forEach((value, i) => this.store(pfn, i, value));
    this.ste(() => stage1Ste(BigInt(pfn) << 12n, bits, dss));
    return pfn;
  }

  /** Maps a page, and hands out the leaf's place. */
  leaf(page: number, prot = 3): [pfn: number, index: number] {
    assert.equal(this.domain.map(page, 0x500, 1, prot), 0);
    let table = this.domain.pgd;
    for (const shift of [18, 9]) {
      table = Number(this.load(table, (page >> shift) & 511) >> 12n & 0xffffffffffn);
    }
    return [table, page & 511];
  }

  /** The table that covers the first GiB. */
  get level2(): number {
    return Number(this.load(this.domain.pgd, 0) >> 12n & 0xffffffffffn);
  }

  /** Hardware reads everything anew. */
  forget(): void {
    this.smmu.commands.invalidateAll();
  }

  /** One access of a device; what becomes of it. */
  access(write: boolean, iova: number, ssid?: number, sid = NIC_SID): number {
    const hi = Math.floor(iova / 2 ** 32) | 0, lo = iova | 0;
    const [unit] = this.rig.machine.smmus;
    return ssid === undefined
      ? unit.translate(sid, hi, lo, write)
      : unit.translateSubstream(sid, ssid, hi, lo, write);
  }

  /** The first record of the event queue, as it lies in memory. */
  record(): bigint[] {
    return [0, 1, 2, 3].map((i) => this.load(this.smmu.events.pfn, i));
  }

  /** What the driver printed of events. */
  get lines(): string[] {
    const prefix = `arm-smmu-v3 ${this.smmu.name}: `;
    const from = this.rig.log.findIndex((l) => /event 0x.. received:$/.test(l));
    return from < 0 ? [] : this.rig.log.slice(from).map((l) => l.replace(prefix, ""));
  }
}

/** 2 MiB at page 512 by one block, which the unit has cached. `bits`: more of its entry. */
export function cachedBlock(at: Streams, bits = 0n): void {
  assert.equal(at.domain.map(512, 0x800, 512, 3), 0);
  const level2 = at.level2;
  at.store(level2, 1, at.load(level2, 1) | bits);
  assert.equal(at.access(true, 0x200000), 0x800);
}

/** A table of the same pages in its place, and nothing told to the unit. */
export function cutInPlace(at: Streams): void {
  const table = at.page();
  for (let i = 0; i < 512; i++) at.store(table, i, BigInt(0x800 + i) << 12n | PAGE | S2_RW);
  at.store(at.level2, 1, BigInt(table) << 12n | 3n);
}

const none = (): [bigint, bigint, bigint] => [0n, 0n, 0n];

/** Every event that a program, or a kernel's mistake, can bring about. */
export const EVENTS: EventCase[] = [
  {
    event: Q.C_BAD_STREAMID,
    name: "a bus that has no entries",
    prepare: () => {},
    write: true,
    iova: 0x1000,
    sid: 0x4200,
    record: none,
  },
  {
    event: Q.F_STE_FETCH,
    name: "a bus whose entries lie out of memory",
    prepare: (at) => at.store(at.smmu.streams.pfn, NIC_SID >> 8, HOLE << 12n | 9n),
    write: true,
    iova: 0x1000,
    record: () => [0n, 0n, HOLE << 12n],
  },
  {
    event: Q.C_BAD_STE,
    name: "an entry that is not valid",
    prepare: (at) => at.ste(([first, ...rest]) => [first & ~1n, ...rest]),
    write: false,
    iova: 0x1000,
    record: none,
  },
  {
    event: Q.F_STREAM_DISABLED,
    name: "an entry for requests with a SubstreamID only",
    prepare: (at) => void at.stage1(contextDescriptor({}), 1),
    write: false,
    iova: 0x1000,
    record: none,
  },
  {
    event: Q.C_BAD_SUBSTREAMID,
    name: "a SubstreamID where there is no context descriptor for it",
    prepare: (at) => void at.stage1(contextDescriptor({})),
    write: true,
    iova: 0x1000,
    ssid: 9,
    record: none,
  },
  {
    event: Q.F_CD_FETCH,
    name: "a context descriptor out of memory",
    prepare: (at) => at.ste(() => stage1Ste(HOLE << 12n)),
    write: true,
    iova: 0x1000,
    record: () => [0n, 0n, HOLE << 12n],
  },
  {
    event: Q.C_BAD_CD,
    name: "a context descriptor that is not valid",
    prepare: (at) => void at.stage1([0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]),
    write: true,
    iova: 0x1000,
    record: none,
  },
  {
    event: Q.F_WALK_EABT,
    name: "a table pointer that leads out of memory",
    prepare(at) {
      at.leaf(3);
      at.store(at.domain.pgd, 0, HOLE << 12n | 3n);
    },
    write: false,
    iova: 0x3123,
    record: () => [READ | S2 | TTD, 0x3123n, HOLE << 12n],
    text: 'unpriv data read s2 "a translation table lies outside memory"',
  },
  {
    event: Q.F_TRANSLATION,
    name: "a write where nothing is mapped",
    prepare: () => {},
    write: true,
    iova: 0xdeadb123,
    record: () => [S2 | IN, 0xdeadb123n, 0xdeadb000n],
    text: 'unpriv data write s2 "nothing is mapped there"',
  },
  {
    event: Q.F_TRANSLATION,
    name: "a read by stage 1 where nothing is mapped",
    prepare: (at) => void at.stage1(contextDescriptor({ ttb: BigInt(at.page()) << 12n })),
    write: false,
    iova: 0xdeadb123,
    record: () => [READ | IN, 0xdeadb123n, 0n],
    text: 'unpriv data read s1 "nothing is mapped there"',
  },
  {
    event: Q.F_ADDR_SIZE,
    name: "an IOVA wider than any address",
    prepare: () => {},
    write: true,
    iova: 2 ** 42,
    record: () => [IN, 1n << 42n, 0n],
    text: 'unpriv data write s1 "address too large"',
  },
  {
    event: Q.F_ADDR_SIZE,
    name: "a page that leads beyond every address",
    prepare: (at) => at.store(...at.leaf(3), 1n << 42n | PAGE | S2_RW),
    write: false,
    iova: 0x3004,
    record: () => [READ | S2 | IN, 0x3004n, 0x3000n],
    text: 'unpriv data read s2 "address too large"',
  },
  {
    event: Q.F_ACCESS,
    name: "a page whose access flag is clear",
    prepare(at) {
      const leaf = at.leaf(3);
      at.store(...leaf, at.load(...leaf) & ~AF);
    },
    write: true,
    iova: 0x3004,
    record: () => [S2 | IN, 0x3004n, 0x3000n],
    text: 'unpriv data write s2 "access flag is clear"',
  },
  {
    event: Q.F_PERMISSION,
    name: "a write where only reading is mapped",
    prepare: (at) => void at.leaf(0xdeadb, 1),
    write: true,
    iova: 0xdeadb123,
    record: () => [S2 | IN, 0xdeadb123n, 0xdeadb000n],
    text: 'unpriv data write s2 "the page does not allow it"',
  },
  ...["arm-smmuv3-bbml0", "arm-smmuv3-bbml1"].map((profile): EventCase => ({
    event: Q.F_TLB_CONFLICT,
    name: `a page whose size changed under way, ${profile.slice(-5)}`,
    profile,
    prepare(at) {
      cachedBlock(at);
      cutInPlace(at);
    },
    write: true,
    iova: 0x201000,
    record: () => [S2 | IN, 0x201000n, 0x201000n],
    text: 'unpriv data write s2 "page size changed without break-before-make"',
  })),
];
