import assert from "node:assert/strict";
import * as q from "../../../src/uapi/amdvi_queues.ts";
import * as regs from "../../../src/uapi/amdvi_regs.ts";
import { Bench } from "./bench.ts";

const status = (bench: Bench) => bench.unit.read32(regs.AMDVI_STATUS);

Deno.test("the extended features say what the unit was configured with", () => {
  const low = new Bench({ levels: 5 }).unit.read32(regs.AMDVI_EXTENDED_FEATURES);
  assert.equal(low >>> regs.FEATURE_HATS_SHIFT & regs.FEATURE_HATS_MASK, 1);
  assert.equal(low & regs.FEATURE_IA, regs.FEATURE_IA);
  const none = new Bench({ invalidateAll: false }).unit.read32(regs.AMDVI_EXTENDED_FEATURES);
  assert.equal(none & regs.FEATURE_IA, 0);
});

Deno.test("log and buffer run only while the unit is enabled", () => {
  const bench = new Bench();
  bench.unit.write32(regs.AMDVI_CONTROL, regs.CONTROL_EVENT_LOG_EN | regs.CONTROL_COMMAND_EN);
  assert.equal(status(bench), 0);
  bench.command(q.COMPLETION_WAIT, [0, 0, 0, 0]);
  assert.equal(bench.unit.read32(regs.AMDVI_COMMAND_HEAD), 0);
  bench.enable();
  assert.equal(status(bench), regs.STATUS_EVENT_RUN | regs.STATUS_COMMAND_RUN);
  assert.equal(bench.unit.read32(regs.AMDVI_COMMAND_HEAD), 16);
});

Deno.test("the command buffer wraps, and the head follows the tail", () => {
  const bench = new Bench().enable();
  for (let i = 1; i <= 600; i++) {
    bench.command(q.COMPLETION_WAIT, [0, 0, 0, 0]);
    assert.equal(bench.unit.read32(regs.AMDVI_COMMAND_HEAD), i * 16 % 4096);
  }
  assert.equal(bench.unit.commands.consumed, 600);
});

Deno.test("COMPLETION_WAIT stores its data, and interrupts if it is asked to", () => {
  const bench = new Bench().enable();
  bench.command(q.COMPLETION_WAIT, [0x200018 | 1, 0, 0x89abcdef, 0x01234567]);
  assert.equal(bench.load(0x200, 3), 0x0123456789abcdefn);
  assert.equal(bench.interrupts, 0);
  bench.command(q.COMPLETION_WAIT, [2, 0, 0, 0]);
  bench.command(q.COMPLETION_WAIT, [2, 0, 0, 0]);
  assert.equal(bench.interrupts, 1);
  assert.equal(status(bench) & regs.STATUS_COMPLETION_INT, regs.STATUS_COMPLETION_INT);
  bench.unit.write32(regs.AMDVI_STATUS, regs.STATUS_COMPLETION_INT);
  bench.command(q.COMPLETION_WAIT, [2, 0, 0, 0]);
  assert.equal(bench.interrupts, 2);
});

Deno.test("a wrong command stops the buffer until it is turned off and on again", () => {
  const bench = new Bench().enable();
  bench.command(q.COMPLETION_WAIT, [0, 0, 0, 0]);
  bench.command(0xf, [0, 0, 0, 0]);
  bench.command(q.COMPLETION_WAIT, [0, 0, 0, 0]);
  const at = BigInt(bench.commandFrame) << 12n | 16n;
  assert.deepEqual(bench.record(), [5n << 60n, at]);
  assert.equal(bench.unit.read32(regs.AMDVI_COMMAND_HEAD), 16);
  assert.equal(status(bench) & regs.STATUS_COMMAND_RUN, 0);
  bench.store(bench.commandFrame, 2, BigInt(q.COMPLETION_WAIT) << 60n);
  bench.enable();
  assert.equal(bench.unit.read32(regs.AMDVI_COMMAND_HEAD), 16, "on and on is no restart");
  bench.control(regs.CONTROL_COMMAND_EN, false);
  bench.control(regs.CONTROL_COMMAND_EN, true);
  assert.equal(bench.unit.read32(regs.AMDVI_COMMAND_HEAD), 48);
  assert.equal(status(bench) & regs.STATUS_COMMAND_RUN, regs.STATUS_COMMAND_RUN);
});

