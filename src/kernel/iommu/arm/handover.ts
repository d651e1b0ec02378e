import { hex, PAGE_SIZE } from "../../../base/units.ts";
import type { Fdt, FdtWriter } from "../../../fdt/mod.ts";
import { SMMU_KHO } from "../../../uapi/kho_abi.ts";
import * as R from "../../../uapi/smmuv3_regs.ts";
import {
  KEXEC_KHO_DUMP,
  type KhoCommand,
  memProperty,
  NOTIFY_BAD,
  NOTIFY_DONE,
  readMem,
  readNumber,
} from "../../kho/abi.ts";
import { FrameUse } from "../../mm/frames.ts";
import { framesOf, memOfPages, serialiseByDevice, walkersOf } from "../keyed.ts";
import { SmmuDomain } from "./domain.ts";
import type { SmmuDriver } from "./driver.ts";
import type { SmmuDevice } from "./smmu.ts";
import { StreamTable } from "./stream_table.ts";

/** The SMMU's subscriber of the KHO chain: stream tables, and what devices that go over walk. */
export function smmuNotify(driver: SmmuDriver, command: KhoCommand, fdt: FdtWriter): number {
  const domains = driver.toHandOver();
  for (const domain of domains) domain.dumped = command === KEXEC_KHO_DUMP;
  if (command !== KEXEC_KHO_DUMP) return NOTIFY_DONE;
  let err = fdt.beginNode(SMMU_KHO.node);
  err |= fdt.propString("compatible", SMMU_KHO.compatible);
  err |= serialiseByDevice(fdt, domains, ({ smmu }) => fdt.propU32("unit", smmu.index));
  err |= fdt.beginNode("units");
  for (const smmu of driver.smmus.filter(({ ready }) => ready)) {
    err |= fdt.beginNode(String(smmu.index));
    err |= fdt.propU64("reg-base", smmu.regBase);
    err |= fdt.propU64("stream-table", smmu.streams.pfn * PAGE_SIZE);
    err |= memProperty(fdt, memOfPages(smmu.streams.tables()));
    err |= fdt.endNode();
  }
  err |= fdt.endNode();
  err |= fdt.endNode();
  return err !== 0 ? NOTIFY_BAD : NOTIFY_DONE;
}

/** What the previous kernel said, if this driver can read it. */
function incoming(driver: SmmuDriver): { fdt: Fdt; node: number } | undefined {
  const { kho, dmesg, design } = driver.kernel;
  const fdt = kho.incoming;
  const node = fdt?.path(`/${SMMU_KHO.node}`) ?? -1;
  if (fdt === undefined || node < 0) return undefined;
  const compatible = new TextDecoder().decode(fdt.getprop(node, "compatible"));
  if (design.smmu && compatible === SMMU_KHO.compatible + "\0") return { fdt, node };
  dmesg.err(`arm-smmu-v3: handed-over data is ${compatible.replace("\0", "")}, ignored`);
  return undefined;
}

function nodes(fdt: Fdt, parent: number, name: string): number[] {
  const list = fdt.subnode(parent, name);
  return list < 0 ? [] : [...fdt.subnodes(list)];
}

/**
 * Takes over a unit that runs with the stream table that was handed over. False where it does not, or
 * there is no memory for queues: nothing was changed then.
 */
export function adoptUnit(driver: SmmuDriver, smmu: SmmuDevice): boolean {
  const from = incoming(driver);
  if (from === undefined) return false;
  const { fdt } = from;
  const node = nodes(fdt, from.node, "units")
    .find((n) => readNumber(fdt, n, "reg-base") === smmu.regBase);
  const base = node === undefined ? undefined : readNumber(fdt, node, "stream-table");
  if (node === undefined || base === undefined) return false;
  const streams = StreamTable.adopt(smmu, base / PAGE_SIZE);
  const latched = (smmu.read(R.SMMU_STRTAB_BASE) & R.STRTAB_BASE_ADDRESS) >>> 0;
  const high = smmu.read(R.SMMU_STRTAB_BASE + 4) & R.STRTAB_BASE_ADDRESS_HI;
  const same = latched + high * 4294967296 === base &&
    smmu.read(R.SMMU_STRTAB_BASE_CFG) === streams.config;
  if (!same) {
    smmu.err("stream table is not the one handed over");
    return false;
  }
  if (!driver.kernel.kho.claim(readMem(fdt, node), FrameUse.iommuTable, driver.name)) return false;
  if (!smmu.allocate(streams)) return false;
  smmu.takeOver();
  return true;
}

/** The domains hardware walks for handed-over devices. One that cannot be used is blocked. */
export function restoreDomains(driver: SmmuDriver): SmmuDomain[] {
  const from = incoming(driver);
  if (from === undefined) return [];
  const restored: SmmuDomain[] = [];
  for (const node of nodes(from.fdt, from.node, "tables")) {
    const domain = restoreDomain(driver, from.fdt, from.node, node);
    if (domain !== undefined) restored.push(domain);
    else {
      driver.kernel.dmesg.err(`arm-smmu-v3: tables ${from.fdt.name(node)} cannot be restored`);
      for (const { sid } of walkersOf(from.fdt, from.node, node).listed) driver.block(sid);
    }
  }
  return restored;
}

function restoreDomain(
  driver: SmmuDriver,
  fdt: Fdt,
  root: number,
  node: number,
): SmmuDomain | undefined {
  const { kernel } = driver;
  const value = (name: string) => readNumber(fdt, node, name);
  const pgd = value("pgd"), vmid = value("did"), smmu = driver.smmus[value("unit") ?? -1];
  if (!pgd || !vmid || smmu === undefined || !smmu.adopted) return undefined;
  const { owner, listed } = walkersOf(fdt, root, node);
  const domain = SmmuDomain.restore(kernel, smmu, vmid, pgd / PAGE_SIZE);
  const attached = listed.filter(({ sid }) => smmu.streams.has(sid, domain.ste));
  if (attached.length === 0 || !smmu.reserveVmid(vmid)) return undefined;
  const mem = readMem(fdt, node);
  if (!kernel.kho.claim(mem, FrameUse.iommuTable, driver.name)) return undefined;
  domain.persistentId = kernel.iommufd.allocDomainId();
  domain.persistentOwner = owner;
  domain.inherited = true;
  domain.handedOver = framesOf(mem);
  for (const attachment of attached) domain.attached(attachment);
  smmu.info(`tables at ${hex(pgd)} restored, vmid ${vmid}`);
  return domain;
}
