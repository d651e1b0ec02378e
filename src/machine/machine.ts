import { assert } from "../base/assert.ts";
import type { Chooser } from "../base/choice.ts";
import { EventHash } from "../base/event_log.ts";
import { EventQueue } from "../base/event_queue.ts";
import { GiB, PAGE_SIZE } from "../base/units.ts";
import { parseBdf, PCI_BASE_ADDRESS_0 } from "../uapi/pci_regs.ts";
import { AmdviUnit } from "./amdvi/unit.ts";
import { Bus, type Mmio } from "./bus.ts";
import { Bmc } from "./devices/bmc.ts";
import { Nic } from "./devices/nic.ts";
import { Nvme } from "./devices/nvme.ts";
import { type DmaObserver, DmaPort, type Remapper } from "./dma_port.ts";
import type { GuestObserver } from "./guest_memory.ts";
import { LastAccess } from "./last_access.ts";
import { Memory, type PhysRange } from "./memory.ts";
import { AtsPort } from "./pci/ats_port.ts";
import type { PciFunction } from "./pci/function.ts";
import { PciRoot } from "./pci/root.ts";
import type { Profile } from "./profile.ts";
import { SmmuUnit } from "./smmuv3/unit.ts";
import { VtdUnit } from "./vtd/unit.ts";

/** A device as a person describes it. Times in nanoseconds. */
export type DeviceSpec =
  & {
    readonly id: string;
    readonly bdf: string;
    /** `none`: no unit is in charge of it, its addresses are physical ones. */
    readonly iommu?: "none";
    /** Memory that firmware lets the device use for itself; bytes, whole pages of RAM. */
    readonly rmrr?: { readonly base: number; readonly size: number };
  }
  & (
    | {
      readonly model: "nic";
      readonly interval: number;
      readonly packetBytes: number;
      /** Bits of PASID the card has; 0 or missing: none. */
      readonly pasidBits?: number;
      /** Its requests carry the source id of function 1 of its slot. */
      readonly aliased?: boolean;
      /** It asks for pages that are not there (ATS, PRI). */
      readonly pageRequests?: boolean;
    }
    | { readonly model: "nvme"; readonly latency: number }
    /** Firmware's own: it works in its {@link rmrr}. */
    | { readonly model: "bmc"; readonly interval: number }
  );

export interface MachineSpec {
  readonly profile: Profile;
  /** Bytes of RAM, a multiple of 4 KiB. */
  readonly memory: number;
  readonly devices: readonly DeviceSpec[];
}

/** One IOMMU as firmware tells of it: where its registers are, and whose DMA it translates. */
export interface IommuNode {
  readonly regBase: number;
  covers(sid: number): boolean;
}

/** Memory that a device uses for itself: to be kept mapped 1:1 for it, and free of anything else. */
export interface ReservedMemory {
  readonly sid: number;
  readonly base: number;
  readonly size: number;
}

/** What firmware tells a kernel: ACPI tables and the memory map. */
export interface Firmware {
  /** Memory a kernel may use. */
  readonly ram: readonly PhysRange[];
  /** Buses that have devices, ascending. */
  readonly buses: readonly number[];
  /** DMAR: remapping units, their register base, and which source ids each is in charge of. */
  readonly drhds: readonly IommuNode[];
  /** IORT: SMMUv3s. The mapping is the identity: a device's StreamID is its source id. */
  readonly smmus: readonly IommuNode[];
  /** IVRS: AMD IOMMUs. A device's DeviceID is its source id. */
  readonly ivhds: readonly IommuNode[];
  /** DMAR's RMRRs, IORT's RMRs, or IVRS's IVMDs. */
  readonly rmrrs: readonly ReservedMemory[];
}

const LOW_RAM_END = 3 * GiB;
const BAR_BASE = 0xc0000000;
/** Where other hardware begins. */
const BAR_END = 0xfd000000;
/** For devices that find no room below; no RAM is up there. */
const HIGH_BAR_BASE = 2 ** 44;
/** Room for each device's registers, naturally aligned for all of them. */
const BAR_STRIDE = 0x100000;
const DRHD_BASE = 0xfed90000;
const SMMU_BASE = 0xfd000000;
const IVHD_BASE = 0xfeb80000;

/** PC memory map: conventional memory, RAM below the hole at 3 GiB, the rest above 4 GiB. */
function memoryMap(size: number): PhysRange[] {
  const low = Math.min(size, LOW_RAM_END);
  const ranges = [{ start: 0, size: 0xa0000 }, { start: 0x100000, size: low - 0x100000 }];
  if (size > low) ranges.push({ start: 4 * GiB, size: size - low });
  return ranges;
}

