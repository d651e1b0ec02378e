import assert from "node:assert/strict";
import { DeviceKind } from "../../../src/machine/amdvi/device_entry.ts";
import * as q from "../../../src/uapi/amdvi_queues.ts";
import * as regs from "../../../src/uapi/amdvi_regs.ts";
import { Bench, code, deviceEntry, next, PR, RW, SID } from "./bench.ts";

/** Two devices, domains 5 and 6, with 0x5000 mapped to frame 0x111 and cached, then to 0x222. */
function remapped(): Bench {
  const bench = new Bench().enable();
  const roots = [bench.attach({ domain: 5 }, 0x100), bench.attach({ domain: 6 }, 0x200)];
  for (const root of roots) bench.map(root, 0x5000n, 0x111000n | PR | RW);
  assert.deepEqual(frames(bench), [0x111, 0x111]);
  for (const root of roots) bench.map(root, 0x5000n, 0x222000n | PR | RW);
  return bench;
}

function frames(bench: Bench): number[] {
  return [0x100, 0x200].map((sid) => bench.dma(0x5abcn, "write", sid));
}

Deno.test("each invalidation of pages forgets what it names and nothing else", async (t) => {
  const N = 0x222, O = 0x111;
  const cases: [string, (b: Bench) => void, number[]][] = [
    ["nothing", () => {}, [O, O]],
    ["the page", (b) => b.invalidatePages(5, 0x5000n), [N, O]],
    ["the page beside it", (b) => b.invalidatePages(5, 0x4000n), [O, O]],
    ["the page, of nobody", (b) => b.invalidatePages(7, 0x5000n), [O, O]],
    ["two pages around it", (b) => b.invalidatePages(5, 0x4000n, 1), [N, O]],
    ["two pages beside it", (b) => b.invalidatePages(5, 0x6000n, 1), [O, O]],
    ["2 MiB around it", (b) => b.invalidatePages(6, 0x1ff000n, 9), [O, N]],
    ["2 MiB beside it", (b) => b.invalidatePages(6, 0x200000n, 9), [O, O]],
    ["8 GiB around it", (b) => b.invalidatePages(6, 0x100000000n, 21), [O, N]],
    ["8 GiB beside it", (b) => b.invalidatePages(6, 0x200000000n, 21), [O, O]],
    ["all of a domain", (b) => b.invalidateDomain(5), [N, O]],
    ["everything", (b) => b.command(q.INVALIDATE_IOMMU_ALL, [0, 0, 0, 0]), [N, N]],
    ["device table entries", (b) => {
      b.invalidateDevice(0x100);
      b.invalidateDevice(0x200);
    }, [O, O]],
    ["device IOTLB and interrupt table", (b) => {
      b.command(q.INVALIDATE_IOTLB_PAGES, [0x100, 5, 0, 0]);
      b.command(q.INVALIDATE_INTERRUPT_TABLE, [0x100, 0, 0, 0]);
    }, [O, O]],
  ];
  for (const [name, flush, expected] of cases) {
    await t.step(name, () => {
      const bench = remapped();
      flush(bench);
      assert.deepEqual(frames(bench), expected);
      assert.deepEqual(bench.events(), []);
    });
  }
});

Deno.test("sizes that need all of the address's low word, or more, are not cut", () => {
  for (const log2 of [20, 21, 22, 30]) {
    const bench = new Bench().enable();
    const root = bench.attach();
    const last = (1n << BigInt(log2 + 12)) - 0x1000n, beyond = last + 0x1000n;
    for (const iova of [0n, last, beyond]) {
      bench.map(root, iova, 0x5000n | PR | RW);
      bench.dma(iova);
    }
    bench.invalidatePages(5, 0n, log2);
    const left = [...bench.unit.tlb.entries()].map((e) => BigInt(e.page) << 12n);
    assert.deepEqual(left, [beyond], `2^${log2} pages`);
  }
});

