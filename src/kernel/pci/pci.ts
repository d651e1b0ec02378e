import { EAGAIN, EBUSY, EIO, ENODEV, ENOTTY } from "../../uapi/errno.ts";
import * as R from "../../uapi/pci_regs.ts";
import type { IommuGroup } from "../iommu/core.ts";
import { fails } from "../fault_points.ts";
import type { Kernel } from "../kernel.ts";
import { makeDeviceFiles, makeDriverFiles } from "./driver_files.ts";
import { markIncoming, pciNotify } from "./keep_alive.ts";
import { dmaAliases } from "./quirks.ts";
import { restoreState, saveState } from "./saved_state.ts";

/** A PCI function as the kernel knows it: only what configuration space says. */
export class PciDev {
  group: IommuGroup | undefined;
  /** Name of the bound driver. */
  driver: string | undefined;
  /** The only driver that may bind it, by name; "": any that fits (sysfs, driver_override). */
  override = "";
  /** Its user wants it to go on through a kexec; VFIO says so (seed lines 3293-3294). */
  keep = false;
  /** It is in the KHO dump that stands. */
  dumped = false;
  /** The previous kernel left it at work, no IOMMU answers for it, and it waits for its heir. */
  incoming = false;
  /** Whether it can be reset, as whoever last tried found out. */
  resetWorks = true;

  constructor(
    readonly pci: PciCore,
    readonly sid: number,
    readonly vendor: number,
    readonly device: number,
    readonly classCode: number,
    /** Size of BAR 0 in bytes. */
    readonly bar0Size: number,
  ) {}

  /** It runs on for somebody the previous kernel had, who has not taken it yet. */
  get held(): boolean {
    return this.group?.held ?? this.incoming;
  }

  /** Held, and not everybody's all the same, as it would be with what the posted series leaves out. */
  get fenced(): boolean {
    const { kernel } = this.pci;
    return this.held && !kernel.has("K03") && !kernel.has("G4");
  }

  /** Source ids its requests may carry, its own first. */
  get requesters(): number[] {
    return [this.sid, ...dmaAliases(this)];
  }

  get segment(): number {
    return 0;
  }
  get bus(): number {
    return this.sid >> 8;
  }
  get devfn(): number {
    return this.sid & 0xff;
  }
  /** `0000:3a:00.0` */
  get name(): string {
    return R.formatSbdf(this.segment, this.bus, this.devfn);
  }

  read(offset: number, size: 1 | 2 | 4): number {
    return this.pci.kernel.machine.pci.configRead(this.sid, offset, size);
  }

  write(offset: number, size: 1 | 2 | 4, value: number): void {
    this.pci.kernel.machine.pci.configWrite(this.sid, offset, size, value);
  }

  /** Physical address of BAR 0. */
  get bar0(): number {
    const low = this.read(R.PCI_BASE_ADDRESS_0, 4) & ~0xf;
    return (low >>> 0) + this.read(R.PCI_BASE_ADDRESS_0 + 4, 4) * 4294967296;
  }

  /** Bits of the PASIDs the device can use; 0: none. */
  get pasidBits(): number {
    const at = this.#pasidCap;
    return at < 0 ? 0 : this.read(at + R.PCI_PASID_CAP, 2) >>> R.PCI_PASID_CAP_WIDTH_SHIFT & 0x1f;
  }

  /** Lets the device put PASIDs into its requests. */
  enablePasid(): void {
    this.write(this.#pasidCap + R.PCI_PASID_CTRL, 2, R.PCI_PASID_CTRL_ENABLE);
  }

  /** True when the device can ask for a page that is not there, and wait (PRI). */
  get pageRequests(): boolean {
    return this.extendedCapability(R.PCI_EXT_CAP_ID_PRI) >= 0;
  }

  get #pasidCap(): number {
    return this.extendedCapability(R.PCI_EXT_CAP_ID_PASID);
  }

  /** Offset of an extended capability, -1: the device does not have it. */
  extendedCapability(id: number): number {
    let at = R.PCI_CFG_SPACE_SIZE;
    // A list that runs in a circle ends where there is no room for more.
    for (let i = 0; i < 480 && at >= R.PCI_CFG_SPACE_SIZE; i++) {
      const header = this.read(at, 4);
      // All ones: nobody answers.
      if (header === 0 || header === 0xffffffff) return -1;
      if ((header & 0xffff) === id) return at;
      at = header >>> 20;
    }
    return -1;
  }

