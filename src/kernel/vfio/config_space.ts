import * as E from "../../uapi/errno.ts";
import * as R from "../../uapi/pci_regs.ts";
import type { PciDev } from "../pci/pci.ts";

/** Bytes of the parts of configuration space that are virtual. */
const HEADER = 0x40, BARS_END = 0x28, EXP_SIZE = 0x14, MSI_SIZE = 0x0e, EXT_SIZE = 0x10;
const ALL = 0xff;

/** What writes to configuration space lead to outside of it. */
export interface ConfigHooks {
  /** The user masks or unmasks its INTx by the command register. */
  intxDisabled(disabled: boolean): void;
  /** Whether MSI is on, and with how many vectors (log2): the user cannot change that here. */
  readonly msi: { readonly enabled: boolean; readonly log2: number };
}

/**
 * Configuration space as a user of vfio-pci sees it. Every bit is virtual, so that the user's value
 * lives in a copy, or the device's own; and it can be written or not. BARs are virtual and can be
 * sized; bus mastering and memory decoding reach the device; ids do not change.
 */
export class VirtualConfig {
  readonly size: number;
  readonly #copy: Uint8Array;
  /** Bits that the copy holds. */
  readonly #virtual: Uint8Array;
  /** Bits that can be written, in the copy or in the device. */
  readonly #writable: Uint8Array;
  readonly #exp: number;
  readonly #msi: number;

