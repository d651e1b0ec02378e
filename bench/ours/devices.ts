/** The counterpart of c/devices.c: ten thousand devices, their event queue and their DMA. */
import type { Chooser } from "../../src/base/choice.ts";
import { EventQueue } from "../../src/base/event_queue.ts";
import { GiB, PAGE_SIZE, PAGE_WORDS } from "../../src/base/units.ts";
import { Health } from "../../src/health/health.ts";
import { DEFAULT_CAPABILITY } from "../../src/machine/vtd/capability.ts";
import { Machine } from "../../src/machine/machine.ts";
import { PROFILES } from "../../src/machine/profile.ts";
import * as N from "../../src/uapi/nic_regs.ts";
import { formatBdf, PCI_COMMAND, PCI_COMMAND_MASTER } from "../../src/uapi/pci_regs.ts";
import * as V from "../../src/uapi/vtd_regs.ts";
import { type Benchmark, mix, timed } from "./side.ts";

const READ_WRITE = 3;
const FIRST_FREE = 0x100;
const RING_ENTRIES = 256, RING_IOVA = 0x8000;
const BUFFERS = 16, BUFFER_IOVA = 0x200000;
const BURST = 16, PAYLOAD_WORDS = 16;
/** Events of each card before it counts: by then it has been to its pages, and caches know them. */
const FIRST_EVENTS = 8;
/** `divisor`: all sizes are divided by it. */
export function devices(divisor: number): Record<string, Benchmark> {
  const count = 10_000 / divisor, events = 2_000_000 / divisor;
  return {
    "queue-heap": () => queueHeap(count, events),
    "dma-packets": () => dmaPackets(count, events / 2),
    "dma-writes": () => dmaWrites(count, events / 4),
  };
}

/** Every device has its own pace, nanoseconds. */
function paces(count: number): Int32Array {
  let state = 1;
  return new Int32Array(count).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 50_000 + (state >>> 16);
  });
}

/** When the first packet of each card comes. */
function phases(): Chooser {
  let state = 1;
  return {
    pick: (_, bound) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state >>> 8) % (bound + 1);
    },
  };
}

function run(queue: EventQueue, events: number): void {
  for (let i = 0; i < events; i++) queue.step();
}

function queueHeap(count: number, events: number): number {
  const queue = new EventQueue();
  const pace = paces(count);
  let sum = 0;
  const handler = queue.register((device) => {
    sum = (Math.imul(sum, 31) + device) | 0;
    queue.after(pace[device], handler, device);
  });
  for (let i = 0; i < count; i++) queue.after(pace[i], handler, i);
  timed(() => run(queue, events));
  return sum;
}

/** No packet comes as long as it is measured. */
const NEVER: Chooser = { pick: (_, bound) => bound };

/** A machine full of cards, each in a domain of its own, which belong to one guest. */
class Cards {
  readonly machine: Machine;
  readonly health = new Health();
  readonly #root: number;
  #next = FIRST_FREE;

