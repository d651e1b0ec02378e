import { GiB, PAGE_SIZE } from "../../base/units.ts";
import { IOMMU_HWPT_ALLOC_NEST_PARENT } from "../../uapi/iommufd.ts";
import type { Sys } from "../../uapi/sys.ts";
import * as S from "../../uapi/vtd_scalable.ts";
import { ifSupported, nestedHwptAlloc, vfioAttach } from "../calls.ts";
import { attachDevices, type Attached, type OpenDevice } from "./hardware.ts";

/**
 * Where the addresses end that a guest's tables of four levels lead to: beyond, an address is not
 * canonical, and hardware does not walk.
 */
export const GUEST_IOMMU_REACH = 2 ** 47;

/** What an entry of the top table covers. */
const TOP_SPAN = 512 * GiB;
const ON = S.DMA_FL_PTE_PRESENT | S.DMA_FL_PTE_WRITE | S.DMA_FL_PTE_US | S.DMA_FL_PTE_ACCESSED;

/** Where a guest's RAM is: for this process, for the guest, and its size. */
export interface RamPlace {
  readonly ram: number;
  readonly ramBase: number;
  readonly memory: number;
}

/**
 * Bytes a guest with a virtual IOMMU has of its RAM beside the tables of that, which are in its last
 * pages: the top one, and one for each 512 GiB that its RAM is in.
 */
export function besideTables({ ramBase, memory }: Omit<RamPlace, "ram">): number {
  const first = Math.floor(ramBase / TOP_SPAN);
  const last = Math.floor((ramBase + memory - 1) / TOP_SPAN);
  return memory - (last - first + 2) * PAGE_SIZE;
}

/** Undefined where the kernel does not nest tables: then the guest gets no IOMMU. */
function ifNested<T>(sys: Sys, ask: () => T): T | undefined {
  return ifSupported(
    sys,
    ask,
    (why) => `no tables of the guest's own (${why}): it gets no virtual IOMMU`,
  );
}

/** Attaches each device to a HWPT that a guest's tables can be nested over. */
export function attachParents(
  sys: Sys,
  iommufd: number,
  ioas: number,
  devices: readonly OpenDevice[],
): Attached | undefined {
  const flags = IOMMU_HWPT_ALLOC_NEST_PARENT;
  return ifNested(sys, () => attachDevices(sys, iommufd, ioas, devices, flags));
}

/**
 * The guest turns its virtual IOMMU on, every device in a domain that leads each address to itself:
 * first-level tables in its own memory, in pages of 1 GiB. Returns the HWPTs the devices are on then.
 */
export function enableGuestIommu(
  sys: Sys,
  iommufd: number,
  devices: readonly OpenDevice[],
  parents: readonly number[],
  place: RamPlace,
): number[] | undefined {
  const { ram, ramBase, memory } = place, top = ramBase + besideTables(place);
  const store = (page: number, index: number, entry: number) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(entry), true);
    sys.copyOut(ram + page - ramBase + index * 8, bytes);
  };
  const first = Math.floor(ramBase / GiB), last = Math.floor((ramBase + memory - 1) / GiB);
  const leaf = ON | S.DMA_FL_PTE_DIRTY | S.DMA_FL_PTE_LARGE_PAGE;
  for (let at = first, below = top; at <= last; at++) {
    if (at === first || at % 512 === 0) {
      below += PAGE_SIZE;
      store(top, Math.floor(at / 512), below + ON);
    }
    store(below, at % 512, at * GiB + leaf);
  }
  const nest = ({ cdev, id }: OpenDevice, i: number) =>
    vfioAttach(sys, cdev, nestedHwptAlloc(sys, iommufd, id, parents[i], top));
  return ifNested(sys, () => devices.map(nest));
}
