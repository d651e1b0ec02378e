import { SeededChooser } from "../../../src/base/choice.ts";
import { EventHash } from "../../../src/base/event_log.ts";
import { EventQueue } from "../../../src/base/event_queue.ts";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { Bus } from "../../../src/machine/bus.ts";
import { Bmc, type BmcOptions } from "../../../src/machine/devices/bmc.ts";
import { Nic, type NicOptions } from "../../../src/machine/devices/nic.ts";
import { Nvme, type NvmeOptions } from "../../../src/machine/devices/nvme.ts";
import { type DmaObserver, DmaPort, type Remapper, Route } from "../../../src/machine/dma_port.ts";
import { Memory } from "../../../src/machine/memory.ts";
import { ATS_NO_ACCESS } from "../../../src/machine/ats.ts";
import { AtsPort } from "../../../src/machine/pci/ats_port.ts";
import type { PciFunction } from "../../../src/machine/pci/function.ts";
import { PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from "../../../src/uapi/pci_regs.ts";
import type { GuestCpu } from "../../../src/userspace/guest/cpu.ts";

/** What the devices did, as the DMA port tells it. */
export class RecordingObserver implements DmaObserver {
  accesses = 0;
  /** Bytes of successful writes by frame. */
  readonly written = new Map<number, number>();
  readonly failures: { write: boolean; address: number; code: number }[] = [];
  readonly workChanges: { fn: number; busy: boolean }[] = [];
  starvations = 0;
  /** Times at which a write of more than one descriptor's size reached memory. */
  readonly payloadTimes: number[] = [];

  constructor(readonly queue: EventQueue) {}

  done(
    _fn: number,
    write: boolean,
    _hi: number,
    _lo: number,
    pfn: number,
    bytes: number,
    _route: Route,
  ): void {
    this.accesses++;
    if (!write) return;
    this.written.set(pfn, (this.written.get(pfn) ?? 0) + bytes);
    if (bytes > 16) this.payloadTimes.push(this.queue.now);
  }

  failed(_fn: number, write: boolean, hi: number, lo: number, code: number): void {
    this.failures.push({ write, address: hi * 4294967296 + lo, code });
  }

  work(fn: number, busy: boolean): void {
    this.workChanges.push({ fn, busy });
  }

  starved(_fn: number): void {
    this.starvations++;
  }

  /** The last word about a function's work. */
  busy(fn: number): boolean {
    return this.workChanges.findLast((change) => change.fn === fn)?.busy ?? false;
  }
}

/** Translates by subtracting a base; refuses the frames it is told to. */
export class OffsetRemapper implements Remapper {
  route = Route.translated;
  readonly refused = new Set<number>();

  /** `base`: the DMA address of frame 0, page aligned. */
  constructor(readonly base = 0) {}

  translate(_sid: number, hi: number, lo: number, _write: boolean): number {
    const pfn = Math.floor((hi * 4294967296 + lo - this.base) / PAGE_SIZE);
    return pfn < 0 || this.refused.has(pfn) ? -6 : pfn;
  }
}

/** A machine with a bus, RAM at 0 and no IOMMU, and a vCPU whose guest sees all of it. */
export class Rig implements GuestCpu {
  readonly memory: Memory;
  readonly queue = new EventQueue();
  readonly hash = new EventHash();
  readonly bus = new Bus();
  readonly chooser: SeededChooser;
  readonly observer = new RecordingObserver(this.queue);
  #functions = 0;

  constructor(readonly ramBytes = 64 * MiB, seed = 1) {
    this.memory = new Memory([{ start: 0, size: ramBytes }]);
    this.chooser = new SeededChooser(seed);
  }

  load32(gpa: number): number {
    if (gpa >= this.ramBytes) return this.bus.read32(gpa);
    return this.memory.load(Math.floor(gpa / PAGE_SIZE), (gpa & 0xfff) >>> 2) >>> 0;
  }

  store32(gpa: number, value: number): void {
    if (gpa >= this.ramBytes) this.bus.write32(gpa, value);
    else this.memory.store(Math.floor(gpa / PAGE_SIZE), (gpa & 0xfff) >>> 2, value);
  }

  loadWords(gpa: number, into: Uint32Array): void {
    for (let i = 0; i < into.length; i++) into[i] = this.load32(gpa + 4 * i);
  }

  storeWords(gpa: number, words: Uint32Array): void {
    words.forEach((word, i) => this.store32(gpa + 4 * i, word));
  }

  nic(options: Partial<NicOptions> = {}): { nic: Nic; bar: number } {
    const { port, bar } = this.#slot();
    const all = { interval: 1000, packetBytes: 256, seed: 7, ...options };
    const nic = new Nic(`nic${port.fn}`, port, this.bus, bar, this.chooser, all);
    setCommand(nic, true);
    return { nic, bar };
  }

  /** A card that asks for every page but those in `present`. */
  pagingNic(options: Partial<NicOptions> = {}) {
    const fn = this.#functions++;
    const { memory, queue, hash, observer } = this;
    const port = new AtsPort(fn, (fn + 1) << 3, memory, queue, hash, observer);
    const present = new Set<number>();
    port.agent = {
      translationRequest: (_sid, _pasid, _hi, lo) =>
        present.has(lo >>> 12) ? lo >>> 12 : ATS_NO_ACCESS,
      translated: () => 0,
      pageRequest: () => {},
    };
    const bar = 0xfe000000 + fn * 0x100000;
    const all = { interval: 1000, packetBytes: 256, seed: 7, pageRequests: true, ...options };
    const nic = new Nic(`nic${fn}`, port, this.bus, bar, this.chooser, all);
    setCommand(nic, true);
    port.ats = port.pri = true;
    port.allocation = 32;
    return { nic, bar, port, present };
  }

  nvme(options: Partial<NvmeOptions> = {}): { nvme: Nvme; bar: number } {
    const { port, bar } = this.#slot();
    const all = { latency: 5000, seed: 7, ...options };
    const nvme = new Nvme(`nvme${port.fn}`, port, this.bus, bar, all);
    setCommand(nvme, true);
    return { nvme, bar };
  }

  /** As firmware leaves it: at work in its memory. */
  bmc(options: BmcOptions): Bmc {
    const { port, bar } = this.#slot();
    return new Bmc(`bmc${port.fn}`, port, this.bus, bar, options);
  }

  /** Lets `ns` nanoseconds go by. */
  run(ns: number): void {
    this.queue.runUntil(this.queue.now + ns);
  }

  #slot(): { port: DmaPort; bar: number } {
    const fn = this.#functions++;
    const port = new DmaPort(
      fn,
      (fn + 1) << 3,
      this.memory,
      this.queue,
      this.hash,
      this.observer,
    );
    return { port, bar: 0xfe000000 + fn * 0x100000 };
  }
}

/** Enables register decoding, and bus mastering if asked to. */
export function setCommand(fn: PciFunction, master: boolean): void {
  fn.configWrite(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | (master ? PCI_COMMAND_MASTER : 0));
}
