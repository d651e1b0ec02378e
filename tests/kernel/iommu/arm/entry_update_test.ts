import assert from "node:assert/strict";
import {
  abortSte,
  stage2Ste,
  usedOfCd,
  usedOfSte,
} from "../../../../src/kernel/iommu/arm/entries.ts";
import {
  type Entry,
  ENTRY_WORDS,
  type UpdateKind,
  writeEntry,
} from "../../../../src/kernel/iommu/arm/entry_update.ts";
import { Bench, code, contextDescriptor, stage1Ste } from "../../../machine/smmuv3/bench.ts";
import { PAGE, S1_RW, S2_RW, SID } from "../../../machine/smmuv3/bench.ts";
import { C_BAD_CD, C_BAD_STE, SMMU_STE_ABORT } from "../../../../src/uapi/smmuv3_queues.ts";

/** Where an access to this page leads, by what is in force. */
const IOVA = 0x5000n;
const BYPASSED = 5;

function words(qwords: readonly bigint[]): Entry {
  const entry = new Int32Array(ENTRY_WORDS);
  qwords.forEach((q, i) => {
    entry[i * 2] = Number(BigInt.asIntN(32, q));
    entry[i * 2 + 1] = Number(BigInt.asIntN(32, q >> 32n));
  });
  return entry;
}

/** Bypass, with the shareability that comes in: SHCFG is used there and nowhere else of these. */
const bypassSte = () => words([9n, 1n << 44n, 0n, 0n, 0n, 0n, 0n, 0n]);

const VTCR = 22 | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 3 << 16;

/** Stage-2 tables that lead to `frame`. */
function stage2(bench: Bench, vmid: number, frame: number): Entry {
  const root = bench.frame(8);
  bench.map(root, IOVA, BigInt(frame) << 12n | PAGE | S2_RW, 3, 1);
  return stage2Ste(vmid, VTCR, root);
}

/** Stage-1 tables that lead to `frame`: a context descriptor. */
function descriptor(bench: Bench, asid: number, frame: number): Entry {
  const table = bench.frame();
  bench.map(table, IOVA, BigInt(frame) << 12n | PAGE | S1_RW, 3, 0);
  return words(contextDescriptor({ asid, ttb: BigInt(table) << 12n }));
}

function stage1(bench: Bench, cd: Entry): Entry {
  const at = bench.frame();
  cd.forEach((word, i) => bench.memory.store(at, i, word));
  return words(stage1Ste(BigInt(at) << 12n));
}

interface Case {
  name: string;
  from: (bench: Bench) => Entry;
  to: (bench: Bench, from: Entry) => Entry;
  kind: UpdateKind;
  /** What a request meets: before, at each sync, in this order. */
  seen: number[];
}

