import { MiB, ms } from "../../src/base/units.ts";
import type { InvariantState } from "../../src/health/health.ts";
import type { InvariantId } from "../../src/health/invariants.ts";
import { FrameUse } from "../../src/kernel/mm/frames.ts";
import { type LiveContext, liveTables } from "../../src/health/tables.ts";
import type { DeviceSpec } from "../../src/machine/machine.ts";
import { findProfile } from "../../src/machine/profile.ts";
import type { Phase, UpdateRecord } from "../../src/platform/live_update.ts";
import { Platform } from "../../src/platform/platform.ts";
import type { VmSpec } from "../../src/platform/spec.ts";
import { PCI_COMMAND, PCI_COMMAND_MASTER } from "../../src/uapi/pci_regs.ts";
import * as V from "../../src/uapi/vtd_regs.ts";
import { throwAway } from "../throw_away.ts";

/** Virtual time nothing here outlasts. */
const LIMIT = 2000 * ms;
const GUEST = 8 * MiB;

export interface WorldOptions {
  kernel?: string;
  seed?: number;
  /** Ids of VMs of {@link VMS} that there are; all unless said. */
  vms?: readonly string[];
  /** VMs are not started. */
  cold?: boolean;
  /** Name of the machine's profile; `intel-legacy` unless said. */
  profile?: string;
  /** Bits of PASID of the network cards. */
  pasidBits?: number;
  /** Network cards ask for pages, and this much of each VM's memory is there. */
  resident?: number;
}

const DEVICES: readonly DeviceSpec[] = [
  { id: "nic0", bdf: "3a:00.0", model: "nic", interval: 400_000, packetBytes: 128 },
  { id: "nvme0", bdf: "3b:00.0", model: "nvme", latency: 2 * ms },
  { id: "nic1", bdf: "3c:00.0", model: "nic", interval: 400_000, packetBytes: 128 },
  { id: "nic2", bdf: "3d:00.0", model: "nic", interval: 400_000, packetBytes: 128 },
];

/** Two VMs that are to go on through a kexec, and one of which nobody said so. */
const VMS: readonly VmSpec[] = [
  { id: "vm0", memory: GUEST, persistent: true, devices: ["nic0", "nvme0"], ring: 1024 },
  { id: "vm1", memory: GUEST, persistent: true, devices: ["nic1"], ring: 1024 },
  { id: "vm2", memory: GUEST, persistent: false, devices: ["nic2"], ring: 1024 },
];

/**
 * A small platform, and hands that reach into it from outside: stores to physical memory, writes
 * to registers and configuration space. None of them tells a kernel.
 */
export class World {
  readonly platform: Platform;

  constructor(options: WorldOptions = {}) {
    const vms = VMS.filter((vm) => options.vms?.includes(vm.id) ?? true);
    const profile = findProfile(options.profile ?? "intel-legacy")!;
    const { pasidBits, resident } = options;
    const devices = DEVICES.map((d) =>
      d.model !== "nic" ? d : {
        ...d,
        ...(pasidBits !== undefined && { pasidBits }),
        ...(resident !== undefined && { pageRequests: true }),
      }
    );
    this.platform = throwAway(
      new Platform({
        machine: { profile, memory: 96 * MiB, devices },
        vms: vms.map((vm) => ({ ...vm, ...(resident !== undefined && { resident }) })),
        kernel: options.kernel ?? "rfc-v1",
        guestmemfs: 32 * MiB,
        khoScratch: 16 * MiB,
        seed: options.seed ?? 1,
      }),
    );
    if (options.cold) return;
    this.boot();
    for (const vm of vms) this.startVm(vm.id);
    this.run(20 * ms);
  }

  get memory() {
    return this.platform.machine.memory;
  }

  get unit() {
    return this.platform.machine.units[0];
  }

  get health() {
    return this.platform.health;
  }

  get update(): UpdateRecord {
    return this.platform.update!;
  }

  run(ns: number): this {
    this.platform.runFor(ns);
    return this;
  }

  /** Runs until the condition holds, one event at a time. */
  until(condition: () => boolean): this {
    const end = this.platform.now + LIMIT;
    while (!condition()) {
      if (!this.platform.machine.queue.step() || this.platform.now > end) {
        throw new Error("it never came to that");
      }
    }
    return this;
  }

  /** Until programs can run. */
  boot(): this {
    return this.until(() => this.platform.kernel.ready);
  }

  startVm(id: string): this {
    this.platform.startVm(this.platform.vm(id)!);
    return this.until(() => this.platform.statusOf(id) === "running");
  }