  get busMaster(): boolean {
    return (this.read(R.PCI_COMMAND, 2) & R.PCI_COMMAND_MASTER) !== 0;
  }

  setCommand(set: number, clear: number): void {
    this.write(R.PCI_COMMAND, 2, (this.read(R.PCI_COMMAND, 2) & ~clear) | set);
  }

  /** Offset of a capability; 0: the device has none of that kind. */
  capability(id: number): number {
    if ((this.read(R.PCI_STATUS, 2) & R.PCI_STATUS_CAP_LIST) === 0) return 0;
    let at = this.read(R.PCI_CAPABILITY_LIST, 1) & ~3;
    // A list that runs in a circle ends where there is no room for more.
    for (let i = 0; i < 48 && at >= 0x40; i++) {
      if (this.read(at, 1) === id) return at;
      at = this.read(at + 1, 1) & ~3;
    }
    return 0;
  }

  /** Bytes of configuration space: PCI Express devices have the extended one. */
  get configSize(): number {
    const extended = this.capability(R.PCI_CAP_ID_EXP) !== 0 &&
      this.read(R.PCI_CFG_SPACE_SIZE, 4) !== 0xffffffff;
    return extended ? R.PCI_CFG_SPACE_EXP_SIZE : R.PCI_CFG_SPACE_SIZE;
  }

  /** The device may put PASIDs into its requests. */
  get pasidEnabled(): boolean {
    const at = this.#pasidCap;
    return at >= 0 && (this.read(at + R.PCI_PASID_CTRL, 2) & R.PCI_PASID_CTRL_ENABLE) !== 0;
  }

  /**
   * Function-level reset; configuration space comes back as it was. 0, or EAGAIN: somebody else has
   * the device's lock; ENOTTY: it has no such reset; EIO: it did not come back.
   */
  tryReset(): number {
    const { chooser } = this.pci.kernel;
    if (fails(chooser, "pciLock")) return -EAGAIN;
    const cap = this.capability(R.PCI_CAP_ID_EXP);
    const able = cap !== 0 && (this.read(cap + R.PCI_EXP_DEVCAP, 4) & R.PCI_EXP_DEVCAP_FLR) !== 0;
    if (!able) return -ENOTTY;
    const state = saveState(this);
    const control = state.deviceControl | R.PCI_EXP_DEVCTL_BCR_FLR;
    this.write(cap + R.PCI_EXP_DEVCTL, 2, control);
    restoreState(this, state);
    return fails(chooser, "pciReset") ? -EIO : 0;
  }
}

/** A driver that wants devices. */
export interface PciDriver {
  readonly name: string;
  /** It gives devices to programs: the one kind that a held device may be bound to. */
  readonly forUsers?: boolean;
  matches(dev: PciDev): boolean;
  /** 0 or an errno. */
  probe(dev: PciDev): number;
  /** Gives the device up: 0, or EBUSY while somebody uses it. */
  remove?(dev: PciDev): number;
  /** Called at shutdown for each bound device. */
  shutdown?(dev: PciDev): void;
}

/** The PCI core of one boot. */
export class PciCore {
  readonly devices: PciDev[] = [];
  readonly #bySid = new Map<number, PciDev>();
  readonly #drivers: PciDriver[] = [];

  constructor(readonly kernel: Kernel) {}

  /** Finds every function on the buses the firmware names. */
  scan(): void {
    const { machine, dmesg } = this.kernel;
    for (const bus of machine.firmware.buses) {
      for (let devfn = 0; devfn < 256; devfn++) {
        const dev = this.#probeSlot((bus << 8) | devfn);
        if (dev === undefined) {
          if ((devfn & 7) === 0) devfn += 7;
          continue;
        }
        this.devices.push(dev);
        this.#bySid.set(dev.sid, dev);
        makeDeviceFiles(this, dev);
        const id = `[${dev.vendor.toString(16)}:${dev.device.toString(16)}]`;
        const cls = dev.classCode.toString(16).padStart(6, "0");
        dmesg.info(`pci ${dev.name}: ${id} type 00 class 0x${cls}`);
      }
    }
  }

