import { PAGE_SIZE } from "../base/units.ts";
import type { Radix } from "../kernel/iommu/compare.ts";
import { PagingDomain } from "../kernel/iommu/domain.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Memory } from "../machine/memory.ts";

/** What of page tables can be spoilt between two kernels. */
export const SPOILS = ["address", "permission", "page size", "table pointer"] as const;
export type Spoil = typeof SPOILS[number];

/**
 * Spoils one entry of the tables a device walks, in memory, behind everybody's back: a stray store of
 * the dying kernel, or a bit that fell over. False where no entry of that kind is on the way.
 */
export function spoil(kernel: Kernel, device: string, iova: number, what: Spoil): boolean {
  const domain = kernel.pci.find(device)?.group?.domain;
  if (!(domain instanceof PagingDomain) || domain.radix === undefined) return false;
  const way = wayTo(kernel.machine.memory, domain.radix, Math.floor(iova / PAGE_SIZE));
  const leaf = way.at(-1);
  if (leaf === undefined) return false;
  const { memory } = kernel.machine;
  const flip = (at: Place | undefined, bits: number): boolean => {
    if (at === undefined) return false;
    memory.store(at.pfn, at.word, memory.load(at.pfn, at.word) ^ bits);
    return true;
  };
  const { format } = domain.radix;
  switch (what) {
    // Two MiB further: still aligned, whatever the page's size.
    case "address":
      return flip(leaf, 1 << 21);
    // The highest of the bits: writing is not allowed any more.
    case "permission":
      return flip(leaf, 1 << (31 - Math.clz32(format.permission)));
    case "page size":
      return flip(way.find(({ level }) => level === 2), format.size);
    case "table pointer":
      return flip(way.at(-2), 1 << 12);
  }
}

interface Place {
  readonly pfn: number;
  readonly word: number;
  readonly level: number;
}

/** The entries a walk goes by, the leaf last; none where it finds no leaf. */
function wayTo(memory: Memory, { format, root, levels }: Radix, page: number): Place[] {
  const way: Place[] = [];
  let table = root;
  for (let level = levels; level >= 1; level--) {
    const index = Math.floor(page / 512 ** (level - 1));
    const word = (level === levels ? index : index % 512) * 2;
    const place = { pfn: table + (word >>> 10), word: word & 1023, level };
    way.push(place);
    const low = memory.load(place.pfn, place.word);
    if ((low & format.present) === 0) return [];
    if (level === 1 || !format.leadsOn(low, level)) return way;
    table = ((memory.load(place.pfn, place.word + 1) & format.high) << 20) | (low >>> 12);
  }
  return [];
}
