import assert from "node:assert/strict";
import { DMA_MASTER_ABORT, Route } from "../../../src/machine/dma_port.ts";
import { DMA_INTERRUPT } from "../../../src/machine/interrupt_range.ts";
import * as q from "../../../src/uapi/amdvi_queues.ts";
import * as regs from "../../../src/uapi/amdvi_regs.ts";
import { Bench, code, deviceEntry, IR, IW, next, PR, RW, SID } from "./bench.ts";

const ID = BigInt(SID), DOMAIN = 5n << 32n;
const WRITE = 1n << 53n, PRESENT = 1n << 52n, DENIED = 1n << 54n, RESERVED = 1n << 55n;
const MASTER_ABORT = 1n << 57n;
const AT = 0x12345678n;
const event = (n: number) => BigInt(n) << 60n;

Deno.test("each event comes from tables that deserve it, and records the access", async (t) => {
  const fault = event(2) | ID | DOMAIN;
  const leaf = (bits: bigint, level = 1) => (b: Bench) => b.map(b.attach(), AT, bits, level);
  type Case = [string, number, bigint[], (b: Bench) => void, ("read" | "write")?];
  const cases: Case[] = [
    ["nothing mapped, write", q.FAULT_NOT_PRESENT, [fault | WRITE, AT], (b) => void b.attach()],
    ["nothing mapped, read", q.FAULT_NOT_PRESENT, [fault, AT], (b) => void b.attach(), "read"],
    ["PR is clear", q.FAULT_NOT_PRESENT, [fault | WRITE, AT], leaf(0x5000n | RW)],
    [
      "write without IW",
      q.FAULT_PERMISSION,
      [fault | WRITE | PRESENT | DENIED, AT],
      leaf(0x5000n | PR | IR),
    ],
    [
      "read without IR",
      q.FAULT_PERMISSION,
      [fault | PRESENT | DENIED, AT],
      leaf(0x5000n | PR | IW),
      "read",
    ],
    [
      "a table without IW above a page with it",
      q.FAULT_PERMISSION,
      [fault | WRITE | PRESENT | DENIED, AT],
      leaf(0x5000n | next(2) | PR | IR, 3),
    ],
    [
      "the device without IW",
      q.FAULT_PERMISSION,
      [fault | WRITE | PRESENT | DENIED, AT],
      (b) => b.map(b.attach({ rights: IR }), AT, 0x5000n | PR | RW),
    ],
    [
      "reserved bits",
      q.FAULT_RESERVED,
      [fault | WRITE | PRESENT | RESERVED, AT],
      leaf(0x5000n | PR | RW | 1n << 52n),
    ],
    [
      "a next level that is not lower",
      q.FAULT_RESERVED,
      [fault | WRITE | PRESENT | RESERVED, AT],
      leaf(0x5000n | next(3) | PR | RW, 3),
    ],
    [
      "a size that is not larger than the level's own",
      q.FAULT_RESERVED,
      [fault | WRITE | PRESENT | RESERVED, AT],
      leaf(next(7) | PR | RW, 2),
    ],
    [
      "a size that belongs to the next level",
      q.FAULT_RESERVED,
      [fault | WRITE | PRESENT | RESERVED, AT],
      leaf(0xff000n | next(7) | PR | RW, 1),
    ],
    [
      "address bits of a skipped level",
      q.FAULT_SKIPPED_LEVEL,
      [fault | WRITE | PRESENT, AT],
      leaf(0x5000n | next(1) | PR | RW, 3),
    ],
    [
      "an address beyond 2 levels",
      q.FAULT_BEYOND_TABLES,
      [fault | WRITE, 1n << 30n],
      (b) => void b.attach({ mode: 2 }),
    ],
    [
      "TV is clear",
      q.FAULT_NO_TRANSLATION,
      [fault | WRITE, AT],
      (b) => void b.attach({ flip0: 2n }),
    ],
    [
      "Mode 0 without IW",
      q.FAULT_PERMISSION,
      [fault | WRITE | PRESENT | DENIED, AT],
      (b) => void b.attach({ mode: 0, rights: IR }),
    ],
    [
      "Mode 7",
      q.FAULT_ILLEGAL_DTE,
      [event(1) | ID | WRITE, AT],
      (b) => void b.attach({ mode: 7 }),
    ],
    [
      "reserved bits of the device's entry",
      q.FAULT_ILLEGAL_DTE,
      [event(1) | ID | WRITE | RESERVED, AT],
      (b) => void b.attach({ flip0: 4n }),
    ],
    [
      "guest tables",
      q.FAULT_ILLEGAL_DTE,
      [event(1) | ID | RESERVED, AT],
      (b) => void b.attach({ flip0: 1n << 55n }),
      "read",
    ],
    [
      "the first table lies in a hole",
      q.FAULT_PAGE_TABLE_MEMORY,
      [event(4) | ID | DOMAIN | WRITE | MASTER_ABORT, 0xa0000n],
      (b) => void b.attach({ root: 0xa0 }),
    ],
    [
      "a lower table lies in a hole",
      q.FAULT_PAGE_TABLE_MEMORY,
      [event(4) | ID | DOMAIN | WRITE | MASTER_ABORT, 0xa0488n],
      leaf(0xa0000n | next(2) | PR | RW, 3),
    ],
  ];
  for (const [name, n, record, prepare, kind = "write"] of cases) {
    await t.step(name, () => {
      const bench = new Bench();
      prepare(bench);
      bench.enable();
      assert.equal(bench.dma(record[1] === 1n << 30n ? record[1] : AT, kind), code(n));
      assert.deepEqual(bench.record(), record);
      assert.equal(bench.events().length, 1);
    });
  }
});

