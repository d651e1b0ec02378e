import { PAGE_SIZE } from "../../base/units.ts";
import type { Fdt, FdtWriter } from "../../fdt/mod.ts";
import { formatSbdf, parseBdf } from "../../uapi/pci_regs.ts";
import { type KhoMem, memProperty, readNumber } from "../kho/abi.ts";
import type { Attachment, HeritableDomain } from "./succession.ts";

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
 * is kept (seed lines 2131-2143). `describe` adds what is the driver's own.
 */
export function serialiseByDevice<D extends HeritableDomain>(
  fdt: FdtWriter,
  domains: readonly D[],
  describe: (domain: D) => number,
): number {
  let err = fdt.beginNode("tables");
  domains.forEach((domain, index) => {
    err |= fdt.beginNode(String(index));
    err |= memProperty(fdt, memOfPages(domain.pages));
    err |= fdt.propU64("pgd", domain.pgd * PAGE_SIZE);
    err |= fdt.propU32("did", domain.did);
    err |= describe(domain);
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

/** "mem" entries of table pages, neighbours joined: a big guest would fill the blob otherwise. */
export function memOfPages(pfns: readonly number[]): KhoMem[] {
  const sorted = [...pfns].sort((a, b) => a - b);
  const entries: { address: number; length: number }[] = [];
  for (const pfn of sorted) {
    const last = entries[entries.length - 1];
    if (last !== undefined && last.address + last.length === pfn * PAGE_SIZE) {
      last.length += PAGE_SIZE;
    } else entries.push({ address: pfn * PAGE_SIZE, length: PAGE_SIZE });
  }
  return entries;
}

/** The frames of "mem" entries. */
export function framesOf(mem: readonly KhoMem[]): number[] {
  const frames: number[] = [];
  for (const { address, length } of mem) {
    const first = address / PAGE_SIZE, count = Math.floor(length / PAGE_SIZE);
    for (let i = 0; i < count; i++) frames.push(first + i);
  }
  return frames;
}

/** Who walks some tables, and the iommufd they belong to. */
export interface Walkers {
  /** 0: firmware counts on it, and nobody has it; undefined: it is not said. */
  readonly owner: number | undefined;
  readonly listed: readonly Attachment[];
}

/** The requesters of one node below `tables`. `root`: the driver's node. */
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
