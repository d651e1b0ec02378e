import assert from "node:assert/strict";
import { GuestNicDriver } from "../../../src/userspace/guest/nic_driver.ts";
import * as N from "../../../src/uapi/nic_regs.ts";
import { OffsetRemapper, Rig, setCommand } from "../../machine/devices/rig.ts";

const STATE = 0x8000, RING = 0x10000, BUFFERS = 0x100000;

function startDriver(entries = 64, bufferBytes = 2048, iovaBase = 0) {
  const rig = new Rig();
  const { nic, bar } = rig.nic({ interval: 1000, packetBytes: 512 });
  const driver = new GuestNicDriver(rig, STATE);
  const start = (base = iovaBase) =>
    driver.start({
      bar,
      ringGpa: RING,
      ringEntries: entries,
      bufferGpa: BUFFERS,
      bufferBytes,
      iovaBase: base,
    });
  return { rig, nic, bar, driver, start };
}

Deno.test("the guest receives everything when it polls often enough", () => {
  const { rig, nic, driver, start } = startDriver();
  start();
  for (let i = 0; i < 100; i++) {
    rig.run(20_000);
    driver.poll(1000);
  }
  const { firstCorrupt, lastSequence, ...counts } = driver.counters();
  assert.deepEqual(counts, {
    received: 2000,
    missing: 0,
    missed: 0,
    corrupt: 0,
    repeated: 0,
    ringFull: 0,
  });
  assert.equal(lastSequence, nic.arrived);
  assert.equal(firstCorrupt, undefined);
});

Deno.test("buffers of odd size that cross pages are received as well", () => {
  const { rig, driver, start } = startDriver(64, 2812);
  start();
  for (let i = 0; i < 20; i++) {
    rig.run(30_000);
    driver.poll(1000);
  }
  assert.equal(driver.counters().received, 600);
  assert.equal(driver.counters().corrupt, 0);
});

Deno.test("a guest paused past its ring misses exactly what the card says it dropped", () => {
  const { rig, nic, driver, start } = startDriver(64);
  start();
  rig.run(10_000);
  driver.poll(1000);
  rig.run(500_000);
  assert.equal(rig.observer.starvations, 437);
  assert.equal(rig.observer.failures.length, 0);
  for (let i = 0; i < 10; i++) {
    driver.poll(1000);
    rig.run(10_000);
  }
  driver.poll(1000);
  const c = driver.counters();
  assert.equal(c.missing, 437);
  assert.equal(c.missed, 437);
  assert.equal(c.ringFull, 1);
  assert.equal(c.corrupt + c.repeated, 0);
  assert.equal(c.received + c.missing, nic.arrived);
});

Deno.test("a small budget leaves the rest for the next poll", () => {
  const { rig, driver, start } = startDriver();
  start();
  rig.run(30_000);
  assert.equal(driver.poll(8), 8);
  assert.equal(driver.poll(100), 22);
  assert.equal(driver.poll(100), 0);
  assert.equal(driver.counters().missing, 0);
});

Deno.test("a new driver object on the same page goes on where the last one stopped", () => {
  const { rig, bar, driver, start } = startDriver();
  start();
  rig.run(40_500);
  driver.poll(1000);
  const before = driver.counters();
  const successor = new GuestNicDriver(rig, STATE);
  assert.ok(successor.intact);
  assert.deepEqual(successor.counters(), before);
  for (let i = 0; i < 10; i++) {
    rig.run(50_000);
    successor.poll(1000);
  }
  const after = successor.counters();
  assert.equal(after.received, before.received + 500);
  assert.equal(after.missing + after.corrupt + after.repeated, 0);
  assert.equal(rig.load32(bar + N.E1000_MPC), 0);
});

Deno.test("packets lost to failing DMA are missing, and not explained by the card", () => {
  const { rig, nic, driver, start } = startDriver();
  start();
  rig.run(10_000);
  driver.poll(100);
  setCommand(nic, false);
  // The card's registers are still there: only its requests stop.
  rig.run(7_000);
  setCommand(nic, true);
  rig.run(10_000);
  driver.poll(100);
  const c = driver.counters();
  assert.equal(c.missing, 7);
  assert.equal(c.missed, 0);
});

Deno.test("a word changed in a buffer is noticed once, with its place", () => {
  const { rig, driver, start } = startDriver();
  start();
  rig.run(10_000);
  driver.poll(100);
  rig.run(5_000);
  const buffer = BUFFERS + 12 * 2048;
  rig.store32(buffer + 100, rig.load32(buffer + 100) ^ 1);
  driver.poll(100);
  rig.run(5_000);
  driver.poll(100);
  const c = driver.counters();
  assert.equal(c.corrupt, 1);
  assert.equal(c.missing, 0);
  assert.deepEqual(c.firstCorrupt, { gpa: buffer, sequence: 13 });
});

Deno.test("a payload that lands in a wrong frame is noticed although its descriptor is done", () => {
  const { rig, nic, driver, start } = startDriver(8);
  const remapper = nic.port.remapper = new OffsetRemapper();
  start();
  for (let i = 0; i < 20; i++) {
    rig.run(1_000);
    driver.poll(100);
  }
  assert.equal(driver.counters().corrupt, 0);
  // The page tables of two buffers now lead to another frame.
  const translate = remapper.translate.bind(remapper);
  remapper.translate = (sid, hi, lo, write) => {
    const pfn = translate(sid, hi, lo, write);
    return pfn === BUFFERS / 4096 ? 0x3000 : pfn;
  };
  for (let i = 0; i < 8; i++) {
    rig.run(1_000);
    driver.poll(100);
  }
  assert.equal(driver.counters().corrupt, 2);
});

Deno.test("another card's packets in our buffers count as corrupt", () => {
  const { rig, driver, start } = startDriver();
  start();
  rig.run(10_000);
  driver.poll(100);
  rig.run(3_000);
  // A sound packet of a stream that is not ours.
  const buffer = BUFFERS + 11 * 2048;
  const packet = new Uint32Array(128), last = packet.length - 1;
  rig.loadWords(buffer, packet);
  packet[N.PACKET_STREAM] = 12345;
  packet[last] = N.packetChecksum(packet, last);
  rig.storeWords(buffer, packet);
  driver.poll(100);
  assert.equal(driver.counters().corrupt, 1);
});

Deno.test("DMA addresses may start elsewhere than guest-physical addresses", () => {
  const { rig, nic, driver, start } = startDriver();
  nic.port.remapper = new OffsetRemapper(0x4_0000_0000);
  start(0x4_0000_0000);
  rig.run(30_000);
  assert.equal(driver.poll(100), 30);
  assert.equal(driver.counters().corrupt, 0);
  assert.equal(rig.observer.failures.length, 0);
});

Deno.test("a ring or buffer of impossible size is refused with the reason", () => {
  assert.throws(() => startDriver(12).start(), /12 entries: 8\.\.65536, a multiple of 8/);
  assert.throws(() => startDriver(16, 1000).start(), /1000 bytes: at least 2048/);
});