Deno.test("what a table takes away is cached with the page", () => {
  const bench = new Bench().enable();
  const root = bench.attach();
  const table = bench.frame();
  bench.store(root, 0, BigInt(table) << 12n | next(1) | PR | 1n << 61n);
  bench.store(table, 5, 0x77000n | PR | RW);
  assert.equal(bench.dma(0x5000n, "read"), 0x77);
  assert.equal(bench.dma(0x5000n, "write"), code(q.FAULT_PERMISSION));
  assert.equal(bench.unit.walks, 1);
});

Deno.test("a page's invalidation forgets all of the large page it lies in", () => {
  const bench = new Bench().enable();
  const root = bench.attach();
  bench.map(root, 0x200000n, 0x200000n | PR | RW, 2);
  bench.map(root, 0x40000000n, PR | RW, 3);
  bench.dma(0x200000n);
  bench.dma(0x40000000n);
  const sizes = () => [...bench.unit.tlb.entries()].map((e) => e.size).sort((a, b) => a - b);
  assert.deepEqual(sizes(), [0x200000, 0x40000000]);
  bench.invalidatePages(5, 0x400000n);
  assert.deepEqual(sizes(), [0x200000, 0x40000000]);
  bench.invalidatePages(5, 0x3ff000n);
  assert.deepEqual(sizes(), [0x40000000]);
  bench.invalidatePages(5, 0x7ffff000n);
  assert.deepEqual(sizes(), []);
});

Deno.test("a changed device table entry stays unseen until its device is named", () => {
  const bench = new Bench().enable();
  bench.map(bench.attach(), 0x5000n, 0x111000n | PR | RW);
  bench.dma(0x5000n);
  bench.map(bench.attach({ domain: 9 }), 0x5000n, 0x333000n | PR | RW);
  bench.invalidateDomain(5);
  assert.equal(bench.dma(0x5000n), 0x111, "walked from the old root");
  bench.invalidateDevice(SID + 1);
  bench.control(regs.CONTROL_IOMMU_EN, false);
  bench.control(regs.CONTROL_IOMMU_EN, true);
  assert.equal(bench.dma(0x5000n), 0x111, "not even IommuEn forgets it");
  bench.invalidateDevice();
  assert.equal(bench.dma(0x5000n), 0x333);
});

Deno.test("an entry that is not valid is cached just the same", () => {
  const bench = new Bench().enable();
  assert.equal(bench.dma(0x5000n), 5, "V = 0");
  bench.attach();
  assert.equal(bench.dma(0x5000n), 5);
  bench.invalidateDevice();
  assert.equal(bench.dma(0x5000n), code(q.FAULT_NOT_PRESENT));
});

Deno.test("INVALIDATE_IOMMU_ALL forgets the device table too, where it exists", () => {
  for (const invalidateAll of [true, false]) {
    const bench = new Bench({ invalidateAll }).enable();
    bench.dma(0x5000n);
    bench.attach();
    bench.command(q.INVALIDATE_IOMMU_ALL, [0, 0, 0, 0]);
    assert.equal(bench.dma(0x5000n), invalidateAll ? code(q.FAULT_NOT_PRESENT) : 5);
    const event = invalidateAll ? q.IO_PAGE_FAULT : q.ILLEGAL_COMMAND_ERROR;
    assert.deepEqual(bench.events(), [event]);
  }
});

Deno.test("the caches can be looked at", () => {
  const bench = new Bench().enable();
  const root = bench.attach({ domain: 7, mode: 3 }, 0x1ff);
  bench.map(root, 0x201000n, 0x123000n | PR | 1n << 61n, 1, 3);
  bench.dma(0x201000n, "read", 0x1ff);
  bench.dma(0x5000n, "write", 0x200);
  const devices = [...bench.unit.deviceCache.entries()];
  assert.deepEqual(devices.map((e) => [e.sid, e.kind]), [
    [0x1ff, DeviceKind.tables],
    [0x200, DeviceKind.forward],
  ]);
  const { domain, mode, read, write } = devices[0];
  assert.deepEqual([domain, mode, devices[0].root, read, write], [7, 3, root, true, true]);
  assert.deepEqual([...bench.unit.tlb.entries()], [
    { domain: 7, page: 0x201, pfn: 0x123, size: 4096, read: true, write: false },
  ]);
});

