import assert from "node:assert/strict";
import { DMA_BUS_MASTER_OFF } from "../../../src/machine/dma_port.ts";
import * as N from "../../../src/uapi/nic_regs.ts";
import * as R from "../../../src/uapi/pci_regs.ts";
import { PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR } from "../../../src/uapi/pci_regs.ts";
import { OffsetRemapper, Rig, setCommand } from "./rig.ts";

const RING = 0x10000;
const BUFFERS = 0x100000;

/** Programs a ring by hand and enables receive. */
function startRing(rig: Rig, bar: number, entries: number, bufferBytes = 2048): void {
  for (let i = 0; i < entries; i++) {
    rig.store32(RING + i * 16, BUFFERS + i * bufferBytes);
    for (let w = 4; w < 16; w += 4) rig.store32(RING + i * 16 + w, 0);
  }
  rig.store32(bar + N.E1000_RDBAL, RING);
  rig.store32(bar + N.E1000_RDBAH, 0);
  rig.store32(bar + N.E1000_RDLEN, entries * 16);
  rig.store32(bar + N.E1000_RDH, 0);
  rig.store32(bar + N.E1000_RDT, entries - 1);
  rig.store32(bar + N.E1000_RCTL, N.E1000_RCTL_EN);
}

/** Whether the packet in a buffer has the checksum it came with. */
function isSound(rig: Rig, buffer: number, bytes: number): boolean {
  const packet = new Uint32Array(bytes / 4);
  rig.loadWords(buffer, packet);
  return N.packetChecksum(packet, packet.length - 1) === (packet[packet.length - 1] | 0);
}

Deno.test("the NIC delivers one packet per interval, evenly spaced", () => {
  const rig = new Rig();
  const { nic, bar } = rig.nic({ interval: 1500 });
  startRing(rig, bar, 256);
  rig.run(1500 * 100);
  assert.equal(nic.delivered, 100);
  const times = rig.observer.payloadTimes;
  assert.equal(times.length, 100);
  for (let i = 1; i < times.length; i++) assert.equal(times[i] - times[i - 1], 1500);
  assert.equal(rig.load32(bar + N.E1000_GPRC), 100);
  assert.equal(rig.load32(bar + N.E1000_GPRC), 0);
});

Deno.test("a delivered packet is sound and its descriptor carries length, DD and EOP", () => {
  const rig = new Rig();
  const { bar } = rig.nic({ packetBytes: 2048 });
  startRing(rig, bar, 8);
  rig.run(3000);
  for (let i = 0; i < 3; i++) {
    assert.equal(rig.load32(RING + i * 16), BUFFERS + i * 2048);
    assert.equal(rig.load32(RING + i * 16 + 8), 2048);
    assert.equal(rig.load32(RING + i * 16 + 12), N.RXD_STAT_DD | N.RXD_STAT_EOP);
    assert.equal(rig.load32(BUFFERS + i * 2048), i + 1);
    assert.ok(isSound(rig, BUFFERS + i * 2048, 2048));
  }
  assert.equal(rig.load32(RING + 3 * 16 + 12), 0);
});

Deno.test("a packet across a page boundary takes two accesses and arrives whole", () => {
  const rig = new Rig();
  const { bar } = rig.nic({ packetBytes: 2000 });
  startRing(rig, bar, 8, 3000);
  rig.run(7000);
  for (let i = 0; i < 7; i++) assert.ok(isSound(rig, BUFFERS + i * 3000, 2000));
  // Buffers 1 (3000..5000) and 2 (6000..8000), 3 (9000..11000), 4 (12000..14000), ...
  const crossing = [0, 1, 2, 3, 4, 5, 6].filter((i) =>
    Math.floor(i * 3000 / 4096) !== Math.floor((i * 3000 + 1999) / 4096)
  );
  assert.equal(rig.observer.payloadTimes.length, 7 + crossing.length);
});

