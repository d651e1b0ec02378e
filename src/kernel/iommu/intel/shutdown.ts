import * as V from "../../../uapi/vtd_regs.ts";
import { asksForPages } from "../../pci/ats.ts";
import type { PciDev } from "../../pci/pci.ts";
import type { IntelDriver } from "./driver.ts";
import type { IntelUnit } from "./unit.ts";
import { walkDomainList, zap, zaps } from "./zap.ts";

/**
 * Before a kexec. With a dump that the next kernel will find, devices that are handed over keep
 * their context entries and all others lose theirs, each flushed by its own old DID, and
 * translation stays on. Without one, translation goes off, as the next kernel expects (FACTS 3.7).
 */
export function shutdownUnits(driver: IntelDriver): void {
  const { kernel, units } = driver;
  const { carriesDump } = kernel.kexec;
  const staysOn = (carriesDump && kernel.design.persists) || kernel.has("D27");
  for (const unit of units) {
    unit.write(V.DMAR_PMEN_REG, 0);
    if (!staysOn) unit.disableTranslation();
    if (kernel.has("D20")) walkDomainList(unit);
  }
  for (const dev of kernel.pci.devices) {
    if (!kernel.iommu.handsOver(dev) && asksForPages(dev)) driver.pageRequests(dev, false);
  }
  for (const unit of units) unit.requests?.stop();
  if (!carriesDump && !staysOn) return;
  for (const dev of kernel.pci.devices) {
    if (!kernel.design.coreBlocks || !carriesDump) blockUnlessDumped(driver, dev);
    else if (!kernel.iommu.handsOver(dev)) forgetTables(driver, dev);
  }
  for (const unit of units) if (!zaps(unit)) unit.flushAll();
}

/** What the next kernel does not know of must not be translated under its nose. */
function blockUnlessDumped(driver: IntelDriver, dev: PciDev): void {
  const { kernel } = driver;
  const unit = driver.unitOf(dev.sid);
  if (unit === undefined) return;
  const blocked = !kernel.iommu.handsOver(dev) || kernel.has("D16");
  for (const sid of kernel.has("D23") ? [dev.sid] : dev.requesters) {
    if (blocked && zaps(unit)) zap(unit, sid);
    else if (blocked) unit.contexts.clearDevice(sid);
    else blockPasids(driver, unit, sid);
  }
}

/** The core has blocked it; what is left of its tables is the next kernel's memory. */
function forgetTables(driver: IntelDriver, dev: PciDev): void {
  const unit = driver.unitOf(dev.sid);
  for (const sid of dev.requesters) unit?.contexts.clearDevice(sid);
}

/** What a device that goes on does with PASIDs, as far as that is not handed over. */
function blockPasids(driver: IntelDriver, unit: IntelUnit, sid: number): void {
  for (const [pasid, domain] of driver.domainsOf(sid)) {
    if (!domain.dumped) unit.contexts.clear(sid, pasid);
  }
}
