import { hex, PAGE_SIZE } from "../../../base/units.ts";
import type { Fdt } from "../../../fdt/mod.ts";
import { readMem, readNumber } from "../../kho/abi.ts";
import { FrameUse } from "../../mm/frames.ts";
import { nullDereference } from "../../oops.ts";
import { DmarDomain } from "./domain.ts";
import type { IntelDriver } from "./driver.ts";
import { framesOf, type Walkers, walkersOf } from "../keyed.ts";
import type { Attachment } from "../succession.ts";
import { PageRequests } from "./page_requests.ts";
import { INTEL_COMPATIBLE, KEYED_COMPATIBLE, ONE_LIST_COMPATIBLE } from "./serialise.ts";
import type { IntelUnit } from "./unit.ts";

interface Incoming {
  readonly fdt: Fdt;
  readonly node: number;
  readonly byDevice: boolean;
}

/** /intel-iommu of the previous kernel, if this driver can read it. */
function incoming(driver: IntelDriver): Incoming | undefined {
  const fdt = driver.kernel.kho.incoming;
  const node = fdt?.path("/intel-iommu") ?? -1;
  if (fdt === undefined || node < 0) return undefined;
  const compatible = new TextDecoder().decode(fdt.getprop(node, "compatible"));
  const { kernel } = driver;
  const { byDevice, reads } = kernel.design;
  const byId = compatible === INTEL_COMPATIBLE + "\0" && reads.includes(INTEL_COMPATIBLE);
  if (byId || kernel.has("D68")) {
    return { fdt, node, byDevice: false };
  }
  if (kernel.image.oneTableList && compatible === ONE_LIST_COMPATIBLE + "\0") {
    return { fdt, node, byDevice: false };
  }
  // Who goes by devices may read what went by ids before: all it needs is in there.
  if (byDevice && compatible === KEYED_COMPATIBLE + "\0") return { fdt, node, byDevice };
  driver.kernel.dmesg.err(`DMAR: handed-over data is not ${INTEL_COMPATIBLE}, ignored`);
  return undefined;
}

/**
 * Takes over a unit that is running: its root table is the one that was handed over, and its
 * tables are claimed. False when the data does not fit the hardware; nothing was changed then.
 */
export function adoptUnit(driver: IntelDriver, unit: IntelUnit): boolean {
  const from = incoming(driver);
  if (from === undefined) return false;
  const { fdt } = from;
  const units = fdt.subnode(from.node, "units");
  if (units < 0) return false;
  for (const node of fdt.subnodes(units)) {
    if (readNumber(fdt, node, "reg-base") !== unit.regBase) continue;
    const root = readNumber(fdt, node, "root");
    const latched = unit.latchedRoot;
    if (root === undefined || root !== latched.address || latched.scalable !== unit.scalable) {
      driver.kernel.dmesg.err(`DMAR: ${unit.name}: root table is not the one handed over`);
      return false;
    }
    if (!driver.kernel.kho.claim(readMem(fdt, node), FrameUse.iommuTable, driver.name)) {
      return false;
    }
    unit.root = root / PAGE_SIZE;
    unit.adopted = true;
    adoptRequests(driver, unit, fdt, fdt.subnode(node, "page-requests"));
    return true;
  }
  return false;
}

/** The queue in which hardware left what devices have asked for meanwhile. */
function adoptRequests({ kernel, name }: IntelDriver, unit: IntelUnit, fdt: Fdt, node: number) {
  const mem = node < 0 ? [] : readMem(fdt, node);
  if (mem.length === 0 || !kernel.kho.claim(mem, FrameUse.kernel, name)) return;
  unit.requests = PageRequests.adopt(unit, mem[0].address / PAGE_SIZE);
  const kept = unit.requests === undefined ? "is not hardware's, ignored" : "adopted";
  kernel.dmesg.info(`DMAR: ${unit.name}: page request queue ${kept}`);
}