  /** KHO subscriber, and what the previous kernel left at work; after {@link scan}. */
  init(): void {
    const { kernel } = this;
    if (!kernel.design.keepsUncovered) return;
    kernel.kho.register("pci", (command, fdt) => pciNotify(this, command, fdt));
    markIncoming(kernel, this.devices);
  }

  registerDriver(driver: PciDriver): void {
    this.#drivers.push(driver);
    makeDriverFiles(this, driver);
    for (const dev of this.devices) this.probe(dev);
  }

  find(name: string): PciDev | undefined {
    return this.devices.find((d) => d.name === name);
  }

  /** The device with this source id. */
  at(sid: number): PciDev | undefined {
    return this.#bySid.get(sid);
  }

  /**
   * Shutdown of all devices before a kexec: drivers first, then the bus master bit goes off so
   * that no stray DMA meets the next kernel (FACTS 2.4) — except for devices handed over.
   */
  shutdown(): void {
    const { kernel } = this;
    for (const dev of this.devices) {
      const driver = this.#drivers.find((d) => d.name === dev.driver);
      driver?.shutdown?.(dev);
      const kept = kernel.iommu.handsOver(dev) && !kernel.has("G2") &&
        !(dev.dumped && kernel.has("K01"));
      if (!kept) dev.setCommand(0, R.PCI_COMMAND_MASTER);
    }
  }

  /** Looks for a driver of a device that has none. */
  probe(dev: PciDev): void {
    if (dev.driver !== undefined) return;
    this.#drivers.some((driver) => this.fits(driver, dev) && this.bind(driver, dev) === 0);
  }

  fits(driver: PciDriver, dev: PciDev): boolean {
    return dev.override === "" ? driver.matches(dev) : dev.override === driver.name;
  }

  /**
   * Binds a driver to a device it fits. EBUSY: it has one, or it is held and this driver would make
   * it its own: a handed-over device is for VFIO's hands only; else what the driver's probe answers.
   */
  bind(driver: PciDriver, dev: PciDev): number {
    if (dev.driver !== undefined) return -EBUSY;
    if (dev.fenced && !driver.forUsers) return -EBUSY;
    const rc = driver.probe(dev);
    if (rc === 0) dev.driver = driver.name;
    else this.kernel.dmesg.warn(`${driver.name}: probe of ${dev.name} failed with error ${rc}`);
    return rc;
  }

  /** Takes a device from its driver. ENODEV: it is not that one's; EBUSY while it is in use. */
  unbind(driver: PciDriver, dev: PciDev): number {
    if (dev.driver !== driver.name) return -ENODEV;
    const rc = driver.remove?.(dev) ?? 0;
    if (rc === 0) dev.driver = undefined;
    return rc;
  }

  #probeSlot(sid: number): PciDev | undefined {
    const { pci } = this.kernel.machine;
    const vendor = pci.configRead(sid, R.PCI_VENDOR_ID, 2);
    if (vendor === 0xffff) return undefined;
    const device = pci.configRead(sid, R.PCI_DEVICE_ID, 2);
    const classCode = pci.configRead(sid, R.PCI_CLASS_REVISION, 4) >>> 8;
    return new PciDev(this, sid, vendor, device, classCode, this.#sizeBar0(sid));
  }

  /**
   * Writes all ones and reads back which bits stick, with memory decoding off meanwhile. Bus
   * mastering stays as it is: DMA of a handed-over device does not notice.
   */
  #sizeBar0(sid: number): number {
    const { pci } = this.kernel.machine;
    const bar = pci.configRead(sid, R.PCI_BASE_ADDRESS_0, 4);
    const command = pci.configRead(sid, R.PCI_COMMAND, 2);
    pci.configWrite(sid, R.PCI_COMMAND, 2, command & ~R.PCI_COMMAND_MEMORY);
    pci.configWrite(sid, R.PCI_BASE_ADDRESS_0, 4, 0xffffffff);
    const mask = pci.configRead(sid, R.PCI_BASE_ADDRESS_0, 4) & ~0xf;
    pci.configWrite(sid, R.PCI_BASE_ADDRESS_0, 4, bar);
    pci.configWrite(sid, R.PCI_COMMAND, 2, command);
    return (-mask) >>> 0;
  }
}
