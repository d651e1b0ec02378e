import * as R from "../../uapi/pci_regs.ts";
import type { AtsPort } from "./ats_port.ts";

/** Bytes of the two capabilities, ATS first. */
const PRI_OFFSET = 0x10;

/** The ATS and PRI capabilities in extended configuration space. */
export class AtsConfig {
  readonly #pri: number;

  /** `at`: where they go; `capacity`: requests the function can have open at once. */
  constructor(
    readonly config: DataView,
    readonly at: number,
    readonly port: AtsPort,
    capacity: number,
  ) {
    const pri = this.#pri = at + PRI_OFFSET;
    config.setUint32(at, R.PCI_EXT_CAP_ID_ATS | 1 << 16 | pri << 20, true);
    config.setUint16(at + R.PCI_ATS_CAP, R.PCI_ATS_CAP_PAGE_ALIGNED, true);
    config.setUint32(pri, R.PCI_EXT_CAP_ID_PRI | 1 << 16, true);
    config.setUint32(pri + R.PCI_PRI_MAX_REQ, capacity, true);
    port.onStatus = (bits) => {
      const status = pri + R.PCI_PRI_STATUS;
      config.setUint16(status, config.getUint16(status, true) | bits, true);
      if (!port.pri) config.setUint16(pri + R.PCI_PRI_CTRL, 0, true);
    };
    this.reset();
  }

  /** True when the write was for one of them; see {@link PciFunction.configWrite}. */
  write(offset: number, size: 1 | 2 | 4, value: number): boolean {
    const { config, port } = this, pri = this.#pri;
    if (offset < this.at || offset >= pri + PRI_OFFSET) return false;
    if (offset === this.at + R.PCI_ATS_CTRL && size === 2) {
      port.ats = (value & R.PCI_ATS_CTRL_ENABLE) !== 0;
      config.setUint16(offset, value & (R.PCI_ATS_CTRL_ENABLE | 0x1f), true);
      // What was remembered is not to be trusted when it is turned on again.
      if (!port.ats) port.atc.invalidateAll();
    } else if (offset === pri + R.PCI_PRI_CTRL && size === 2) {
      port.pri = (value & R.PCI_PRI_CTRL_ENABLE) !== 0;
      config.setUint16(offset, value & R.PCI_PRI_CTRL_ENABLE, true);
      const status = port.pri ? 0 : R.PCI_PRI_STATUS_STOPPED;
      config.setUint16(pri + R.PCI_PRI_STATUS, status, true);
    } else if (offset === pri + R.PCI_PRI_STATUS && size === 2) {
      const clears = R.PCI_PRI_STATUS_RF | R.PCI_PRI_STATUS_UPRGI;
      config.setUint16(offset, config.getUint16(offset, true) & ~(value & clears), true);
    } else if (offset === pri + R.PCI_PRI_ALLOC_REQ && size === 4 && !port.pri) {
      config.setUint32(offset, value, true);
      port.allocation = Math.min(value, config.getUint32(pri + R.PCI_PRI_MAX_REQ, true));
    }
    return true;
  }

  /** After power-on: both are off. */
  reset(): void {
    const { config, port } = this, pri = this.#pri;
    port.ats = port.pri = false;
    port.allocation = 0;
    config.setUint16(this.at + R.PCI_ATS_CTRL, 0, true);
    config.setUint16(pri + R.PCI_PRI_CTRL, 0, true);
    config.setUint16(pri + R.PCI_PRI_STATUS, R.PCI_PRI_STATUS_STOPPED, true);
    config.setUint32(pri + R.PCI_PRI_ALLOC_REQ, 0, true);
    port.forget();
  }
}
