import * as R from "../../../uapi/smmuv3_regs.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";
import { CommandQueue } from "./command_queue.ts";
import type { Entry, UpdateKind } from "./entry_update.ts";
import { writeEntry } from "./entry_update.ts";
import { EventReader } from "./events.ts";
import type { SmmuDriver } from "./driver.ts";
import { StreamTable } from "./stream_table.ts";

/** Each queue is one page: 256 commands, 128 events, or fewer where the unit wants fewer. */
const COMMAND_BITS = 8, EVENT_BITS = 7;
const SPLIT = 8;

/**
 * The driver's side of one SMMUv3: registers through the bus, stream table and queues as words in
 * memory. Knows nothing of the hardware model behind the registers.
 */
export class SmmuDevice {
  readonly streamBits: number;
  /** Bits of an intermediate address that stage 2 translates, and their code. */
  readonly addressBits: number;
  readonly addressCode: number;
  readonly rangeInvalidation: boolean;
  /** Level of break-before-make support (FACTS 4.3). */
  readonly bbml: number;
  readonly twoLevelStreams: boolean;
  /** Both stages are there: one can be put over the other. */
  readonly nests: boolean;
  /** Its accesses see what is in the CPU's caches. */
  readonly coherent: boolean;
  streams!: StreamTable;
  commands!: CommandQueue;
  events!: EventReader;
  /** Everything it needs is there. */
  ready = false;
  /** VMIDs in use, and by how many domains: one that is replaced shares its own with its heir. */
  readonly #vmids = new Map<number, number>();
  /** The unit was taken over running, with the stream table of the previous kernel. */
  adopted = false;

  constructor(
    readonly driver: SmmuDriver,
    readonly kernel: Kernel,
    readonly index: number,
    readonly regBase: number,
  ) {
    const idr0 = this.read(R.SMMU_IDR0), idr3 = this.read(R.SMMU_IDR3);
    this.streamBits = this.read(R.SMMU_IDR1) & R.IDR1_SIDSIZE_MASK;
    this.nests = (idr0 & R.IDR0_S1P) !== 0 && (idr0 & R.IDR0_S2P) !== 0;
    this.coherent = (idr0 & R.IDR0_COHACC) !== 0;
    this.twoLevelStreams = (idr0 & R.IDR0_ST_LEVEL_2) !== 0 && this.streamBits > SPLIT;
    this.addressCode = this.read(R.SMMU_IDR5) & R.IDR5_OAS_MASK;
    this.addressBits = R.SMMU_ADDRESS_BITS[this.addressCode] ?? 32;
    this.rangeInvalidation = (idr3 & R.IDR3_RIL) !== 0;
    this.bbml = (idr3 >>> R.IDR3_BBML_SHIFT) & R.IDR3_BBML_MASK;
  }

  get name(): string {
    return `arm-smmu-v3.${this.index}.auto`;
  }

  read(offset: number): number {
    return this.kernel.machine.bus.read32(this.regBase + offset);
  }

  write(offset: number, value: number): void {
    this.kernel.machine.bus.write32(this.regBase + offset, value);
  }

  write64(offset: number, low: number, high: number): void {
    this.kernel.machine.bus.write64(this.regBase + offset, low, high);
  }

  info(text: string): void {
    this.kernel.dmesg.info(`arm-smmu-v3 ${this.name}: ${text}`);
  }

  warn(text: string): void {
    this.kernel.dmesg.warn(`arm-smmu-v3 ${this.name}: ${text}`);
  }

  err(text: string): void {
    this.kernel.dmesg.err(`arm-smmu-v3 ${this.name}: ${text}`);
  }

  get enabled(): boolean {
    return (this.read(R.SMMU_CR0) & R.CR0_SMMUEN) !== 0;
  }

  /** Stream table and queues; ENOMEM as false. `streams`: the previous kernel's. */
  allocate(streams = StreamTable.make(this)): boolean {
    const { pages } = this.kernel;
    const idr1 = this.read(R.SMMU_IDR1);
    const commands = pages.allocPage(FrameUse.kernel), events = pages.allocPage(FrameUse.kernel);
    if (streams === undefined || commands < 0 || events < 0) {
      for (const pfn of [commands, events]) if (pfn >= 0) pages.freePage(pfn);
      for (const pfn of streams?.tables() ?? []) pages.freePage(pfn);
      return false;
    }
    const bits = (shift: number, most: number) => Math.min((idr1 >>> shift) & 31, most);
    this.streams = streams;
    this.commands = new CommandQueue(this, commands, bits(R.IDR1_CMDQS_SHIFT, COMMAND_BITS));
    this.events = new EventReader(this, events, bits(R.IDR1_EVENTQS_SHIFT, EVENT_BITS));
    return true;
  }

  /** What becomes of requests while the unit is disabled: abort, once this is done. */
  abortAll(): void {
    this.write(R.SMMU_GBPA, (this.read(R.SMMU_GBPA) | R.GBPA_ABORT | R.GBPA_UPDATE) >>> 0);
  }