Deno.test("the ring wraps as the tail is moved on", () => {
  const rig = new Rig();
  const { nic, bar } = rig.nic();
  startRing(rig, bar, 8);
  for (let i = 0; i < 50; i++) {
    rig.run(1000);
    rig.store32(bar + N.E1000_RDT, i % 8);
  }
  assert.equal(nic.delivered, 50);
  assert.equal(rig.load32(bar + N.E1000_RDH), 50 % 8);
  assert.equal(rig.observer.starvations, 0);
});

Deno.test("a full ring starves the NIC, which is no failure and counts as missed packets", () => {
  const rig = new Rig();
  const { nic, bar } = rig.nic();
  startRing(rig, bar, 8);
  assert.deepEqual(rig.observer.workChanges, [{ fn: 0, busy: true }]);
  rig.run(20_000);
  assert.equal(nic.delivered, 7);
  assert.equal(rig.observer.starvations, 13);
  assert.equal(rig.observer.failures.length, 0);
  assert.equal(rig.observer.busy(0), false);
  assert.equal(rig.load32(bar + N.E1000_MPC), 13);
  assert.equal(rig.load32(bar + N.E1000_MPC), 0);
  rig.store32(bar + N.E1000_RDT, 6);
  assert.equal(rig.observer.busy(0), true);
  rig.run(1000);
  assert.equal(rig.load32(BUFFERS + 7 * 2048), 21, "the sequence counts what was dropped");
});

Deno.test("without bus master every access fails, and with it the NIC goes on", () => {
  const rig = new Rig();
  const { nic, bar } = rig.nic();
  startRing(rig, bar, 64);
  rig.run(10_000);
  setCommand(nic, false);
  rig.run(5_000);
  assert.equal(nic.dmaErrors, 5);
  assert.equal(nic.delivered, 10);
  assert.deepEqual(rig.observer.failures.map((f) => f.code), Array(5).fill(DMA_BUS_MASTER_OFF));
  setCommand(nic, true);
  rig.run(5_000);
  assert.equal(nic.delivered, 15);
  assert.equal(rig.load32(BUFFERS + 10 * 2048), 16);
});

Deno.test("a refused buffer costs the packet and the descriptor is tried again", () => {
  const rig = new Rig();
  const { nic, bar } = rig.nic();
  const remapper = nic.port.remapper = new OffsetRemapper();
  startRing(rig, bar, 64);
  remapper.refused.add(BUFFERS / 4096);
  rig.run(3_000);
  assert.equal(nic.dmaErrors, 3);
  assert.equal(rig.load32(bar + N.E1000_RDH), 0);
  assert.equal(rig.load32(RING + 12), 0);
  remapper.refused.clear();
  rig.run(1_000);
  assert.equal(rig.load32(BUFFERS), 4);
  assert.equal(rig.load32(bar + N.E1000_RDH), 1);
});

Deno.test("while receive is off packets pass by and nothing touches memory", () => {
  const rig = new Rig();
  const { nic, bar } = rig.nic();
  rig.run(10_000);
  assert.equal(nic.lostOnWire, 10);
  startRing(rig, bar, 64);
  rig.run(5_000);
  rig.store32(bar + N.E1000_RCTL, 0);
  const accesses = rig.observer.accesses;
  assert.equal(rig.observer.busy(0), false);
  rig.run(5_000);
  assert.equal(rig.observer.accesses, accesses);
  assert.equal(nic.arrived, 20);
});

