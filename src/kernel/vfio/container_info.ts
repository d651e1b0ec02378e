import { EFAULT } from "../../uapi/errno.ts";
import type { StructValue } from "../../uapi/struct.ts";
import * as U from "../../uapi/vfio.ts";
import type { Ioas } from "../iommufd/ioas.ts";
import type { Ucmd } from "../iommufd/ioctls.ts";

/** How many mappings there may be: iommufd has no limit of its own. */
const NO_LIMIT = 0xffffffff;

/**
 * VFIO_IOMMU_GET_INFO: sizes of pages, and capabilities in a chain behind the structure: how many
 * mappings are left, and which IOVAs may be used. Where argsz leaves no room for all of them it is
 * set to what would, and cap_offset is 0. EFAULT where the memory ends before.
 */
export function iommuInfo(
  { payload }: Ucmd,
  ioas: Ioas,
  cmd: StructValue<typeof U.vfio_iommu_type1_info.fields>,
): number {
  const { size } = U.vfio_iommu_type1_info;
  const room = cmd.argsz;
  cmd.flags = U.VFIO_IOMMU_INFO_PGSIZES | U.VFIO_IOMMU_INFO_CAPS;
  cmd.iova_pgsizes = ioas.iopt.pageSizes;
  const chain = chained([dmaAvail(), iovaRanges(ioas)], size);
  cmd.argsz = size + chain.length;
  const fits = room >= cmd.argsz;
  cmd.cap_offset = fits ? size : 0;
  const reply = new Uint8Array(fits ? cmd.argsz : Math.min(room, size));
  U.vfio_iommu_type1_info.update(reply, cmd);
  if (fits) reply.set(chain, size);
  if (payload.length < reply.length) return -EFAULT;
  payload.set(reply);
  return 0;
}

/** Capabilities one behind the other from offset `at` on, each one telling where the next one is. */
function chained(caps: readonly Uint8Array[], at: number): Uint8Array {
  const all = new Uint8Array(caps.reduce((sum, cap) => sum + aligned(cap.length), 0));
  let offset = 0;
  caps.forEach((cap, i) => {
    const next = offset + aligned(cap.length);
    const header = U.vfio_info_cap_header.decode(cap);
    header.next = i === caps.length - 1 ? 0 : at + next;
    all.set(cap, offset);
    all.set(U.vfio_info_cap_header.encode(header), offset);
    offset = next;
  });
  return all;
}

/** Each one begins at a multiple of 8. */
function aligned(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

function dmaAvail(): Uint8Array {
  const id = U.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
  return U.vfio_iommu_type1_info_dma_avail.encode({ id, version: 1, avail: NO_LIMIT });
}

function iovaRanges({ iopt }: Ioas): Uint8Array {
  const struct = U.vfio_iommu_type1_info_cap_iova_range;
  const ranges = iopt.space.usable();
  const cap = new Uint8Array(struct.size + ranges.length * U.vfio_iova_range.size);
  const id = U.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
  cap.set(struct.encode({ id, version: 1, nr_iovas: ranges.length }));
  ranges.forEach(({ start, last }, i) => {
    const range = U.vfio_iova_range.encode({ start, end: last });
    cap.set(range, struct.size + i * U.vfio_iova_range.size);
  });
  return cap;
}