/** FACTS 4.2, case by case. */
const STE_CASES: Case[] = [
  {
    name: "bypass to stage 1",
    from: bypassSte,
    to: (b) => stage1(b, descriptor(b, 7, 0x222)),
    kind: "hitless",
    seen: [BYPASSED, 0x222, 0x222],
  },
  {
    name: "stage 1 to bypass",
    from: (b) => stage1(b, descriptor(b, 7, 0x111)),
    to: bypassSte,
    kind: "hitless",
    seen: [0x111, 0x111, BYPASSED],
  },
  {
    name: "abort to stage 2",
    from: abortSte,
    to: (b) => stage2(b, 5, 0x222),
    kind: "hitless",
    seen: [code(SMMU_STE_ABORT), code(SMMU_STE_ABORT), 0x222],
  },
  {
    name: "stage 2 to abort",
    from: (b) => stage2(b, 5, 0x111),
    to: abortSte,
    kind: "hitless",
    seen: [0x111, code(SMMU_STE_ABORT), code(SMMU_STE_ABORT)],
  },
  {
    name: "stage 2 to stage 2 of another domain: VMID and table both change",
    from: (b) => stage2(b, 5, 0x111),
    to: (b) => stage2(b, 6, 0x222),
    kind: "disruptive",
    seen: [0x111, code(C_BAD_STE), code(C_BAD_STE), 0x222],
  },
  {
    name: "stage 2 to stage 2 that keeps the VMID",
    from: (b) => stage2(b, 5, 0x111),
    to: (b) => stage2(b, 5, 0x222),
    kind: "hitless",
    seen: [0x111, 0x222],
  },
  {
    name: "stage 1 to another table of context descriptors",
    from: (b) => stage1(b, descriptor(b, 7, 0x111)),
    to: (b) => stage1(b, descriptor(b, 8, 0x222)),
    kind: "hitless",
    seen: [0x111, 0x222],
  },
  {
    name: "stage 1 to stage 2",
    from: (b) => stage1(b, descriptor(b, 7, 0x111)),
    to: (b) => stage2(b, 5, 0x222),
    kind: "disruptive",
    seen: [0x111, code(C_BAD_STE), code(C_BAD_STE), 0x222],
  },
  {
    name: "stage 2 to stage 1",
    from: (b) => stage2(b, 5, 0x111),
    to: (b) => stage1(b, descriptor(b, 7, 0x222)),
    kind: "disruptive",
    seen: [0x111, code(C_BAD_STE), code(C_BAD_STE), 0x222],
  },
  {
    name: "a change of what nobody looks at",
    from: () => {
      const ste = abortSte();
      ste[6] = 0x1000;
      return ste;
    },
    to: abortSte,
    kind: "unused",
    seen: [code(SMMU_STE_ABORT), code(SMMU_STE_ABORT)],
  },
  {
    name: "no change",
    from: (b) => stage2(b, 5, 0x111),
    to: (_, from) => from.slice(),
    kind: "unused",
    seen: [0x111],
  },
];

for (const { name, from, to, kind, seen } of STE_CASES) {
  Deno.test(`stream table entry, ${name}: ${kind}`, () => {
    const bench = new Bench();
    const first = from(bench);
    const at = SID * 16, pfn = bench.streams + (at >>> 10);
    first.forEach((word, i) => bench.memory.store(pfn, (at & 1023) + i, word));
    bench.enable();
    bench.cfgiSte();
    const met = [bench.dma(IOVA)];
    const target = to(bench, first);
    const went = writeEntry({
      load: (i) => bench.memory.load(pfn, (at & 1023) + i),
      store: (i, value) => bench.memory.store(pfn, (at & 1023) + i, value),
      used: usedOfSte,
      sync: () => {
        bench.cfgiSte();
        // The question is which entry is in force, not what the TLB remembers of the last one.
        bench.unit.tlb.invalidateAll();
        met.push(bench.dma(IOVA));
      },
    }, target);
    assert.equal(went, kind);
    assert.deepEqual(met, seen);
    for (let i = 0; i < ENTRY_WORDS; i++) {
      assert.equal(bench.memory.load(pfn, (at & 1023) + i), target[i], `word ${i}`);
    }
  });
}

/** In one context descriptor. */
const CD_CASES: [string, number, UpdateKind, number[]][] = [
  ["another ASID and table", 8, "disruptive", [0x111, code(C_BAD_CD), code(C_BAD_CD), 0x222]],
  ["the same ASID", 7, "hitless", [0x111, 0x222]],
];

for (const [name, asid, kind, seen] of CD_CASES) {
  Deno.test(`context descriptor, ${name}: ${kind}`, () => {
    const bench = new Bench();
    const at = bench.frame();
    descriptor(bench, 7, 0x111).forEach((word, i) => bench.memory.store(at, i, word));
    bench.storeSte(stage1Ste(BigInt(at) << 12n));
    bench.enable();
    const met = [bench.dma(IOVA)];
    const went = writeEntry({
      load: (i) => bench.memory.load(at, i),
      store: (i, value) => bench.memory.store(at, i, value),
      used: usedOfCd,
      sync: () => {
        bench.cfgiCd();
        bench.unit.tlb.invalidateAll();
        met.push(bench.dma(IOVA));
      },
    }, descriptor(bench, asid, 0x222));
    assert.equal(went, kind);
    assert.deepEqual(met, seen);
  });
}
