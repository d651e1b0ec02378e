import * as V from "../../../uapi/vtd_regs.ts";
import type { PciDev } from "../../pci/pci.ts";
import type { IntelDriver } from "./driver.ts";
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
  if (!carriesDump && !staysOn) return;
  if (!kernel.design.coreBlocks || !carriesDump) {
    for (const dev of kernel.pci.devices) blockUnlessDumped(driver, dev);
  }
  for (const unit of units) if (!zaps(unit)) unit.flushAll();
}

/** What the next kernel does not know of must not be translated under its nose. */
function blockUnlessDumped(driver: IntelDriver, dev: PciDev): void {
  const { kernel } = driver;
  const unit = driver.unitOf(dev.sid);
  if (unit === undefined) return;
  if (!kernel.iommu.handsOver(dev) || kernel.has("D16")) {
    if (zaps(unit)) zap(unit, dev.sid);
    else unit.contexts.clearDevice(dev.sid);
    return;
  }
  for (const [pasid, domain] of driver.domainsOf(dev.sid)) {
    if (!domain.dumped) unit.contexts.clear(dev.sid, pasid);
  }
}
