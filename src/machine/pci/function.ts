import { assert } from "../../base/assert.ts";
import * as R from "../../uapi/pci_regs.ts";
import type { Bus, Mmio } from "../bus.ts";
import type { DmaPort } from "../dma_port.ts";
import { AtsConfig } from "./ats_config.ts";
import { AtsPort } from "./ats_port.ts";

/** Where the capabilities sit in our functions' config space. */
const EXP_CAP = 0x40;
const MSI_CAP = 0x80;

/** What a function is, fixed when it is made. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  /** 24-bit class code, e.g. 0x020000 for Ethernet. */
  readonly classCode: number;
  /** Size of BAR 0 in bytes, a power of two of at least 4 KiB. */
  readonly bar0Size: number;
  /** Bits of the PASIDs it can put into its requests, 1..20; 0 or missing: none. */
  readonly pasidBits?: number;
  /** Its interrupt pin, 1 for INTA; 0 or missing: none. */
  readonly interruptPin?: number;
  /** Messages it can send as interrupts: 1, 2, 4 … 32; 0 or missing: no MSI capability. */
  readonly msiVectors?: number;
  /** Page requests it can have open at once; 0 or missing: it has neither ATS nor PRI. */
  readonly pageRequests?: number;
}

/** Where the PASID capability sits in extended config space, and the others behind it. */
const PASID_CAP = 0x100, BEHIND_PASID = 0x110;

/**
 * A PCI Express function: 4 KiB of configuration space, one 64-bit memory BAR, function-level reset.
 * A device model extends it with its registers ({@link Mmio}) and what a reset does to it.
 * Configuration space is the only thing a kernel reaches; models' fields are their own.
 */
export abstract class PciFunction implements Mmio {
  readonly bus: number;
  readonly devfn: number;
  /** As far as there is anything in it: all beyond reads 0. */
  readonly #config: DataView;
  readonly #ats: AtsConfig | undefined;
  /** Function-level resets so far. */
  resets = 0;

  constructor(
    readonly name: string,
    readonly identity: PciIdentity,
    readonly port: DmaPort,
    readonly systemBus: Bus,
    bar0: number,
  ) {
    this.bus = port.sid >> 8;
    this.devfn = port.sid & 0xff;
    const extended = identity.pasidBits || identity.pageRequests ? R.PCI_CFG_SPACE_SIZE : 0;
    const c = this.#config = new DataView(new ArrayBuffer(R.PCI_CFG_SPACE_SIZE + extended));
    c.setUint16(R.PCI_VENDOR_ID, identity.vendor, true);
    c.setUint16(R.PCI_DEVICE_ID, identity.device, true);
    c.setUint32(R.PCI_CLASS_REVISION, identity.classCode << 8, true);
    c.setUint16(R.PCI_STATUS, R.PCI_STATUS_CAP_LIST, true);
    c.setUint8(R.PCI_CAPABILITY_LIST, EXP_CAP);
    c.setUint16(EXP_CAP, R.PCI_CAP_ID_EXP, true);
    c.setUint32(EXP_CAP + R.PCI_EXP_DEVCAP, R.PCI_EXP_DEVCAP_FLR, true);
    c.setUint8(R.PCI_INTERRUPT_PIN, identity.interruptPin ?? 0);
    if (identity.msiVectors) {
      c.setUint8(EXP_CAP + 1, MSI_CAP);
      c.setUint16(MSI_CAP, R.PCI_CAP_ID_MSI, true);
      const flags = R.PCI_MSI_FLAGS_64BIT | Math.log2(identity.msiVectors) << 1;
      c.setUint16(MSI_CAP + R.PCI_MSI_FLAGS, flags, true);
    }
    if (identity.pageRequests) {
      assert(port instanceof AtsPort, `${name}: ATS wants a port of its own`);
      const at = identity.pasidBits ? BEHIND_PASID : PASID_CAP;
      this.#ats = new AtsConfig(c, at, port, identity.pageRequests);
    }
    if (identity.pasidBits) {
      const next = identity.pageRequests ? BEHIND_PASID << 20 : 0;
      c.setUint32(PASID_CAP, R.PCI_EXT_CAP_ID_PASID | 1 << 16 | next, true);
      const width = identity.pasidBits << R.PCI_PASID_CAP_WIDTH_SHIFT;
      c.setUint16(PASID_CAP + R.PCI_PASID_CAP, width, true);
    }
    this.#setBar0(bar0);
  }

  /** Software allowed requests with a PASID. */
  protected get pasidEnabled(): boolean {
    return !!this.identity.pasidBits &&
      (this.configRead(PASID_CAP + R.PCI_PASID_CTRL, 2) & R.PCI_PASID_CTRL_ENABLE) !== 0;
  }

  abstract read32(offset: number): number;
  abstract write32(offset: number, value: number): void;

  /** Brings the model to its state after power-on. Ongoing DMA stops and is not resumed. */
  protected abstract resetModel(): void;

  /** Bus master was just enabled or disabled. */
  protected busMasterChanged(_enabled: boolean): void {}