  /** Off. Requests from here on are as GBPA says. */
  disable(): void {
    this.write(R.SMMU_CR0, 0);
  }

  /**
   * Brings the unit from whatever state it is in to where only {@link enable} is missing. One that
   * a previous kernel left running is told to abort before it is turned off: with it off, IOVAs
   * would be taken for physical addresses.
   */
  reset(): void {
    if (this.enabled) {
      this.warn("SMMU currently enabled! Resetting...");
      this.abortAll();
    }
    this.disable();
    this.write(R.SMMU_CR1, R.CR1_CACHED);
    this.write(R.SMMU_CR2, R.CR2_RECINVSID);
    this.streams.start();
    this.write(R.SMMU_GERRORN, this.read(R.SMMU_GERROR));
    this.commands.start();
    this.write(R.SMMU_CR0, R.CR0_CMDQEN);
    this.commands.invalidateAll();
    this.events.start();
    this.write(R.SMMU_CR0, R.CR0_CMDQEN | R.CR0_EVENTQEN);
    this.write(R.SMMU_IRQ_CTRL, R.IRQ_CTRL_EVENTQ | R.IRQ_CTRL_GERROR);
    this.ready = true;
  }

  /**
   * Takes over a unit that runs, with the stream table it has. Only the queues change, which lay in
   * memory of the previous kernel: translation goes on while they are off.
   */
  takeOver(): void {
    this.write(R.SMMU_CR0, R.CR0_SMMUEN);
    this.write(R.SMMU_GERRORN, this.read(R.SMMU_GERROR));
    this.commands.start();
    this.write(R.SMMU_CR0, R.CR0_SMMUEN | R.CR0_CMDQEN);
    // Whatever is cached was walked under another kernel: from here on it is these tables.
    this.commands.invalidateAll();
    this.events.start();
    this.write(R.SMMU_IRQ_CTRL, R.IRQ_CTRL_EVENTQ | R.IRQ_CTRL_GERROR);
    this.adopted = true;
    this.ready = true;
  }

  /** Before a kexec that it goes on translating through: nobody would read its events. */
  stopEvents(): void {
    this.commands.invalidateAll();
    this.write(R.SMMU_IRQ_CTRL, 0);
    this.write(R.SMMU_CR0, R.CR0_CMDQEN | R.CR0_SMMUEN);
  }

  /** The last step: requests go through the stream table. */
  enable(): void {
    this.write(R.SMMU_CR0, R.CR0_CMDQEN | R.CR0_EVENTQEN | R.CR0_SMMUEN);
  }

  /** The combined interrupt: global errors, then events. */
  interrupt(): void {
    this.handleGlobalErrors();
    this.events.drain();
  }

  /** Sees to the errors that are active, and says so to the unit. */
  handleGlobalErrors(): void {
    const gerror = this.read(R.SMMU_GERROR);
    const active = gerror ^ this.read(R.SMMU_GERRORN);
    if (active === 0) return;
    const code = active.toString(16).padStart(8, "0");
    this.warn(`unexpected global error reported (0x${code}), this could be serious`);
    if ((active & R.GERROR_EVENTQ_ABT_ERR) !== 0) {
      this.warn("EVTQ write aborted -- events may have been lost");
    }
    if ((active & R.GERROR_CMDQ_ERR) !== 0) this.commands.skipBad();
    this.write(R.SMMU_GERRORN, gerror);
  }

  /** Changes a stream's entry. Undefined without memory for one. */
  writeSte(sid: number, target: Entry): UpdateKind | undefined {
    const slot = this.streams.slot(sid);
    return slot === undefined ? undefined : writeEntry(slot, target);
  }

  /** Other tables under the VMID the entry has: false where that is not one store (FACTS 4.2). */
  swapSte(sid: number, target: Entry, vmid: number): boolean {
    if (this.writeSte(sid, target) === "disruptive") return false;
    this.commands.invalidateVmid(vmid);
    return true;
  }

  /** Lowest free VMID; -1 when there is no more. 0 is for streams that bypass. */
  allocVmid(): number {
    for (let vmid = 1; vmid < 65536; vmid++) {
      if (this.#vmids.has(vmid)) continue;
      this.#vmids.set(vmid, 1);
      return vmid;
    }
    return -1;
  }

  /** Keeps an id that hardware uses already. False when it is taken. */
  reserveVmid(vmid: number): boolean {
    if (this.#vmids.has(vmid)) return false;
    this.#vmids.set(vmid, 1);
    return true;
  }

  /** One more domain goes by an id that is in use. */
  shareVmid(vmid: number): void {
    this.#vmids.set(vmid, (this.#vmids.get(vmid) ?? 0) + 1);
  }

  freeVmid(vmid: number): void {
    const users = (this.#vmids.get(vmid) ?? 0) - 1;
    if (users > 0) this.#vmids.set(vmid, users);
    else this.#vmids.delete(vmid);
  }
}
