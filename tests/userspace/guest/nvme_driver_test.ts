import assert from "node:assert/strict";
import { GuestNvmeDriver } from "../../../src/userspace/guest/nvme_driver.ts";
import * as N from "../../../src/uapi/nvme_regs.ts";
import { OffsetRemapper, Rig, setCommand } from "../../machine/devices/rig.ts";

const STATE = 0x8000, MEMORY = 0x100000;

function startDriver(depth = 16, maxPages = 5, blocks = 262144) {
  const rig = new Rig();
  const { nvme, bar } = rig.nvme({ latency: 10_000, blocks });
  const driver = new GuestNvmeDriver(rig, STATE);
  const start = (iovaBase = 0) =>
    driver.start({ bar, memoryGpa: MEMORY, depth, maxPages, seed: 5, iovaBase });
  /** Polls every 5 us for a while. */
  const play = (polls: number, by = driver) => {
    for (let i = 0; i < polls; i++) {
      rig.run(5_000);
      by.poll(1000);
    }
  };
  return { rig, nvme, bar, driver, start, play };
}

Deno.test("thousands of commands all complete exactly once with the right data", () => {
  const { rig, nvme, driver, start, play } = startDriver(16, 5);
  start();
  play(2000);
  const c = driver.counters();
  assert.ok(c.running);
  assert.ok(c.completed > 4000, `${c.completed} completed`);
  assert.equal(c.issued - c.completed, 16);
  assert.equal(c.errors + c.corrupt + c.lost + c.repeated, 0);
  assert.equal(nvme.dmaErrors, 0);
  assert.equal(rig.observer.failures.length, 0);
  assert.ok(nvme.medium.written > 100);
});

for (const maxPages of [1, 2, 32]) {
  Deno.test(`transfers of up to ${maxPages} pages come back right`, () => {
    const { driver, start, play } = startDriver(4, maxPages);
    start();
    play(300);
    const c = driver.counters();
    assert.ok(c.completed > 200);
    assert.equal(c.errors + c.corrupt, 0);
  });
}

Deno.test("the deepest queue turns many times", () => {
  const { driver, start, play } = startDriver(64, 1);
  start();
  play(200);
  const c = driver.counters();
  assert.ok(c.completed > 10 * 128);
  assert.equal(c.errors + c.corrupt + c.lost + c.repeated, 0);
});

Deno.test("while the guest is paused the controller drains and idles, then all goes on", () => {
  const { rig, nvme, driver, start, play } = startDriver();
  start();
  play(100);
  rig.run(1_000_000);
  assert.equal(nvme.outstanding, 0);
  assert.equal(rig.observer.busy(0), false);
  const accesses = rig.observer.accesses;
  rig.run(1_000_000_000);
  assert.equal(rig.observer.accesses, accesses);
  const before = driver.counters().completed;
  play(100);
  const c = driver.counters();
  assert.ok(c.completed > before + 200);
  assert.equal(c.errors + c.corrupt + c.lost + c.repeated, 0);
});

Deno.test("a new driver object takes over at any moment, even during setup", () => {
  for (const polls of [0, 1, 3, 5, 7, 50]) {
    const { rig, driver, start, play } = startDriver();
    start();
    play(polls);
    const before = driver.counters();
    const successor = new GuestNvmeDriver(rig, STATE);
    assert.deepEqual(successor.counters(), before);
    play(200, successor);
    const c = successor.counters();
    assert.ok(c.running && c.completed > before.completed + 300);
    assert.equal(c.errors + c.corrupt + c.lost + c.repeated, 0);
  }
});