/** What each 64-bit store of an entry's change makes of a cached page and of a fresh one. */
function update(bench: Bench, target: bigint[], order: number[]): [number, number][] {
  return order.map((qword, i) => {
    bench.store(bench.devices, SID * 4 + qword, target[qword]);
    bench.invalidateDevice();
    return [bench.dma(0x5000n), bench.dma(BigInt(0x10 + i) << 12n)];
  });
}

function domain(bench: Bench, id: number, frame: number): bigint[] {
  const root = bench.frame();
  for (const page of [5, 0x10, 0x11, 0x12]) {
    bench.map(root, BigInt(page) << 12n, BigInt(frame) << 12n | PR | RW);
  }
  return deviceEntry({ root, domain: id });
}

Deno.test("an entry changed by 64-bit stores: root and DomainID are two of them", async (t) => {
  const start = () => {
    const bench = new Bench().enable();
    bench.storeDevice(domain(bench, 5, 0x111));
    assert.equal(bench.dma(0x5000n), 0x111);
    return bench;
  };
  await t.step("same DomainID: one store, and old and new mix until they are invalidated", () => {
    const bench = start();
    assert.deepEqual(update(bench, domain(bench, 5, 0x222), [0]), [[0x111, 0x222]]);
    bench.invalidateDomain(5);
    assert.equal(bench.dma(0x5000n), 0x222);
  });
  await t.step("DomainID first: old translations under the new id", () => {
    const bench = start();
    const seen = update(bench, domain(bench, 6, 0x222), [1, 0]);
    assert.deepEqual(seen, [[0x111, 0x111], [0x111, 0x222]]);
    bench.invalidateDomain(5);
    assert.equal(bench.dma(0x5000n), 0x111);
    bench.invalidateDomain(6);
    assert.equal(bench.dma(0x5000n), 0x222);
  });
  await t.step("through V = 0: an open window, not a fault", () => {
    const bench = start();
    const target = domain(bench, 6, 0x222);
    assert.deepEqual(update(bench, [0n, target[1]], [0, 1]), [[5, 0x10], [5, 0x11]]);
    assert.deepEqual(update(bench, target, [0]), [[0x222, 0x222]]);
  });
  await t.step("through TV = 0: a gap of page faults", () => {
    const bench = start();
    const target = domain(bench, 6, 0x222);
    const gap = code(q.FAULT_NO_TRANSLATION);
    const seen = update(bench, [1n, target[1]], [0, 1]);
    assert.deepEqual(seen, [[gap, gap], [gap, gap]]);
    assert.deepEqual(update(bench, target, [0]), [[0x222, 0x222]]);
  });
});

Deno.test("a page of its own size answers for all of it, and levels may be left out", () => {
  const bench = new Bench().enable();
  const root = bench.attach();
  // 64 KiB at 0x123450000: three address bits set below the clear one.
  bench.map(root, 0x10000n, 0x1230000n | 0x7000n | next(7) | PR | RW);
  assert.equal(bench.dma(0x10000n), 0x1230);
  const table = bench.frame();
  bench.store(root, 3, BigInt(table) << 12n | next(1) | PR | RW);
  bench.store(table, 7, 0x77000n | PR | RW);
  assert.equal(bench.dma((3n << 39n) + 0x7000n), 0x77);
  assert.equal(bench.dma((3n << 39n) + 0x207000n), code(q.FAULT_SKIPPED_LEVEL));
});