Deno.test("both resets stop the NIC and clear its registers, the wire counts on", () => {
  for (const flr of [false, true]) {
    const rig = new Rig();
    const { nic, bar } = rig.nic();
    startRing(rig, bar, 64);
    rig.run(5_000);
    if (flr) nic.configWrite(0x40 + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
    else rig.store32(bar + N.E1000_CTRL, N.E1000_CTRL_RST);
    assert.equal(rig.observer.busy(0), false);
    const accesses = rig.observer.accesses;
    rig.run(5_000);
    assert.equal(rig.observer.accesses, accesses);
    assert.equal(rig.observer.failures.length, 0);
    assert.equal(nic.read32(N.E1000_RDLEN), 0);
    assert.equal(nic.read32(N.E1000_STATUS) & N.E1000_STATUS_LU, N.E1000_STATUS_LU);
    assert.equal(nic.arrived, 10);
  }
});

Deno.test("an unplugged NIC issues nothing more", () => {
  const rig = new Rig();
  const { nic, bar } = rig.nic();
  startRing(rig, bar, 64);
  rig.run(5_000);
  nic.powerOff();
  rig.run(5_000);
  assert.equal(rig.observer.failures.length, 0);
  assert.equal(rig.observer.busy(0), false);
  assert.equal(rig.load32(bar + N.E1000_STATUS), 0xffffffff);
});

Deno.test("a ring above 4 GiB is reached through the high address register", () => {
  const base = 0x180000000;
  const rig = new Rig();
  const { nic, bar } = rig.nic();
  nic.port.remapper = new OffsetRemapper(base);
  startRing(rig, bar, 8);
  for (let i = 0; i < 8; i++) {
    const address = base + BUFFERS + i * 2048;
    rig.store32(RING + i * 16, address);
    rig.store32(RING + i * 16 + 4, Math.floor(address / 4294967296));
  }
  rig.store32(bar + N.E1000_RDBAL, base + RING);
  rig.store32(bar + N.E1000_RDBAH, Math.floor((base + RING) / 4294967296));
  rig.run(4_000);
  assert.equal(nic.delivered, 4);
  assert.ok(isSound(rig, BUFFERS, 256));
});

Deno.test("a card with page requests keeps packets until the page is there, in their order", () => {
  const rig = new Rig();
  const { nic, bar, port, present } = rig.pagingNic({ interval: 1000 });
  startRing(rig, bar, 64);
  rig.run(5500);
  assert.deepEqual([nic.delivered, port.open.length], [0, 1], "the ring's page is missing");
  present.add(RING / 4096);
  port.respond(-1, 0, 0);
  rig.run(1000);
  assert.deepEqual([nic.delivered, port.open.length], [0, 1], "now the first buffer's");
  for (let page = 0; page < 32; page++) present.add(BUFFERS / 4096 + page);
  port.respond(-1, 1, 0);
  rig.run(600);
  assert.deepEqual([nic.delivered, nic.starved, nic.dmaErrors], [7, 0, 0]);
  for (let i = 0; i < 7; i++) assert.equal(rig.load32(BUFFERS + i * 2048), i + 1);
});

Deno.test("a page that is refused costs one packet; a memory that is full, those that come then", () => {
  const rig = new Rig();
  // As many packets as a MiB of packet memory holds, and 100 more.
  const { nic, bar, port, present } = rig.pagingNic({ interval: 100, packetBytes: 2048 });
  startRing(rig, bar, 1024);
  rig.run(100 * (512 + 100));
  assert.deepEqual([nic.starved, rig.observer.starvations], [100, 100]);
  port.respond(-1, 0, 1);
  rig.run(600);
  assert.deepEqual([nic.dmaErrors, nic.delivered, port.open.length], [1, 0, 1]);
  present.add(RING / 4096);
  for (let page = 0; page < 512; page++) {
    present.add(BUFFERS / 4096 + page);
    present.add(RING / 4096 + page);
  }
  port.respond(-1, 1, 0);
  rig.run(600);
  assert.ok(nic.delivered >= 511, String(nic.delivered));
  assert.equal(rig.load32(BUFFERS), 2, "the first one is the one that was lost");
});

Deno.test("a reset forgets what was kept and asked for", () => {
  const rig = new Rig();
  const { nic, bar, port } = rig.pagingNic({ interval: 1000 });
  startRing(rig, bar, 64);
  rig.run(3500);
  nic.reset();
  assert.equal(port.open.length, 0);
  port.respond(-1, 0, 0);
  rig.run(5000);
  assert.deepEqual([nic.delivered, nic.dmaErrors], [0, 0]);
  assert.equal(nic.configRead(0x116, 2), R.PCI_PRI_STATUS_STOPPED, "a late answer is no error");
});