  /** VMM of a VM gone, as an operator stops it. */
  stopVm(id: string): this {
    const { kernel } = this.platform;
    kernel.scheduler.send(kernel.scheduler.find(id)!, "quit");
    this.until(() => this.platform.statusOf(id) === "exited");
    this.platform.forgetVm(id);
    return this;
  }

  /** Begins a live update and runs until the phase has begun. */
  updateTo(phase: Phase, image = "rfc-v1"): this {
    this.platform.startUpdate(image);
    return this.until(() => this.update.began[phase] !== undefined);
  }

  /** Runs the update that is under way to its end, and a little on. */
  finish(): this {
    return this.until(() => !this.platform.updating).run(20 * ms);
  }

  liveUpdate(image?: string): this {
    return this.updateTo("prepare", image).finish();
  }

  /** An update that is held with its guests paused; what `meanwhile` does; then it is called off. */
  abortedUpdate(meanwhile: () => void = () => {}): this {
    this.platform.startUpdate("rfc-v1", "pause");
    this.until(() => this.update.held);
    meanwhile();
    this.update.abortRequested = true;
    this.platform.director.poke();
    return this.finish();
  }

  /** The last word on every invariant. */
  judge(): InvariantState[] {
    this.platform.judge();
    return this.health.states();
  }

  verdictOn(id: InvariantId): InvariantState {
    return this.judge().find((s) => s.id === id)!;
  }

  // Hands on the hardware.

  fn(device: string): number {
    return DEVICES.findIndex((d) => d.id === device);
  }

  sid(device: string): number {
    return this.platform.machine.functions[this.fn(device)].port.sid;
  }

  meter(device: string) {
    return this.health.meters.get(this.fn(device));
  }

  context(device: string): LiveContext {
    const { contexts } = liveTables(this.memory, this.unit);
    const found = contexts.find((c) => c.sid === this.sid(device));
    if (found === undefined) throw new Error(`${device} has no context`);
    return found;
  }

  /** Physical address of a device's context entry. */
  contextEntry(device: string): number {
    const sid = this.sid(device);
    const root = this.memory.read64(this.unit.rootPfn * 4096 + (sid >> 8) * 16);
    return Math.floor(root / 4096) * 4096 + (sid & 0xff) * 16;
  }

  /** Both 64-bit words of a device's context entry. */
  contextWords(device: string): Uint8Array {
    return this.memory.read(this.contextEntry(device), 16);
  }

  /** Physical address of the last entry on the way of an IOVA. */
  leaf(device: string, iova: number): number {
    const context = this.context(device);
    let table = context.root;
    for (let level = context.agaw + 2;; level--) {
      const at = table * 4096 + (Math.floor(iova / 4096 / 512 ** (level - 1)) % 512) * 8;
      const entry = this.memory.read64(at);
      if (level === 1 || (entry % 256) >= 128) return at;
      table = Math.floor(entry / 4096);
    }
  }

  /** Physical address behind a guest's memory. */
  guestAddress(vm: string, gpa: number): number {
    const { guestmemfs } = this.platform.kernel;
    const inode = guestmemfs!.inodes().find((i) => i.name === vm)!;
    return guestmemfs!.frameOfPage(inode, Math.floor(gpa / 4096)) * 4096 + gpa % 4096;
  }

  /** A frame the kernel has given to nobody. */
  freeFrame(): number {
    const { pages } = this.platform.kernel;
    for (let pfn = 0x2000;; pfn++) if (pages.useOf(pfn) === FrameUse.free) return pfn;
  }

  command(value: number): void {
    this.platform.machine.bus.write32(this.unit.regBase + V.DMAR_GCMD_REG, value);
  }

  flushContexts(): void {
    const at = this.unit.regBase + V.DMAR_CCMD_REG;
    this.platform.machine.bus.write64(at, 0, (V.DMA_CCMD_ICC_HI | 1 << 29) >>> 0);
  }

  flushIotlb(): void {
    const { bus } = this.platform.machine;
    const ecap = V.decodeEcap(bus.read32(this.unit.regBase + V.DMAR_ECAP_REG));
    const at = this.unit.regBase + ecap.iotlbOffset * 16 + V.DMAR_IOTLB_REG;
    bus.write64(at, 0, (V.DMA_TLB_IVT_HI | V.GRANU_GLOBAL << V.DMA_TLB_IIRG_SHIFT_HI) >>> 0);
  }

  configWrite(device: string, offset: number, value: number): void {
    this.platform.machine.pci.configWrite(this.sid(device), offset, 2, value);
  }

  busMaster(device: string, on: boolean): void {
    const now = this.platform.machine.pci.configRead(this.sid(device), PCI_COMMAND, 2);
    const value = on ? now | PCI_COMMAND_MASTER : now & ~PCI_COMMAND_MASTER;
    this.configWrite(device, PCI_COMMAND, value);
  }
}