/** The domains hardware walks for handed-over devices, as objects of this kernel. */
export function restoreDomains(driver: IntelDriver): DmarDomain[] {
  const from = incoming(driver);
  if (from === undefined) return [];
  const { fdt, byDevice } = from;
  const { kernel } = driver;
  const pages = kernel.image.oneTableList ? fdt.subnode(from.node, "pages") : -1;
  const all = readMem(fdt, pages);
  if (all.length > 0 && !kernel.kho.claim(all, FrameUse.iommuTable, driver.name)) return [];
  const root = fdt.subnode(from.node, byDevice ? "tables" : "domains");
  const restored: DmarDomain[] = [];
  for (const node of root < 0 ? [] : fdt.subnodes(root)) {
    const walkers = byDevice ? walkersOf(fdt, from.node, node) : {
      owner: readNumber(fdt, node, "owner"),
      listed: attachmentsOf(fdt, node),
    };
    const domain = restoreDomain(driver, fdt, node, walkers);
    if (domain === undefined) {
      driver.kernel.dmesg.err(`DMAR: domain ${fdt.name(node)} cannot be restored`);
      for (const { sid, pasid } of walkers.listed) {
        driver.unitOf(sid)?.contexts.clear(sid, pasid);
      }
    } else restored.push(domain);
  }
  return restored;
}

function attachmentsOf(fdt: Fdt, node: number): Attachment[] {
  const list = fdt.subnode(node, "devices");
  return (list < 0 ? [] : [...fdt.subnodes(list)]).map((n) => ({
    sid: ((readNumber(fdt, n, "bus") ?? 0) << 8) | (readNumber(fdt, n, "devfn") ?? 0),
    pasid: readNumber(fdt, n, "pasid") ?? 0,
  }));
}

function restoreDomain(
  driver: IntelDriver,
  fdt: Fdt,
  node: number,
  { owner, listed }: Walkers,
): DmarDomain | undefined {
  const value = (name: string) => readNumber(fdt, node, name);
  const { inherits } = driver.kernel.design;
  if (driver.kernel.has("D64")) believe(fdt, node);
  const pgd = value("pgd"), agaw = value("agaw"), did = value("did");
  // Where it only has to last until it is replaced, any id will do.
  const id = inherits ? -1 : value("persistent_id");
  const unit = driver.units[value("unit") ?? -1];
  if (!id || !pgd || agaw === undefined || did === undefined) return undefined;
  if (owner === undefined && !inherits) return undefined;
  // A unit that could not be adopted walks an empty root: its domains are not in use any more.
  if (unit === undefined || !unit.adopted) return undefined;
  // After the dump a device may have gone away, and with the last of them the tables.
  const dirty = value("dirty") ?? 0;
  const target = { pgd: pgd / PAGE_SIZE, agaw, did, dirty: dirty === 2 };
  const attached = listed.filter((a) => unit.contexts.leadsTo(a.sid, a.pasid, target));
  if (attached.length === 0 && listed.length > 0) return undefined;
  const { kernel } = driver;
  if (!kernel.has("D67") && !unit.reserveDid(did)) return undefined;
  const claimed = kernel.kho.claim(readMem(fdt, node), FrameUse.iommuTable, driver.name);
  if (!claimed && !kernel.has("D65")) return undefined;
  const domain = new DmarDomain(driver.kernel, unit, agaw, did, pgd / PAGE_SIZE, dirty > 0);
  if (dirty === 2) domain.adoptNoting();
  domain.persistentId = inherits ? driver.kernel.iommufd.allocDomainId() : id;
  domain.persistentOwner = owner ?? 0;
  domain.bare = kernel.has("D63");
  domain.inherited = inherits;
  if (inherits) domain.handedOver = framesOf(readMem(fdt, node));
  domain.enforceCacheCoherency();
  for (const attachment of attached) domain.attached(attachment);
  driver.kernel.dmesg.info(
    `DMAR: ${unit.name}: restored domain ${id}, pgd ${hex(pgd)}, did ${did}`,
  );
  return domain;
}

/**
 * The posted code looks at no answer of fdt_getprop. Without "mem" its length is -1, which compared
 * with a size_t is more than there are entries; without a number there is nothing to read it from.
 */
function believe(fdt: Fdt, node: number): void {
  if (fdt.getprop(node, "mem") === undefined) nullDereference("kho_claim_mem");
  for (const name of ["pgd", "agaw", "persistent_id"]) {
    if (fdt.getprop(node, name) === undefined) nullDereference("deserialise_domains");
  }
}
