import * as R from "../../uapi/pci_regs.ts";
import { type AtsState, atsState, setAtsState } from "./ats.ts";
import type { PciDev } from "./pci.ts";

/** What a reset takes from a device's configuration space and software has to put back. */
export interface PciSavedState {
  readonly command: number;
  readonly bars: readonly [number, number];
  readonly interruptLine: number;
  readonly deviceControl: number;
  /** Flags, address and data; undefined without the capability. */
  readonly msi: { flags: number; low: number; high: number; data: number } | undefined;
  /** The device may put PASIDs into its requests. */
  readonly pasid: boolean;
  /** Undefined without the capabilities. */
  readonly ats: AtsState | undefined;
}

/** Reads it; the device does not notice. */
export function saveState(dev: PciDev): PciSavedState {
  const exp = dev.capability(R.PCI_CAP_ID_EXP), msi = dev.capability(R.PCI_CAP_ID_MSI);
  return {
    command: dev.read(R.PCI_COMMAND, 2),
    bars: [dev.read(R.PCI_BASE_ADDRESS_0, 4), dev.read(R.PCI_BASE_ADDRESS_0 + 4, 4)],
    interruptLine: dev.read(R.PCI_INTERRUPT_LINE, 1),
    deviceControl: dev.read(exp + R.PCI_EXP_DEVCTL, 2),
    msi: msi === 0 ? undefined : {
      flags: dev.read(msi + R.PCI_MSI_FLAGS, 2),
      low: dev.read(msi + R.PCI_MSI_ADDRESS_LO, 4),
      high: dev.read(msi + R.PCI_MSI_ADDRESS_HI, 4),
      data: dev.read(msi + R.PCI_MSI_DATA_64, 2),
    },
    pasid: dev.pasidEnabled,
    ats: atsState(dev),
  };
}

/** Puts it back; the command register, which may set the device to work, comes last. */
export function restoreState(dev: PciDev, state: PciSavedState): void {
  const exp = dev.capability(R.PCI_CAP_ID_EXP), at = dev.capability(R.PCI_CAP_ID_MSI);
  dev.write(exp + R.PCI_EXP_DEVCTL, 2, state.deviceControl);
  dev.write(R.PCI_BASE_ADDRESS_0, 4, state.bars[0]);
  dev.write(R.PCI_BASE_ADDRESS_0 + 4, 4, state.bars[1]);
  dev.write(R.PCI_INTERRUPT_LINE, 1, state.interruptLine);
  if (state.pasid) dev.enablePasid();
  if (state.ats !== undefined) setAtsState(dev, state.ats);
  if (state.msi !== undefined) {
    dev.write(at + R.PCI_MSI_ADDRESS_LO, 4, state.msi.low);
    dev.write(at + R.PCI_MSI_ADDRESS_HI, 4, state.msi.high);
    dev.write(at + R.PCI_MSI_DATA_64, 2, state.msi.data);
    dev.write(at + R.PCI_MSI_FLAGS, 2, state.msi.flags);
  }
  dev.write(R.PCI_COMMAND, 2, state.command);
}