  /** Reads the device's space as it is now; the device does not notice. */
  constructor(readonly dev: PciDev, readonly hooks: ConfigHooks) {
    this.size = dev.configSize;
    this.#copy = new Uint8Array(this.size);
    for (let at = 0; at < this.size; at += 4) put(this.#copy, at, 4, dev.read(at, 4));
    this.#virtual = new Uint8Array(this.size);
    // What belongs to no capability is the device's own: it goes through as it is.
    this.#writable = new Uint8Array(this.size).fill(ALL);
    this.#exp = dev.capability(R.PCI_CAP_ID_EXP);
    this.#msi = dev.capability(R.PCI_CAP_ID_MSI);
    this.#header();
    this.#capabilities();
    this.#extended();
  }

  #rule(at: number, size: 1 | 2 | 4, virtual: number, writable: number): void {
    put(this.#virtual, at, size, virtual);
    put(this.#writable, at, size, writable);
  }

  #header(): void {
    this.#writable.fill(0, 0, HEADER);
    this.#rule(R.PCI_VENDOR_ID, 4, 0xffffffff, 0);
    const device = R.PCI_COMMAND_MEMORY | R.PCI_COMMAND_MASTER;
    this.#rule(R.PCI_COMMAND, 2, R.PCI_COMMAND_INTX_DISABLE, device | R.PCI_COMMAND_INTX_DISABLE);
    for (let at = R.PCI_BASE_ADDRESS_0; at < BARS_END; at += 4) {
      this.#rule(at, 4, 0xffffffff, 0xffffffff);
    }
    this.#rule(R.PCI_ROM_ADDRESS, 4, 0xffffffff, 0xffffffff);
    this.#rule(R.PCI_INTERRUPT_LINE, 1, ALL, ALL);
    // The user starts with its INTx unmasked, whatever the driver before did.
    this.#copy[R.PCI_COMMAND + 1] &= ~(R.PCI_COMMAND_INTX_DISABLE >> 8);
  }

  #capabilities(): void {
    if (this.#exp !== 0) {
      this.#writable.fill(0, this.#exp, this.#exp + EXP_SIZE);
      const mine = R.PCI_EXP_DEVCTL_BCR_FLR | R.PCI_EXP_DEVCTL_PAYLOAD | R.PCI_EXP_DEVCTL_READRQ;
      this.#rule(this.#exp + R.PCI_EXP_DEVCTL, 2, mine, 0xffff);
    }
    if (this.#msi !== 0) {
      this.#virtual.fill(ALL, this.#msi, this.#msi + MSI_SIZE);
      this.#writable.fill(0, this.#msi, this.#msi + R.PCI_MSI_ADDRESS_LO);
      const flags = R.PCI_MSI_FLAGS_ENABLE | R.PCI_MSI_FLAGS_QSIZE;
      put(this.#writable, this.#msi + R.PCI_MSI_FLAGS, 2, flags);
    }
  }

  /**
   * PASIDs are the kernel's to hand out, and who keeps translations or asks for pages is for it to say:
   * the first capability does not show, the other two can only be read.
   */
  #extended(): void {
    if (this.size <= R.PCI_CFG_SPACE_SIZE) return;
    for (const id of [R.PCI_EXT_CAP_ID_ATS, R.PCI_EXT_CAP_ID_PRI]) {
      const at = this.dev.extendedCapability(id);
      if (at >= 0) this.#writable.fill(0, at, at + EXT_SIZE);
    }
    const id = get(this.#copy, R.PCI_CFG_SPACE_SIZE, 4) & 0xffff;
    if (id !== R.PCI_EXT_CAP_ID_PASID) return;
    this.#rule(R.PCI_CFG_SPACE_SIZE, 4, 0xffffffff, 0);
    put(this.#copy, R.PCI_CFG_SPACE_SIZE, 4, 0);
  }

  /** `length` bytes at `at`; EFAULT beyond the end. */
  read(at: number, length: number): Uint8Array | number {
    if (at + length > this.size) return -E.EFAULT;
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const size = chunk(at + done, length - done);
      put(bytes, done, size, this.#read(at + done, size));
      done += size;
    }
    return bytes;
  }

  /** The same for a write; bits that cannot be written stay as they are. */
  write(at: number, bytes: Uint8Array): number {
    if (at + bytes.length > this.size) return -E.EFAULT;
    for (let done = 0; done < bytes.length;) {
      const size = chunk(at + done, bytes.length - done);
      this.#write(at + done, size, get(bytes, done, size));
      done += size;
    }
    return bytes.length;
  }

  #read(at: number, size: 1 | 2 | 4): number {
    const virtual = get(this.#virtual, at, size), all = 2 ** (8 * size) - 1;
    const own = virtual === all ? 0 : this.dev.read(at, size);
    return ((own & ~virtual) | (get(this.#copy, at, size) & virtual)) >>> 0;
  }

  #write(at: number, size: 1 | 2 | 4, value: number): void {
    const virtual = get(this.#virtual, at, size), writable = get(this.#writable, at, size);
    const mine = virtual & writable, own = writable & ~virtual;
    put(this.#copy, at, size, (get(this.#copy, at, size) & ~mine) | (value & mine));
    if (own !== 0) this.#toDevice(at, size, value, own >>> 0);
    this.#follow(at, size);
  }

  /** Command and device control are registers of 16 bits, however few of their bytes are written. */
  #toDevice(at: number, size: 1 | 2 | 4, value: number, mask: number): void {
    const control = this.#exp === 0 ? R.PCI_COMMAND : this.#exp + R.PCI_EXP_DEVCTL;
    for (const register of [R.PCI_COMMAND, control]) {
      if (register + 2 <= at || register >= at + size) continue;
      const shift = 8 * (register - at);
      const move = (n: number) => (shift < 0 ? n << -shift : n >>> shift) & 0xffff;
      const old = this.dev.read(register, 2);
      this.dev.write(register, 2, (old & ~move(mask)) | (move(value) & move(mask)));
      return;
    }
    this.dev.write(at, size, ((this.dev.read(at, size) & ~mask) | (value & mask)) >>> 0);
  }

  /** What the write of some bytes brings about. */
  #follow(at: number, size: number): void {
    const touches = (from: number, bytes: number) => at < from + bytes && from < at + size;
    if (touches(R.PCI_COMMAND, 2)) {
      const command = get(this.#copy, R.PCI_COMMAND, 2);
      this.hooks.intxDisabled((command & R.PCI_COMMAND_INTX_DISABLE) !== 0);
    }
    if (touches(R.PCI_BASE_ADDRESS_0, BARS_END - R.PCI_BASE_ADDRESS_0)) this.#shapeBars();
    if (touches(R.PCI_ROM_ADDRESS, 4)) put(this.#copy, R.PCI_ROM_ADDRESS, 4, 0);
    if (this.#msi !== 0 && touches(this.#msi + R.PCI_MSI_FLAGS, 2)) this.#shapeMsi();
    const control = this.#exp + R.PCI_EXP_DEVCTL;
    if (this.#exp !== 0 && touches(control, 2)) {
      const value = get(this.#copy, control, 2);
      if ((value & R.PCI_EXP_DEVCTL_BCR_FLR) === 0) return;
      put(this.#copy, control, 2, value & ~R.PCI_EXP_DEVCTL_BCR_FLR);
      // The user's own way to a function-level reset. It has no errno: it happens or it does not.
      this.dev.tryReset();
    }
  }

  /** BAR 0 keeps the bits above its size and says what it is; there are no others. */
  #shapeBars(): void {
    const low = get(this.#copy, R.PCI_BASE_ADDRESS_0, 4) & ~(this.dev.bar0Size - 1);
    put(this.#copy, R.PCI_BASE_ADDRESS_0, 4, low | R.PCI_BASE_ADDRESS_MEM_TYPE_64);
    this.#copy.fill(0, R.PCI_BASE_ADDRESS_0 + 8, BARS_END);
  }

  /** MSI goes on and off by SET_IRQS alone. */
  #shapeMsi(): void {
    const { enabled, log2 } = this.hooks.msi, at = this.#msi + R.PCI_MSI_FLAGS;
    let flags = get(this.#copy, at, 2);
    if (!enabled) flags &= ~R.PCI_MSI_FLAGS_ENABLE;
    if ((flags & R.PCI_MSI_FLAGS_QSIZE) >> 4 > log2) {
      flags = (flags & ~R.PCI_MSI_FLAGS_QSIZE) | log2 << 4;
    }
    put(this.#copy, at, 2, flags);
    this.dev.write(at, 2, flags);
  }
}

/** The largest aligned access that fits. */
function chunk(at: number, left: number): 1 | 2 | 4 {
  return left >= 4 && at % 4 === 0 ? 4 : left >= 2 && at % 2 === 0 ? 2 : 1;
}

function get(bytes: Uint8Array, at: number, size: 1 | 2 | 4): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + bytes[at + i];
  return value;
}

function put(bytes: Uint8Array, at: number, size: 1 | 2 | 4, value: number): void {
  for (let i = 0; i < size; i++) bytes[at + i] = value >>> (8 * i);
}