Deno.test("a refused data page shows as errors, and the workload goes on after it", () => {
  const { nvme, driver, start, play } = startDriver(8, 2);
  const remapper = nvme.port.remapper = new OffsetRemapper();
  start();
  play(50);
  // The last data page of the last slot.
  const page = (MEMORY >> 12) + 2 + 1 + 1 + 1 + 8 * 2 - 1;
  remapper.refused.add(page);
  play(200);
  const during = driver.counters();
  assert.ok(during.errors > 0);
  assert.equal(during.lastStatus, N.NVME_SC_DATA_XFER_ERROR);
  remapper.refused.clear();
  play(20);
  const errors = driver.counters().errors;
  play(200);
  const c = driver.counters();
  assert.equal(c.errors, errors);
  assert.equal(c.corrupt + c.lost + c.repeated, 0);
  assert.equal(c.errors, nvme.dmaErrors);
});

Deno.test("commands lost with the bus master bit are found missing", () => {
  const { rig, nvme, driver, start, play } = startDriver();
  start();
  play(100);
  setCommand(nvme, false);
  rig.run(1_000_000);
  setCommand(nvme, true);
  play(1000);
  const c = driver.counters();
  assert.equal(c.lost, 16);
  assert.equal(c.issued - c.completed, 16);
  assert.equal(c.repeated, 0);
});

Deno.test("a reset in mid-flight loses what was in flight and nothing else", () => {
  const { nvme, driver, start, play } = startDriver();
  start();
  play(100);
  nvme.reset();
  play(5000);
  const c = driver.counters();
  assert.equal(c.lost, 16);
  assert.equal(c.corrupt + c.repeated, 0);
});

Deno.test("a read that lands in a wrong frame is noticed", () => {
  const { nvme, driver, start, play } = startDriver(8, 1);
  const remapper = nvme.port.remapper = new OffsetRemapper();
  start();
  play(50);
  const data = (MEMORY >> 12) + 5;
  const translate = remapper.translate.bind(remapper);
  remapper.translate = (sid, hi, lo, write) => {
    const pfn = translate(sid, hi, lo, write);
    return pfn === data && write ? 0x3000 : pfn;
  };
  play(50);
  const c = driver.counters();
  assert.ok(c.corrupt > 0);
  assert.equal(c.firstCorrupt?.gpa, data * 4096);
});

Deno.test("a completion written a second time counts as repeated", () => {
  const { rig, driver, start, play } = startDriver(4, 1);
  start();
  play(200);
  rig.run(1_000_000);
  const before = driver.counters();
  // Four completions wait in a queue of eight; the first of them appears again behind the last.
  const cq = MEMORY + 3 * 4096;
  const head = before.completed % 8, place = (head + 4) % 8;
  const copy = rig.load32(cq + head * 16 + 12);
  rig.store32(cq + place * 16 + 12, place < head ? copy ^ 0x10000 : copy);
  assert.equal(driver.poll(5), 5);
  const c = driver.counters();
  assert.equal(c.completed, before.completed + 4);
  assert.equal(c.repeated, 1);
});

Deno.test("DMA addresses may start elsewhere than guest-physical addresses", () => {
  const { rig, nvme, driver, start, play } = startDriver();
  nvme.port.remapper = new OffsetRemapper(0x7_fff0_0000);
  start(0x7_fff0_0000);
  play(200);
  assert.ok(driver.counters().completed > 300);
  assert.equal(driver.counters().corrupt, 0);
  assert.equal(rig.observer.failures.length, 0);
});

Deno.test("a namespace too small, or no controller at all, ends the setup", () => {
  const small = startDriver(16, 5, 1000);
  small.start();
  small.play(50);
  assert.ok(small.driver.counters().failed);
  const absent = startDriver();
  absent.nvme.reset();
  absent.start();
  assert.ok(absent.driver.counters().failed);
  const mute = startDriver();
  setCommand(mute.nvme, false);
  mute.start();
  mute.play(300);
  assert.ok(mute.driver.counters().failed);
});

Deno.test("an impossible depth or transfer size is refused with the reason", () => {
  assert.throws(() => startDriver(65).start(), /queue depth 65: 1\.\.64/);
  assert.throws(() => startDriver(4, 33).start(), /transfers of 33 pages: 1\.\.32/);
});