Deno.test("commands, and stores of them, that lead to no memory are hardware errors", () => {
  const bench = new Bench().enable();
  bench.command(q.COMPLETION_WAIT, [0xa0000 | 1, 0, 1, 2]);
  const at = BigInt(bench.commandFrame) << 12n;
  assert.deepEqual(bench.record(), [6n << 60n | 1n << 57n, at]);

  const lost = new Bench();
  lost.write64(regs.AMDVI_COMMAND_BASE, 0x4000000n | 8n << 56n);
  lost.enable();
  lost.unit.write32(regs.AMDVI_COMMAND_TAIL, 16);
  assert.deepEqual(lost.record(), [6n << 60n | 1n << 57n, 0x4000000n]);
});

Deno.test("a command about guest tables is illegal", () => {
  const bench = new Bench().enable();
  bench.command(q.INVALIDATE_IOMMU_PAGES, [0, 5, q.INVALIDATE_PAGES_GN_WORD2, 0]);
  assert.deepEqual(bench.events(), [q.ILLEGAL_COMMAND_ERROR]);
});

Deno.test("a full log stops: overflow, and nothing more until it is turned off and on", () => {
  const bench = new Bench().enable();
  bench.attach();
  for (let i = 0; i < 255; i++) bench.dma(BigInt(i) << 12n);
  assert.equal(bench.unit.read32(regs.AMDVI_EVENT_TAIL), 255 * 16);
  assert.equal(bench.interrupts, 1);
  assert.equal(status(bench) & regs.STATUS_EVENT_OVERFLOW, 0);
  bench.dma(0n);
  assert.equal(status(bench) & (regs.STATUS_EVENT_OVERFLOW | regs.STATUS_EVENT_RUN), 1);
  assert.equal(bench.interrupts, 2);

  bench.unit.write32(regs.AMDVI_EVENT_HEAD, 255 * 16);
  bench.unit.write32(regs.AMDVI_STATUS, regs.STATUS_EVENT_OVERFLOW | regs.STATUS_EVENT_INT);
  bench.enable();
  bench.dma(0n);
  assert.equal(bench.unit.events.lost, 2, "it still stands");
  bench.control(regs.CONTROL_EVENT_LOG_EN, false);
  bench.control(regs.CONTROL_EVENT_LOG_EN, true);
  bench.dma(0x7000n);
  assert.equal(bench.unit.read32(regs.AMDVI_EVENT_TAIL), 0, "the ring begins again");
  assert.equal(bench.record(255)[1], 0x7000n);
  assert.equal(bench.interrupts, 3);
});

Deno.test("base registers of log and buffer stay while those are in use", () => {
  const bench = new Bench().enable();
  const places = [regs.AMDVI_COMMAND_BASE, regs.AMDVI_EVENT_BASE];
  const before = places.map((r) => bench.unit.read32(r));
  for (const r of places) bench.write64(r, 0x12345000n);
  assert.deepEqual(places.map((r) => bench.unit.read32(r)), before);
});

Deno.test("while they are off the pointers are software's, and other offsets read 0", () => {
  const bench = new Bench();
  bench.unit.write32(regs.AMDVI_COMMAND_HEAD, 0x4035);
  bench.unit.write32(regs.AMDVI_EVENT_TAIL, 0x20);
  bench.unit.write32(regs.AMDVI_CONTROL + 4, 0x40000);
  assert.equal(bench.unit.read32(regs.AMDVI_COMMAND_HEAD), 0x30, "inside the buffer, aligned");
  assert.equal(bench.unit.read32(regs.AMDVI_EVENT_TAIL), 0x20);
  assert.equal(bench.unit.read32(regs.AMDVI_CONTROL + 4), 0x40000);
  assert.equal(bench.unit.read32(0x20), 0, "no exclusion range");
  bench.unit.write32(regs.AMDVI_COMMAND_TAIL, 0x30);
  bench.enable();
  bench.unit.write32(regs.AMDVI_COMMAND_HEAD, 0);
  bench.unit.write32(regs.AMDVI_EVENT_TAIL, 0);
  assert.equal(bench.unit.read32(regs.AMDVI_COMMAND_HEAD), 0x30, "in use");
  assert.equal(bench.unit.read32(regs.AMDVI_EVENT_TAIL), 0x20);
});

Deno.test("register writes leave their mark in the event hash", () => {
  const one = new Bench(), two = new Bench();
  assert.equal(one.hash.digest(), two.hash.digest());
  one.unit.write32(regs.AMDVI_EVENT_HEAD, 16);
  two.unit.write32(regs.AMDVI_EVENT_HEAD, 32);
  assert.notEqual(one.hash.digest(), two.hash.digest());
});
