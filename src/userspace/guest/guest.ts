import { mix32 } from "../../base/choice.ts";
import type { GuestCpu } from "./cpu.ts";
import { GuestKernel } from "./guest_kernel.ts";
import { type GuestOptions, layOut } from "./layout.ts";
import { GuestNicDriver, type NicCounters } from "./nic_driver.ts";
import { GuestNvmeDriver, type NvmeCounters } from "./nvme_driver.ts";

/** What a guest says of itself. Counts add up over its devices, each listed as well. */
export interface GuestReport {
  /**
   * The kernel page or a driver's state page was written over: the guest does nothing more, and
   * what it counted there means nothing.
   */
  readonly crashed: boolean;
  readonly steps: number;
  /** Packets; see {@link NicCounters}. */
  readonly received: number;
  readonly missing: number;
  readonly missed: number;
  readonly corrupt: number;
  readonly repeated: number;
  readonly ringFull: number;
  /** NVMe commands; see {@link NvmeCounters}. */
  readonly ioIssued: number;
  readonly ioCompleted: number;
  readonly ioErrors: number;
  readonly ioCorrupt: number;
  readonly ioLost: number;
  readonly ioRepeated: number;
  /** NVMe controllers that could not be brought up. */
  readonly ioFailed: number;
  readonly canaries: number;
  readonly canaryChecked: number;
  readonly canaryDamaged: number;
  /** Guest-physical address of the first wrong canary word. */
  readonly firstDamage: number | undefined;
  readonly nics: readonly NicCounters[];
  readonly nvmes: readonly NvmeCounters[];
}

/**
 * A guest's software: a kernel page, a driver for each device, and canaries over the rest of its
 * RAM. It lives in guest RAM alone. The object is only the hand that moves it, and after a live
 * update {@link attach} makes a new one that goes on where the last one stopped.
 */
export class Guest {
  #crashed = false;

  private constructor(
    readonly kernel: GuestKernel,
    readonly nics: readonly GuestNicDriver[],
    readonly nvmes: readonly GuestNvmeDriver[],
  ) {}

  /** Boots a guest into its RAM and starts its devices. A RangeError says what does not fit. */
  static boot(cpu: GuestCpu, options: GuestOptions): Guest {
    const layout = layOut(options);
    const { id, iovaBase = 0 } = options;
    const kernel = new GuestKernel(cpu, layout.kernel);
    kernel.boot(options, layout);
    const nics = layout.nics.map((place) => {
      const { state, ring, ringEntries, buffers, bufferBytes } = place;
      const driver = new GuestNicDriver(cpu, state);
      driver.start({
        bar: place.nic.bar,
        pasid: place.nic.pasid,
        ringGpa: ring,
        ringEntries,
        bufferGpa: buffers,
        bufferBytes,
        iovaBase,
      });
      return driver;
    });
    const nvmes = layout.nvmes.map((place, i) => {
      const { state, memory, depth, maxPages } = place;
      const { bar, firstLba = 0 } = place.nvme;
      const driver = new GuestNvmeDriver(cpu, state);
      const seed = mix32(id, i, 0x6e766d);
      driver.start({ bar, memoryGpa: memory, depth, maxPages, seed, firstLba, iovaBase });
      return driver;
    });
    return new Guest(kernel, nics, nvmes);
  }

  /** Takes over the guest that booted with this `ramBase`, from its memory alone. */
  static attach(cpu: GuestCpu, ramBase: number): Guest {
    const kernel = new GuestKernel(cpu, ramBase);
    if (!kernel.intact) return new Guest(kernel, [], []);
    const nics = kernel.nicStates.map((state) => new GuestNicDriver(cpu, state));
    const nvmes = kernel.nvmeStates.map((state) => new GuestNvmeDriver(cpu, state));
    return new Guest(kernel, nics, nvmes);
  }

  /**
   * Lets the guest run for a moment: up to `budget` completions of each device and a look at some
   * canaries. Returns how many completions there were.
   */
  step(budget = 256): number {
    if (this.crashed) return 0;
    let handled = 0;
    for (const driver of this.nics) handled += driver.poll(budget);
    for (const driver of this.nvmes) handled += driver.poll(budget);
    this.kernel.step();
    return handled;
  }

  /** A guest whose own books were written over panics, and stays so. */
  get crashed(): boolean {
    if (this.#crashed) return true;
    return this.#crashed = !this.kernel.intact ||
      this.nics.some((driver) => !driver.intact) || this.nvmes.some((driver) => !driver.intact);
  }

  report(): GuestReport {
    const { kernel } = this;
    const nics = this.nics.map((driver) => driver.counters());
    const nvmes = this.nvmes.map((driver) => driver.counters());
    const packets = (of: (c: NicCounters) => number) => nics.reduce((sum, c) => sum + of(c), 0);
    const io = (of: (c: NvmeCounters) => number) => nvmes.reduce((sum, c) => sum + of(c), 0);
    return {
      crashed: this.crashed,
      steps: kernel.steps,
      received: packets((c) => c.received),
      missing: packets((c) => c.missing),
      missed: packets((c) => c.missed),
      corrupt: packets((c) => c.corrupt),
      repeated: packets((c) => c.repeated),
      ringFull: packets((c) => c.ringFull),
      ioIssued: io((c) => c.issued),
      ioCompleted: io((c) => c.completed),
      ioErrors: io((c) => c.errors),
      ioCorrupt: io((c) => c.corrupt),
      ioLost: io((c) => c.lost),
      ioRepeated: io((c) => c.repeated),
      ioFailed: io((c) => c.failed ? 1 : 0),
      canaries: kernel.canaries,
      canaryChecked: kernel.canaryChecked,
      canaryDamaged: kernel.canaryDamaged,
      firstDamage: kernel.firstDamage,
      nics,
      nvmes,
    };
  }
}