  /** `size`: 1, 2 or 4 bytes; `offset` aligned to it, below 4096. */
  configRead(offset: number, size: 1 | 2 | 4): number {
    if (offset >= this.#config.byteLength) return 0;
    if (size === 1) return this.#config.getUint8(offset);
    if (size === 2) return this.#config.getUint16(offset, true);
    return this.#config.getUint32(offset, true);
  }

  /** Read-only fields ignore the write; see {@link configRead} for the arguments. */
  configWrite(offset: number, size: 1 | 2 | 4, value: number): void {
    const c = this.#config;
    if (offset === R.PCI_COMMAND && size >= 2) this.#writeCommand(value & 0xffff);
    else if (offset === R.PCI_BASE_ADDRESS_0 && size === 4) this.#writeBarLow(value);
    else if (offset === R.PCI_BASE_ADDRESS_0 + 4 && size === 4) {
      c.setUint32(offset, value, true);
      this.#mapBar();
    } else if (offset === EXP_CAP + R.PCI_EXP_DEVCTL && size >= 2) {
      c.setUint16(offset, value & 0xffff & ~R.PCI_EXP_DEVCTL_BCR_FLR, true);
      if (value & R.PCI_EXP_DEVCTL_BCR_FLR) this.reset();
    } else if (this.#ats?.write(offset, size, value) === true) return;
    else if (offset === PASID_CAP + R.PCI_PASID_CTRL && size === 2) {
      if (this.identity.pasidBits) c.setUint16(offset, value & R.PCI_PASID_CTRL_ENABLE, true);
    } else if (offset === R.PCI_INTERRUPT_LINE) c.setUint8(offset, value & 0xff);
    else if (this.identity.msiVectors && offset >= MSI_CAP) this.#writeMsi(offset, size, value);
  }

  /** Enable and number of vectors, address and data can be written, each as a whole. */
  #writeMsi(offset: number, size: 1 | 2 | 4, value: number): void {
    const c = this.#config, at = offset - MSI_CAP;
    if (at === R.PCI_MSI_FLAGS && size === 2) {
      const writable = R.PCI_MSI_FLAGS_ENABLE | R.PCI_MSI_FLAGS_QSIZE;
      c.setUint16(offset, (c.getUint16(offset, true) & ~writable) | (value & writable), true);
    } else if (at === R.PCI_MSI_ADDRESS_LO && size === 4) c.setUint32(offset, value & ~3, true);
    else if (at === R.PCI_MSI_ADDRESS_HI && size === 4) c.setUint32(offset, value, true);
    else if (at === R.PCI_MSI_DATA_64 && size >= 2) c.setUint16(offset, value & 0xffff, true);
  }

  /** Function-level reset: the command register and BAR clear, the model starts over. */
  reset(): void {
    this.resets++;
    this.powerOff();
  }

  /** What losing power leaves behind: no DMA, no BAR, the model as new. */
  powerOff(): void {
    this.#writeCommand(0);
    if (this.identity.pasidBits) this.#config.setUint16(PASID_CAP + R.PCI_PASID_CTRL, 0, true);
    this.#ats?.reset();
    this.#config.setUint16(EXP_CAP + R.PCI_EXP_DEVCTL, 0, true);
    if (this.identity.msiVectors) {
      this.#writeMsi(MSI_CAP + R.PCI_MSI_FLAGS, 2, 0);
      for (const at of [R.PCI_MSI_ADDRESS_LO, R.PCI_MSI_ADDRESS_HI, R.PCI_MSI_DATA_64]) {
        this.#writeMsi(MSI_CAP + at, 4, 0);
      }
    }
    this.#setBar0(0);
    this.resetModel();
  }

  get memoryEnabled(): boolean {
    return (this.configRead(R.PCI_COMMAND, 2) & R.PCI_COMMAND_MEMORY) !== 0;
  }

  #writeCommand(value: number): void {
    const before = this.#config.getUint16(R.PCI_COMMAND, true);
    const now = value & 0x0547;
    this.#config.setUint16(R.PCI_COMMAND, now, true);
    this.#mapBar();
    if ((before ^ now) & R.PCI_COMMAND_MASTER) {
      this.port.busMaster = (now & R.PCI_COMMAND_MASTER) !== 0;
      this.busMasterChanged(this.port.busMaster);
    }
  }

  #writeBarLow(value: number): void {
    // Sizing: software writes all ones and reads back which bits stick.
    const mask = (~(this.identity.bar0Size - 1)) >>> 0;
    this.#config.setUint32(R.PCI_BASE_ADDRESS_0, ((value & mask) | 0x4) >>> 0, true);
    this.#mapBar();
  }

  #setBar0(address: number): void {
    this.#config.setUint32(R.PCI_BASE_ADDRESS_0, ((address >>> 0) | 0x4) >>> 0, true);
    this.#config.setUint32(R.PCI_BASE_ADDRESS_0 + 4, Math.floor(address / 4294967296), true);
    this.#mapBar();
  }

  #mapBar(): void {
    const low = this.#config.getUint32(R.PCI_BASE_ADDRESS_0, true) & ~0xf;
    const high = this.#config.getUint32(R.PCI_BASE_ADDRESS_0 + 4, true);
    const address = (low >>> 0) + high * 4294967296;
    const size = this.identity.bar0Size;
    if (this.memoryEnabled && address !== 0) this.systemBus.map(address, size, this);
    else this.systemBus.unmap(this);
  }
}
