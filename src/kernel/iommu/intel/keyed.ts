import { PAGE_SIZE } from "../../../base/units.ts";
import type { Fdt, FdtWriter } from "../../../fdt/mod.ts";
import { INTEL_IOMMU_KHO } from "../../../uapi/kho_abi.ts";
import { formatSbdf, parseBdf } from "../../../uapi/pci_regs.ts";
import { memProperty, readNumber } from "../../kho/abi.ts";
import type { Attachment, DmarDomain } from "./domain.ts";
import { memOfPages } from "./serialise.ts";

/** Version of /intel-iommu that goes by device. */
export const KEYED_COMPATIBLE = INTEL_IOMMU_KHO.keyedCompatible;

/** `0000:3a:00.0`, or `0000:3a:00.0:5` for requests with PASID 5. */
function keyOf({ sid, pasid }: Attachment): string {
  const name = formatSbdf(0, sid >> 8, sid & 0xff);
  return pasid === 0 ? name : `${name}:${pasid}`;
}

function parseKey(key: string): Attachment | undefined {
  const m = /^(.+\.[0-7])(?::(\d+))?$/.exec(key);
  const sid = m === null ? undefined : parseBdf(m[1]);
  return m === null || sid === undefined ? undefined : { sid, pasid: Number(m[2] ?? 0) };
}

/**
 * What is said of page tables where devices are the key (seed lines 2256-2260): `tables`, one node a
 * tree, and `devices`, one a requester, which says whose it is and which tables it walks. Nothing else
 * is kept (seed lines 2131-2143).
 */
export function serialiseByDevice(fdt: FdtWriter, domains: readonly DmarDomain[]): number {
  let err = fdt.beginNode("tables");
  domains.forEach((domain, index) => {
    err |= fdt.beginNode(String(index));
    err |= memProperty(fdt, memOfPages(domain.pages));
    err |= fdt.propU64("pgd", domain.pgd * PAGE_SIZE);
    err |= fdt.propI32("agaw", domain.agaw);
    err |= fdt.propU32("did", domain.did);
    err |= fdt.propU32("unit", domain.unit.index);
    err |= fdt.propU32("dirty", domain.dirty === undefined ? 0 : domain.dirty.on ? 2 : 1);
    err |= fdt.endNode();
  });
  err |= fdt.endNode();
  err |= fdt.beginNode("devices");
  domains.forEach((domain, index) => {
    for (const attachment of domain.attachments) {
      err |= fdt.beginNode(keyOf(attachment));
      err |= fdt.propU32("tables", index);
      err |= fdt.propU64("owner", domain.persistentOwner);
      err |= fdt.endNode();
    }
  });
  return err | fdt.endNode();
}

/** Who walks some tables, and the iommufd they belong to. */
export interface Walkers {
  readonly owner: number;
  readonly listed: readonly Attachment[];
}

/** The requesters of one node below `tables`. `root`: /intel-iommu. */
export function walkersOf(fdt: Fdt, root: number, tables: number): Walkers {
  const index = Number(fdt.name(tables));
  const list = fdt.subnode(root, "devices");
  const nodes = (list < 0 ? [] : [...fdt.subnodes(list)])
    .filter((n) => readNumber(fdt, n, "tables") === index);
  return {
    owner: nodes.length === 0 ? 0 : readNumber(fdt, nodes[0], "owner") ?? 0,
    listed: nodes.map((n) => parseKey(fdt.name(n))).filter((a) => a !== undefined),
  };
}