/** Where firmware puts the registers of a function. */
function barOf(fn: number): number {
  const low = (BAR_END - BAR_BASE) / BAR_STRIDE;
  return fn < low ? BAR_BASE + fn * BAR_STRIDE : HIGH_BAR_BASE + (fn - low) * BAR_STRIDE;
}

/** What is left of ranges when a piece is taken out. */
function without(ranges: readonly PhysRange[], { base, size }: ReservedMemory): PhysRange[] {
  return ranges.flatMap(({ start, size: bytes }) => {
    const before = { start, size: Math.min(bytes, base - start) };
    const after = Math.max(start, base + size);
    return [before, { start: after, size: start + bytes - after }].filter((r) => r.size > 0);
  });
}

/** What a PC's firmware leaves in page 0: real-mode vectors, all of its handler that does nothing. */
function powerOn(memory: Memory): void {
  for (let vector = 0; vector < 256; vector++) memory.store(0, vector, 0xf000ff53 | 0);
}

/**
 * The hardware: memory, buses, devices, IOMMU. A kexec is nothing to it but one more sequence of
 * loads and stores: everything here goes on.
 */
export class Machine {
  readonly queue = new EventQueue();
  readonly hash = new EventHash();
  readonly memory: Memory;
  readonly bus = new Bus();
  readonly pci = new PciRoot();
  /** The IOMMUs, by kind; a profile has one kind, or none. */
  readonly units: VtdUnit[] = [];
  readonly smmus: SmmuUnit[] = [];
  readonly amdvis: AmdviUnit[] = [];
  readonly functions: PciFunction[] = [];
  readonly firmware: Firmware;
  readonly profile: Profile;
  readonly #last = new LastAccess();
  #faultHandlers: ((() => void) | undefined)[] = [];
  readonly #faultEvent: number;
  #pageRequestHandlers: ((() => void) | undefined)[] = [];
  readonly #pageRequestEvent: number;
  #pokeHandler: () => void = () => {};

  constructor(
    spec: MachineSpec,
    readonly chooser: Chooser,
    readonly dmaObserver: DmaObserver,
    readonly guestObserver: GuestObserver,
    seed: number,
  ) {
    this.profile = spec.profile;
    this.memory = new Memory(memoryMap(spec.memory));
    if (spec.profile.smmu === undefined) powerOn(this.memory);
    this.#faultEvent = this.queue.register((unit) => this.#faultHandlers[unit]?.());
    this.#pageRequestEvent = this.queue.register((unit) => this.#pageRequestHandlers[unit]?.());
    this.memory.onDispose.push(() => this.#last.forget());
    const remapper = this.#addIommu();
    const buses = new Set<number>(), uncovered = new Set<number>();
    // One after the other, to lie side by side in memory: what a DMA needs of them is on few pages.
    const ports = spec.devices.map((device, fn) => {
      const sid = parseBdf(device.bdf);
      assert(sid !== undefined, `device ${device.id}: ${device.bdf} is no bus:device.function`);
      buses.add(sid >> 8);
      const port = this.#makePort(device, fn, sid);
      if (device.iommu === "none") uncovered.add(sid);
      else port.remapper = remapper;
      return port;
    });
    spec.devices.forEach((device, fn) => {
      const port = ports[fn];
      const made = this.#makeDevice(device, port, barOf(fn), seed);
      this.functions.push(made);
      this.pci.plug(made);
    });
    const node = ({ regBase }: { regBase: number }): IommuNode => ({
      regBase,
      covers: (sid) => !uncovered.has(sid),
    });
    const rmrrs = spec.devices.flatMap(({ bdf, rmrr }) =>
      rmrr === undefined ? [] : [{ sid: parseBdf(bdf) ?? 0, ...rmrr }]
    );
    for (const { base, size } of rmrrs) this.#checkReserved(base, size);
    this.firmware = {
      ram: rmrrs.reduce(without, this.memory.ranges as PhysRange[]),
      buses: [...buses].sort((a, b) => a - b),
      drhds: this.units.map(node),
      smmus: this.smmus.map(node),
      ivhds: this.amdvis.map(node),
      rmrrs,
    };
  }

  #checkReserved(base: number, size: number): void {
    const inside = this.memory.ranges.some((r) =>
      base >= r.start && base + size <= r.start + r.size
    );
    const pages = base % PAGE_SIZE === 0 && size % PAGE_SIZE === 0 && size > 0;
    assert(inside && pages, "reserved memory is whole pages of one range of RAM");
  }