  constructor(readonly intervals: Int32Array, chooser: Chooser) {
    const devices = Array.from(intervals, (interval, fn) => ({
      id: `nic${fn}`,
      bdf: formatBdf(fn >> 8, fn & 255),
      model: "nic" as const,
      interval,
      packetBytes: 256,
    }));
    const profile = { ...PROFILES[0], vtd: DEFAULT_CAPABILITY };
    const spec = { profile, memory: 3 * GiB, devices };
    const guests = { mapped: () => {} };
    this.machine = new Machine(spec, chooser, this.health.meters, guests, 1);
    const watched = devices.map(({ id }, fn) => ({
      fn,
      name: id,
      sid: fn,
      guest: "guest",
      promised: false,
    }));
    this.health.start(this.machine, watched);
    this.#root = this.#frame();
    for (let bus = 0; bus <= (devices.length - 1) >> 8; bus++) this.#frame();
    const owned = devices.flatMap((_, fn) => this.#map(fn));
    this.health.ledger.mapped("guest", 0, owned.map((pfn) => ({ pfn, count: 1 })));
    this.health.refreshOwners();
    this.#enableTranslation();
    for (const card of this.machine.functions) card.configWrite(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
  }

  /** Written to, as C's memory was by an earlier round: the system has it there. */
  #frame(): number {
    this.machine.memory.fillFrames(this.#next, 1, 0);
    return this.#next++;
  }

  /** Tables of one domain with a ring and buffers; the frames that the card may use. */
  #map(fn: number): number[] {
    const { memory } = this.machine;
    const frames = Array.from({ length: 5 + BUFFERS / 2 }, () => this.#frame());
    const [top, upper, middle, leaves, ring] = frames, buffers = frames.slice(5);
    const entry = (pfn: number) => pfn * PAGE_SIZE + READ_WRITE;
    const set = (table: number, index: number, pfn: number) =>
      memory.write64(table * PAGE_SIZE + index * 8, entry(pfn));
    set(top, 0, upper);
    set(upper, 0, middle);
    set(middle, 0, leaves);
    set(middle, 1, leaves);
    set(leaves, RING_IOVA / PAGE_SIZE, ring);
    buffers.forEach((pfn, i) => set(leaves, i, pfn));
    for (let i = 0; i < RING_ENTRIES; i++) {
      const address = BUFFER_IOVA + i % BUFFERS * N.RX_BUFFER_BYTES;
      memory.write64(ring * PAGE_SIZE + i * N.RX_DESC_BYTES, address);
    }
    const contexts = this.#root + 1 + (fn >> 8);
    memory.write64(this.#root * PAGE_SIZE + (fn >> 8) * 16, contexts * PAGE_SIZE + 1);
    memory.write64(contexts * PAGE_SIZE + (fn & 255) * 16, top * PAGE_SIZE + 1);
    memory.write64(contexts * PAGE_SIZE + (fn & 255) * 16 + 8, (fn + 1) * 256 + 2);
    return [ring, ...buffers];
  }

  #enableTranslation(): void {
    const [unit] = this.machine.units;
    unit.write32(V.DMAR_RTADDR_REG, this.#root * PAGE_SIZE);
    unit.write32(V.DMAR_RTADDR_REG + 4, 0);
    unit.write32(V.DMAR_GCMD_REG, V.DMA_GCMD_SRTP);
    unit.write32(V.DMAR_GCMD_REG, V.DMA_GCMD_TE);
  }

  /** Gives every card all of its ring but one descriptor. */
  receive(): void {
    for (const card of this.machine.functions) {
      card.write32(N.E1000_RDBAL, RING_IOVA);
      card.write32(N.E1000_RDLEN, RING_ENTRIES * N.RX_DESC_BYTES);
      card.write32(N.E1000_RDT, RING_ENTRIES - 1);
      card.write32(N.E1000_RCTL, N.E1000_RCTL_EN);
    }
  }

  /** Over everything in the machine's memory, and what was delivered. */
  sum(delivered: (fn: number) => number): number {
    const { memory } = this.machine, { meters } = this.health;
    let sum = 0;
    this.intervals.forEach((_, fn) => {
      const meter = meters.get(fn);
      sum = mix(mix(sum + meter.stray + meter.faultCount, delivered(fn)), meter.longestGap);
    });
    for (let pfn = FIRST_FREE; pfn < this.#next; pfn++) {
      const words = memory.readable(pfn) as Uint32Array, base = memory.base(pfn);
      for (let i = 0; i < PAGE_WORDS; i++) sum = mix(sum, words[base + i]);
    }
    return sum;
  }
}

/** Cards that receive: each packet is a read of its descriptor, the packet, and the descriptor. */
function dmaPackets(count: number, events: number): number {
  const cards = new Cards(paces(count), phases());
  const { machine: { queue, functions } } = cards;
  cards.receive();
  run(queue, FIRST_EVENTS * count);
  timed(() => run(queue, events));
  return cards.sum((fn) => functions[fn].read32(N.E1000_GPRC));
}

/** A kibibyte in payloads of 64 bytes, the way a bus takes it, through the port of each card. */
function dmaWrites(count: number, events: number): number {
  const cards = new Cards(new Int32Array(count).fill(2 ** 30), NEVER);
  const { machine: { queue, functions } } = cards;
  const ports = functions.map((card) => card.port);
  const sent = new Int32Array(count), delivered = new Int32Array(count);
  const pace = paces(count), phase = phases();
  const payload = new Uint32Array(PAYLOAD_WORDS);
  const handler = queue.register((fn) => {
    queue.after(pace[fn], handler, fn);
    const lo = BUFFER_IOVA + sent[fn]++ % (BUFFERS / 2) * PAGE_SIZE;
    const port = ports[fn];
    payload[0] = sent[fn];
    for (let i = 0; i < BURST; i++) {
      payload[1] = i;
      if (port.write(0, lo + i * PAYLOAD_WORDS * 4, payload, PAYLOAD_WORDS)) delivered[fn]++;
    }
  });
  for (let fn = 0; fn < count; fn++) queue.at(phase.pick("", pace[fn] - 1), handler, fn);
  run(queue, FIRST_EVENTS * count);
  timed(() => run(queue, events));
  return cards.sum((fn) => delivered[fn]);
}
