import { PAGE_SIZE } from "../../../base/units.ts";
import type { FdtWriter } from "../../../fdt/mod.ts";
import {
  KEXEC_KHO_DUMP,
  type KhoCommand,
  type KhoMem,
  memProperty,
  NOTIFY_BAD,
  NOTIFY_DONE,
} from "../../kho/abi.ts";
import type { DmarDomain } from "./domain.ts";
import type { IntelDriver } from "./driver.ts";
import { INTEL_IOMMU_KHO } from "../../../uapi/kho_abi.ts";
import { memOfPages, serialiseByDevice } from "../keyed.ts";
import { walkTables } from "./posted_serialise.ts";
import type { IntelUnit } from "./unit.ts";

/** Version of what this driver writes under /intel-iommu. */
export const INTEL_COMPATIBLE = "intel-iommu-v0";

/** Version with one list of table pages, below `pages`, for all domains. */
export const ONE_LIST_COMPATIBLE = INTEL_IOMMU_KHO.oneListCompatible;

/** Version that goes by device. */
export const KEYED_COMPATIBLE = INTEL_IOMMU_KHO.keyedCompatible;

/**
 * The Intel subscriber of the KHO chain (seed lines 1296-1318): every table page hardware can
 * reach for a persistent domain, and the root and context tables of the units that lead there.
 */
export function intelNotify(driver: IntelDriver, command: KhoCommand, fdt: FdtWriter): number {
  const { kernel } = driver;
  const { byDevice } = kernel.design;
  // By device there is nothing to say of tables that no device walks.
  const domains = byDevice
    ? driver.toHandOver().sort((a, b) => a.persistentId - b.persistentId)
    : driver.persistent.all;
  for (const domain of domains) domain.dumped = command === KEXEC_KHO_DUMP;
  if (command !== KEXEC_KHO_DUMP) return NOTIFY_DONE;
  let err = 0;
  err |= fdt.beginNode("intel-iommu");
  const oneList = kernel.image.oneTableList ? ONE_LIST_COMPATIBLE : INTEL_COMPATIBLE;
  err |= fdt.propString("compatible", byDevice ? KEYED_COMPATIBLE : oneList);
  if (byDevice) err |= serialiseByDevice(fdt, domains, (domain) => describe(fdt, domain));
  else {
    err |= fdt.beginNode("domains");
    for (const domain of domains) err |= serialiseDomain(fdt, domain);
    err |= fdt.endNode();
    if (kernel.image.oneTableList) {
      err |= fdt.beginNode("pages");
      err |= memProperty(fdt, memOfPages(domains.flatMap(listedTables)));
      err |= fdt.endNode();
    }
  }
  if (!kernel.has("D59")) err |= serialiseUnits(fdt, driver.units, domains);
  err |= fdt.endNode();
  return err !== 0 ? NOTIFY_BAD : NOTIFY_DONE;
}

/** The units with what leads to the domains; there is no such thing in the seed. */
function serialiseUnits(
  fdt: FdtWriter,
  units: readonly IntelUnit[],
  domains: readonly DmarDomain[],
): number {
  let err = fdt.beginNode("units");
  for (const unit of units) {
    if (unit.root < 0) continue;
    err |= fdt.beginNode(String(unit.index));
    err |= fdt.propU64("reg-base", unit.regBase);
    err |= fdt.propU64("root", unit.root * PAGE_SIZE);
    err |= memProperty(fdt, memOfPages(tablesLeadingTo(unit, domains)));
    // Hardware goes on writing there what devices ask for.
    if (unit.requests !== undefined && !unit.kernel.has("G14")) {
      err |= fdt.beginNode("page-requests");
      err |= memProperty(fdt, [memOfPage(unit.requests.pfn)]);
      err |= fdt.endNode();
    }
    err |= fdt.endNode();
  }
  return err | fdt.endNode();
}

/** Root and context tables, and the PASID tables of devices that are on one of the domains. */
function tablesLeadingTo(unit: IntelUnit, domains: readonly DmarDomain[]): number[] {
  const here = domains.filter((d) => d.unit === unit).flatMap((d) => d.attachments);
  const devices = new Set(here.map((a) => a.sid));
  const above = unit.kernel.has("D28") ? [] : unit.contexts.tables();
  return [...above, ...[...devices].flatMap((sid) => unit.contexts.tablesOf(sid))];
}

/** Where a dmar_domain has the pointer to its tables; bytes of a pointer. */
const PGD = 0xd8, POINTER = 8;
/** Faults of the posted walk over a domain's tables. */
const WALK_DEFECTS = ["D53", "D54", "D55", "D56", "D57"] as const;

/** The pages that are handed over for a domain: all its tables, unless the posted walk is taken. */
function listedTables(domain: DmarDomain): number[] {
  const { kernel } = domain;
  kernel.kasan.check(domain, PGD, POINTER, "Read", "serialise_domain");
  const posted = domain.freed || WALK_DEFECTS.some((id) => kernel.has(id));
  return posted ? walkTables(domain) : domain.table.tables();
}

/** What VT-d needs to know of tables beside where they are. */
function describe(fdt: FdtWriter, domain: DmarDomain): number {
  let err = fdt.propI32("agaw", domain.agaw);
  err |= fdt.propU32("unit", domain.unit.index);
  return err | fdt.propU32("dirty", domain.dirty === undefined ? 0 : domain.dirty.on ? 2 : 1);
}

/**
 * One domain: the seed's properties (lines 1478-1524), and beside them what adopting it needs: the
 * seed keeps no more than could be read off the tables.
 */
function serialiseDomain(fdt: FdtWriter, domain: DmarDomain): number {
  const { kernel } = domain;
  const bare = kernel.has("D59");
  let err = fdt.beginNode(String(domain.persistentId));
  if (!kernel.image.oneTableList) {
    const pages = listedTables(domain);
    err |= memProperty(fdt, kernel.has("D58") ? pages.map(memOfPage) : memOfPages(pages));
  }
  err |= fdt.propU64("persistent_id", domain.persistentId);
  err |= fdt.propU64("pgd", domain.table.pgd * PAGE_SIZE);
  err |= fdt.propI32("agaw", domain.agaw);
  if (!bare) {
    err |= fdt.propU32("did", domain.did);
    err |= fdt.propU64("owner", domain.persistentOwner);
    err |= fdt.propU32("unit", domain.unit.index);
    err |= fdt.propU32("dirty", domain.dirty === undefined ? 0 : domain.dirty.on ? 2 : 1);
  }
  err |= fdt.beginNode("devices");
  // The seed goes by the domain's list of devices, the newest first, in which there are no PASIDs.
  const listed = bare ? domain.newestFirst.filter((a) => a.pasid === 0) : domain.attachments;
  listed.forEach(({ sid, pasid }, index) => {
    err |= fdt.beginNode(String(index));
    err |= fdt.propU8("bus", sid >> 8);
    err |= fdt.propU8("devfn", sid & 0xff);
    if (!bare) err |= fdt.propU32("pasid", pasid);
    err |= fdt.endNode();
  });
  err |= fdt.endNode();
  return err | fdt.endNode();
}

/** A page by itself, its neighbours looked for nowhere. */
function memOfPage(pfn: number): KhoMem {
  return { address: pfn * PAGE_SIZE, length: PAGE_SIZE };
}