  /** The IOMMU the profile asks for, if it has one: what it covers goes through it. */
  #addIommu(): Remapper | undefined {
    const { memory, queue, hash, chooser } = this;
    const { vtd, smmu, amdvi } = this.profile;
    const parts = { memory, queue, hash };
    const kinds = [vtd, smmu, amdvi].filter((kind) => kind !== undefined).length;
    assert(kinds <= 1, `profile ${this.profile.name}: one kind of IOMMU`);
    // An interrupt is taken when the processor gets to it, not in the middle of the DMA.
    const interrupt = () => this.queue.after(0, this.#faultEvent, 0);
    if (smmu !== undefined) {
      const regBase = SMMU_BASE;
      const unit = new SmmuUnit({ ...parts, name: "smmu0", regBase, capability: smmu });
      unit.onEvent = unit.onError = interrupt;
      return this.#plug(unit, this.smmus);
    }
    if (amdvi !== undefined) {
      const regBase = IVHD_BASE;
      const unit = new AmdviUnit({ ...parts, name: "ivhd0", regBase, capability: amdvi });
      unit.onInterrupt = interrupt;
      return this.#plug(unit, this.amdvis);
    }
    if (vtd === undefined) return undefined;
    const options = { ...parts, name: "dmar0", regBase: DRHD_BASE, chooser, capability: vtd };
    const unit = new VtdUnit(options);
    unit.onFault = interrupt;
    unit.onPageRequest = () => this.queue.after(0, this.#pageRequestEvent, 0);
    return this.#plug(unit, this.units);
  }

  #plug<U extends Remapper & Mmio & { regBase: number; regSize: number }>(unit: U, to: U[]): U {
    this.bus.map(unit.regBase, unit.regSize, unit);
    to.push(unit);
    return unit;
  }

  /** One with ATS is known to the unit that can do it. */
  #makePort(device: DeviceSpec, fn: number, sid: number): DmaPort {
    const { memory, queue, hash, dmaObserver } = this;
    if (device.model !== "nic" || device.pageRequests !== true) {
      return new DmaPort(fn, sid, memory, queue, hash, dmaObserver, this.#last);
    }
    const port = new AtsPort(fn, sid, memory, queue, hash, dmaObserver, this.#last);
    const agent = device.iommu === "none" ? undefined : this.units[0]?.deviceTlbs;
    agent?.endpoints.set(sid, port);
    port.agent = agent;
    return port;
  }

  #makeDevice(spec: DeviceSpec, port: DmaPort, bar: number, seed: number): PciFunction {
    if (spec.model === "nic") {
      const { interval, packetBytes, pasidBits = 0, aliased = false, pageRequests = false } = spec;
      const options = { interval, packetBytes, seed, pasidBits, aliased, pageRequests };
      return new Nic(spec.id, port, this.bus, bar, this.chooser, options);
    }
    if (spec.model === "bmc") {
      assert(spec.rmrr !== undefined, `${spec.id}: firmware has set no memory aside for it`);
      const { interval, rmrr: { base } } = spec;
      return new Bmc(spec.id, port, this.bus, bar, { interval, base });
    }
    return new Nvme(spec.id, port, this.bus, bar, { latency: spec.latency, seed });
  }

  /** The function is in its slot. */
  isPlugged(fn: number): boolean {
    const made = this.functions[fn];
    return this.pci.at(made.port.sid) === made;
  }

  /** Takes a function out of its slot. Nobody is told: it answers no more. */
  unplug(fn: number): void {
    this.pci.unplug(this.functions[fn]);
  }

  /** Puts it back, as new; firmware gives it the address for its registers that it had. */
  plug(fn: number): void {
    const made = this.functions[fn];
    this.pci.plug(made);
    const bar = barOf(fn);
    made.configWrite(PCI_BASE_ADDRESS_0, 4, bar);
    made.configWrite(PCI_BASE_ADDRESS_0 + 4, 4, Math.floor(bar / 2 ** 32));
  }

  /** The kernel's handler for an IOMMU's interrupt. */
  onFault(unit: number, handler: () => void): void {
    this.#faultHandlers[unit] = handler;
  }

  /** The same for the interrupt that tells of page requests. */
  onPageRequest(unit: number, handler: () => void): void {
    this.#pageRequestHandlers[unit] = handler;
  }

  /** At the jump no handler is installed any more; interrupts find nobody. */
  dropInterruptHandlers(): void {
    this.#faultHandlers = [];
    this.#pageRequestHandlers = [];
  }

  /** Whoever waits for programs to get somewhere is told that something changed. */
  poke(): void {
    this.#pokeHandler();
  }

  onPoke(handler: () => void): void {
    this.#pokeHandler = handler;
  }

  /** Switched off for good: nothing happens any more, and the memory is there for another one. */
  dispose(): void {
    this.queue.close();
    this.memory.dispose();
  }
}