Deno.test("a device beyond the device table, and a device table beyond memory", () => {
  const bench = new Bench();
  bench.write64(regs.AMDVI_DEVICE_TABLE, BigInt(bench.devices) << 12n | 5n);
  bench.enable();
  assert.equal(bench.dma(AT, "read", 0x2ff), 0x12345, "V = 0");
  assert.equal(bench.dma(AT), code(q.FAULT_BEYOND_DEVICE_TABLE));
  assert.deepEqual(bench.record(0), [event(2) | ID | WRITE, AT]);
  bench.write64(regs.AMDVI_DEVICE_TABLE, 0x4000000n | 0x1ffn);
  assert.equal(bench.dma(AT), code(q.FAULT_DEVICE_TABLE_MEMORY));
  assert.deepEqual(bench.record(1), [event(3) | ID | WRITE | MASTER_ABORT, 0x4000000n + 32n * ID]);
});

Deno.test("Mode 5 needs a unit with five levels", () => {
  for (const levels of [4, 5] as const) {
    const bench = new Bench({ levels });
    bench.map(bench.attach({ mode: 5 }), 1n << 56n, 0x5000n | PR | RW, 1, 5);
    bench.enable();
    assert.equal(bench.dma(1n << 56n), levels === 5 ? 5 : code(q.FAULT_ILLEGAL_DTE));
  }
});

Deno.test("off, V = 0 and Mode 0 let the address pass, each by its own route", () => {
  const bench = new Bench();
  assert.equal(bench.dma(0x5678n), 5);
  assert.equal(bench.unit.route, Route.untranslated);
  bench.attach({ mode: 0 }, 0x100);
  bench.enable();
  bench.unit.route = Route.direct;
  assert.equal(bench.dma(0x5678n), 5, "nobody wrote an entry: V = 0");
  assert.equal(bench.unit.route, Route.untranslated);
  assert.equal(bench.dma(0x5678n, "write", 0x100), 5);
  assert.equal(bench.unit.route, Route.passthrough);
  assert.equal(bench.dma(1n << 50n, "write", 0x100), DMA_MASTER_ABORT);
});

Deno.test("writes into the interrupt range are interrupts; reads are page faults", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0xfee00000n, 0x5000n | PR | RW);
  bench.enable();
  assert.equal(bench.dma(0xfee00000n), DMA_INTERRUPT);
  assert.equal(bench.dma(0xfee00000n, "read"), code(q.FAULT_INTERRUPT_RANGE));
  assert.deepEqual(bench.events(), [q.IO_PAGE_FAULT]);
});

Deno.test("SA keeps all page faults of a device quiet, SE all but the first", () => {
  const bench = new Bench().enable();
  bench.attach({ flip1: 1n << 34n }, 0x100);
  bench.attach({ flip1: 1n << 33n }, 0x200);
  bench.attach({ root: 0xa0, flip1: 1n << 34n }, 0x201);
  for (let i = 0; i < 3; i++) {
    assert.equal(bench.dma(AT, "write", 0x100), code(q.FAULT_NOT_PRESENT));
    assert.equal(bench.dma(AT, "write", 0x200), code(q.FAULT_NOT_PRESENT));
  }
  assert.deepEqual([...bench.unit.events.pending()].map((e) => e.sid), [0x200]);
  assert.equal(bench.unit.events.suppressed, 5);
  bench.invalidateDevice(0x200);
  bench.dma(AT, "write", 0x200);
  bench.dma(AT, "write", 0x200);
  assert.equal(bench.events().length, 2, "read afresh, it may say so once more");
  bench.dma(AT, "write", 0x201);
  assert.equal(bench.events().at(-1), q.PAGE_TAB_HARDWARE_ERROR, "no page fault");
});

Deno.test("a page beyond all memory is no fault of the unit", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0n, 1n << 44n | PR | RW);
  bench.enable();
  assert.equal(bench.dma(0n), DMA_MASTER_ABORT);
  assert.deepEqual(bench.events(), []);
});

Deno.test("codes have texts, and only this unit's codes have", () => {
  assert.match(q.amdviFaultText(code(q.FAULT_NOT_PRESENT)) ?? "", /^IO_PAGE_FAULT: /);
  assert.match(q.amdviFaultText(code(q.FAULT_ILLEGAL_DTE)) ?? "", /^ILLEGAL_DEV_TABLE_ENTRY: /);
  assert.equal(q.amdviFaultText(code(0xff)), "Unknown");
  for (const other of [0, -5, -0x110, -0x1ff, -0x300, -1000, -1002]) {
    assert.equal(q.amdviFaultText(other), undefined);
  }
});

Deno.test("events leave their mark in the event hash", () => {
  const one = new Bench().enable(), two = new Bench().enable();
  for (const bench of [one, two]) bench.storeDevice(deviceEntry({ root: 0x1800 }));
  one.dma(0x1000n);
  two.dma(0x2000n);
  assert.notEqual(one.hash.digest(), two.hash.digest());
});
