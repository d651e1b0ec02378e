import assert from "node:assert/strict";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { Guest } from "../../../src/userspace/guest/guest.ts";
import { type GuestOptions, layOut } from "../../../src/userspace/guest/layout.ts";
import { mix32 } from "../../../src/base/choice.ts";
import { Rig } from "../../machine/devices/rig.ts";

const BASE = 1 * MiB;

function bootGuest(o: { seed?: number; interval?: number } = {}) {
  const rig = new Rig(64 * MiB, o.seed);
  const { nic, bar: nicBar } = rig.nic({ interval: o.interval ?? 2000, packetBytes: 1024 });
  const { nvme, bar: nvmeBar } = rig.nvme({ latency: 20_000 });
  const options: GuestOptions = {
    id: 42,
    ramBase: BASE,
    ramBytes: 8 * MiB,
    nics: [{ bar: nicBar, ringEntries: 128 }],
    nvmes: [{ bar: nvmeBar, depth: 8 }],
  };
  const guest = Guest.boot(rig, options);
  const play = (steps: number, by = guest) => {
    for (let i = 0; i < steps; i++) {
      rig.run(20_000);
      by.step();
    }
  };
  return { rig, nic, nvme, options, guest, play };
}

Deno.test("a healthy guest reports traffic, I/O and sound canaries", () => {
  const { nic, guest, play } = bootGuest();
  play(300);
  const r = guest.report();
  assert.equal(r.crashed, false);
  assert.equal(r.steps, 300);
  assert.equal(r.received, nic.arrived);
  assert.ok(r.ioCompleted > 1000);
  assert.equal(r.canaries, 256);
  assert.equal(r.canaryChecked, 600);
  assert.equal(
    r.missing + r.corrupt + r.repeated + r.ioErrors + r.ioCorrupt + r.ioLost + r.ioRepeated +
      r.ioFailed + r.canaryDamaged,
    0,
  );
});

Deno.test("after a live update a new object takes the guest over from its memory alone", () => {
  const { rig, guest, play } = bootGuest();
  play(100);
  const before = guest.report();
  const successor = Guest.attach(rig, BASE);
  assert.deepEqual(successor.report(), before);
  play(100, successor);
  const after = successor.report();
  assert.equal(after.steps, 200);
  assert.ok(after.received > before.received && after.ioCompleted > before.ioCompleted);
  assert.equal(after.missing + after.corrupt + after.repeated + after.ioCorrupt, 0);
});

Deno.test("a guest paused for long loses only what the card dropped on a full ring", () => {
  const { rig, guest, play } = bootGuest();
  play(100);
  rig.run(5_000_000);
  const successor = Guest.attach(rig, BASE);
  play(100, successor);
  const r = successor.report();
  assert.ok(r.missing > 2000);
  assert.equal(r.missing, r.missed);
  assert.equal(r.corrupt + r.ioErrors + r.ioCorrupt + r.ioLost, 0);
  assert.equal(guest.crashed, false);
  assert.equal(rig.observer.failures.length, 0);
});

Deno.test("a write into a canary page is found within one round and counted once", () => {
  const { rig, options, guest, play } = bootGuest();
  play(10);
  const gpa = layOut(options).free + 8;
  rig.store32(gpa, 0);
  play(300);
  const r = guest.report();
  assert.equal(r.canaryDamaged, 1);
  assert.equal(r.firstDamage, gpa);
});

Deno.test("all canaries can be looked at in one go", () => {
  const { rig, options, guest } = bootGuest();
  const end = BASE + options.ramBytes;
  for (let gpa = layOut(options).free; gpa < end; gpa += PAGE_SIZE) rig.store32(gpa + 4092, 7);
  guest.kernel.checkAll();
  assert.equal(guest.report().canaryDamaged, 256);
});

Deno.test("a guest whose books are written over has crashed and stays so", () => {
  for (const victim of [0, 1]) {
    const { rig, options, guest, play } = bootGuest();
    play(10);
    const layout = layOut(options);
    const page = victim === 0 ? layout.kernel : layout.nics[0].state;
    for (let i = 0; i < PAGE_SIZE; i += 4) rig.store32(page + i, mix32(1, 2, i));
    assert.equal(guest.step(), 0);
    assert.equal(guest.report().crashed, true);
    assert.equal(Guest.attach(rig, BASE).crashed, true);
  }
});

Deno.test("a 32 MiB guest holds a ring of 4096 buffers and 64 NVMe commands", () => {
  const layout = layOut({
    id: 1,
    ramBase: 0,
    ramBytes: 32 * MiB,
    nics: [{ bar: 0, ringEntries: 4096, bufferBytes: 2048 }],
    nvmes: [{ bar: 0, depth: 64, maxPages: 5 }],
  });
  assert.ok(layout.free < 12 * MiB);
});

Deno.test("a guest too small for its devices is refused, and told what needs how much", () => {
  const { rig, options } = bootGuest();
  assert.throws(
    () => Guest.boot(rig, { ...options, ramBytes: 256 * 1024 }),
    /256 KiB is too small: .* needed, NIC 0 .*\(128 buffers of 2048 bytes\), NVMe 0 .*8 commands/,
  );
});

Deno.test("two machines with the same seed do the same, one with another seed does not", () => {
  const digest = (seed: number) => {
    const { rig, play } = bootGuest({ seed });
    play(50);
    return rig.hash.digest();
  };
  assert.equal(digest(3), digest(3));
  assert.notEqual(digest(3), digest(4));
});
