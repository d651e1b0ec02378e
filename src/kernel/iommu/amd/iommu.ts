import * as R from "../../../uapi/amdvi_regs.ts";
import * as T from "../../../uapi/amdvi_tables.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";
import { CommandBuffer } from "./command_buffer.ts";
import { EventReader } from "./events.ts";

/** Words 0 to 3 of a device table entry: all that translation goes by. */
export type Dte = readonly [number, number, number, number];

/** Translation is on, there are no tables, and neither reading nor writing is allowed. */
export const BLOCKED_DTE: Dte = [T.DTE_V | T.DTE_TV, 0, 0, 0];

/** Translation by tables of `mode` levels. */
export function tablesDte(root: number, mode: number, domain: number): Dte {
  return [
    (root << 12) | mode << T.DTE_MODE_SHIFT | T.DTE_TV | T.DTE_V,
    (root >>> 20) | T.DTE_IR_WORD1 | T.DTE_IW_WORD1,
    domain,
    0,
  ];
}

/**
 * The driver's side of one AMD IOMMU: registers through the bus, device table and buffers as words
 * in memory. Knows nothing of the hardware model behind the registers.
 */
export class AmdIommu {
  /** The most levels of table. */
  readonly levels: number;
  readonly invalidateAllSupported: boolean;
  /** DeviceIDs the device table has entries for. */
  readonly devices: number;
  commands!: CommandBuffer;
  /** Everything it needs is there. */
  ready = false;
  #events!: EventReader;
  /** First frame of the device table. */
  #table = -1;
  readonly #domains = new Set<number>();

  constructor(readonly kernel: Kernel, readonly index: number, readonly regBase: number) {
    const features = this.read(R.AMDVI_EXTENDED_FEATURES);
    this.levels = 4 + ((features >>> R.FEATURE_HATS_SHIFT) & R.FEATURE_HATS_MASK);
    this.invalidateAllSupported = (features & R.FEATURE_IA) !== 0;
    // IVRS names the last device; the table reaches it.
    this.devices = ((kernel.machine.firmware.buses.at(-1) ?? 0) + 1) * 256;
  }

  get name(): string {
    return `ivhd${this.index}`;
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

  /** First frame of the device table; -1 without. */
  get root(): number {
    return this.#table;
  }

  get #pages(): number {
    return (this.devices * T.DTE_WORDS * 4) / 4096;
  }

  /** Device table, command buffer, event log; ENOMEM as false. Every device begins blocked. */
  allocate(): boolean {
    const { pages } = this.kernel;
    const table = pages.allocRange(this.#pages, 1, FrameUse.iommuTable);
    const commands = CommandBuffer.make(this), events = EventReader.make(this);
    if (table < 0 || commands === undefined || events === undefined) {
      if (table >= 0) pages.freeRange(table, this.#pages);
      commands?.free();
      events?.free();
      return false;
    }
    this.#table = table;
    this.commands = commands;
    this.#events = events;
    for (let sid = 0; sid < this.devices; sid++) this.#store(sid, BLOCKED_DTE);
    return true;
  }

  /** Off. Requests from here on pass untranslated: there is no other way to be off. */
  disable(): void {
    this.write(R.AMDVI_CONTROL, 0);
  }

  /** Places table, buffer and log; the unit must be off. */
  prepare(): void {
    const low = (this.#table << 12) | (this.#pages - 1);
    this.write64(R.AMDVI_DEVICE_TABLE, low, this.#table >>> 20);
    this.commands.start();
    this.#events.start();
    this.ready = true;
  }

  enable(): void {
    this.write(
      R.AMDVI_CONTROL,
      R.CONTROL_IOMMU_EN | R.CONTROL_COMMAND_EN | R.CONTROL_EVENT_LOG_EN | R.CONTROL_EVENT_INT_EN,
    );
    this.commands.invalidateAll();
  }

  interrupt(): void {
    this.#events.interrupt();
  }

  /** After an overflow the log stands still until it was off and on again. */
  restartEventLog(): void {
    const control = this.read(R.AMDVI_CONTROL);
    this.write(R.AMDVI_CONTROL, control & ~R.CONTROL_EVENT_LOG_EN);
    this.write(R.AMDVI_CONTROL, control);
  }

  #place(sid: number): { pfn: number; word: number } {
    const at = sid * T.DTE_WORDS;
    return { pfn: this.#table + (at >>> 10), word: at & 1023 };
  }

  #store(sid: number, dte: Dte): void {
    const { pfn, word } = this.#place(sid);
    dte.forEach((value, i) => this.kernel.machine.memory.store(pfn, word + i, value));
  }

  /**
   * Changes a device's entry. What translation goes by lies in the lower 128 bits, which are stored
   * at once: a request meets the old entry or the new one, never a mixture.
   */
  setDte(sid: number, dte: Dte): void {
    this.#store(sid, dte);
    this.commands.invalidateDevice(sid);
  }

  /** Prints an entry that the unit complained of. */
  dumpDte(sid: number): void {
    const { pfn, word } = this.#place(sid);
    const half = (i: number) =>
      (this.kernel.machine.memory.load(pfn, word + i) >>> 0).toString(16).padStart(8, "0");
    for (let i = 0; i < 4; i++) {
      this.kernel.dmesg.err(`AMD-Vi: DTE[${i}]: ${half(i * 2 + 1)}${half(i * 2)}`);
    }
  }

  /** Lowest free DomainID; -1 when there is no more. 0 is for devices without tables. */
  allocDomainId(): number {
    for (let id = 1; id < 65536; id++) {
      if (this.#domains.has(id)) continue;
      this.#domains.add(id);
      return id;
    }
    return -1;
  }

  freeDomainId(id: number): void {
    this.#domains.delete(id);
  }
}
