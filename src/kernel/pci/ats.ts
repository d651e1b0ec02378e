import * as R from "../../uapi/pci_regs.ts";
import type { PciDev } from "./pci.ts";

/** What a device's ATS and PRI capabilities are set to. */
export interface AtsState {
  readonly ats: number;
  readonly pri: number;
  /** Page requests it may have open. */
  readonly allocation: number;
}

function places(dev: PciDev): { ats: number; pri: number } | undefined {
  const ats = dev.extendedCapability(R.PCI_EXT_CAP_ID_ATS);
  const pri = dev.extendedCapability(R.PCI_EXT_CAP_ID_PRI);
  return ats < 0 || pri < 0 ? undefined : { ats, pri };
}

/** Undefined where the device has not both. */
export function atsState(dev: PciDev): AtsState | undefined {
  const at = places(dev);
  return at && {
    ats: dev.read(at.ats + R.PCI_ATS_CTRL, 2),
    pri: dev.read(at.pri + R.PCI_PRI_CTRL, 2),
    allocation: dev.read(at.pri + R.PCI_PRI_ALLOC_REQ, 4),
  };
}

/** Puts it back: requests before translations, since a device that misses a page has to ask. */
export function setAtsState(dev: PciDev, { ats, pri, allocation }: AtsState): void {
  const at = places(dev);
  if (at === undefined) return;
  dev.write(at.pri + R.PCI_PRI_ALLOC_REQ, 4, allocation);
  dev.write(at.pri + R.PCI_PRI_CTRL, 2, pri);
  dev.write(at.ats + R.PCI_ATS_CTRL, 2, ats);
}

/** It keeps translations, and asks for pages. */
export function asksForPages(dev: PciDev): boolean {
  const state = atsState(dev);
  return state !== undefined && (state.pri & R.PCI_PRI_CTRL_ENABLE) !== 0;
}

/** Page requests a device gets at most. */
const REQUESTS = 32;

export function enablePageRequests(dev: PciDev): void {
  const at = places(dev);
  if (at === undefined) return;
  const allocation = Math.min(REQUESTS, dev.read(at.pri + R.PCI_PRI_MAX_REQ, 4));
  setAtsState(dev, { ats: R.PCI_ATS_CTRL_ENABLE, pri: R.PCI_PRI_CTRL_ENABLE, allocation });
}

export function disablePageRequests(dev: PciDev): void {
  setAtsState(dev, { ats: 0, pri: 0, allocation: 0 });
}
