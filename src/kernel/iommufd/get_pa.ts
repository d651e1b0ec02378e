import { PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import { IommufdDevice } from "./device.ts";
import { getIoas, type Ioas } from "./ioas.ts";
import type { Ucmd } from "./ioctls.ts";
import { NoiommuDomain } from "./noiommu.ts";

const PAGE = BigInt(PAGE_SIZE);

/**
 * IOMMU_IOAS_NOIOMMU_GET_PA: the physical address behind an IOVA of an IOAS that a device without
 * an IOMMU uses, and how many bytes from there are in one piece (FACTS 1.3). `length` 0 asks for
 * all; anything else for so many at most, up to the end of the page they end in, since the answer
 * always ends with a page. The IOVA need not be aligned.
 *
 * EOPNOTSUPP for flags, reserved bits, or an IOAS that no such device is attached to: there an IOMMU
 * translates, and physical addresses are nobody's business. EOVERFLOW; ENOENT for the id, or where
 * nothing is mapped.
 */
export function ioasNoiommuGetPa({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_ioas_noiommu_get_pa.decode(payload);
  if (cmd.flags !== 0 || cmd.rsvd !== 0) return -E.EOPNOTSUPP;
  if (cmd.iova === U.U64_MAX || cmd.length === U.U64_MAX) return -E.EOVERFLOW;
  if (cmd.length > 0n && cmd.iova + cmd.length - 1n > U.U64_MAX) return -E.EOVERFLOW;
  const ioas = getIoas(ctx, cmd.ioas_id);
  if (ioas === undefined) return -E.ENOENT;
  const domain = noiommuDomain(ioas);
  if (domain === undefined) return -E.EOPNOTSUPP;
  const page = Number(cmd.iova / PAGE), offset = Number(cmd.iova % PAGE);
  const pfn = domain.translate(page);
  if (pfn < 0) return -E.ENOENT;
  const most = cmd.length === 0n ? Infinity : Math.ceil((offset + Number(cmd.length)) / PAGE_SIZE);
  let pages = 1;
  while (pages < most && domain.translate(page + pages) === pfn + pages) pages++;
  const rc = tell(ctx.objects.all.filter((o) => o instanceof IommufdDevice), ioas, page, pages);
  if (rc < 0) return rc;
  cmd.out_phys = BigInt(pfn) * PAGE + BigInt(offset);
  cmd.length = BigInt(pages * PAGE_SIZE - offset);
  U.iommu_ioas_noiommu_get_pa.update(payload, cmd);
  return 0;
}

/** Where the frames of an IOAS can be looked up; undefined where an IOMMU does that. */
export function noiommuDomain(ioas: Ioas): NoiommuDomain | undefined {
  return ioas.hwpts.map((hwpt) => hwpt.domain).find((d) => d instanceof NoiommuDomain);
}

/** A device of the IOAS, whichever, holds what is told from here on. */
function tell(
  devices: readonly IommufdDevice[],
  ioas: Ioas,
  page: number,
  pages: number,
): number {
  const access = devices.map((d) => d.noiommu).find((a) => a?.access.ioas === ioas);
  return access?.tell(page, pages) ?? 0;
}
