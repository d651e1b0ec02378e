import {
  IOMMU_HWPT_ALLOC_PAGE_2M,
  IOMMU_HWPT_ALLOC_PAGE_4K,
  IOMMU_HWPT_ALLOC_PAGE_MASK,
  IOMMU_HWPT_ALLOC_REPLACE,
} from "../../uapi/iommufd.ts";
import { EINVAL, errnoName } from "../../uapi/errno.ts";
import { O_WRONLY, type Sys } from "../../uapi/sys.ts";
import { CallFailed, must, setPageLimit } from "../calls.ts";
import { PERSISTED_DIR } from "./config.ts";
import { attachDevices, type Attached, type OpenDevice } from "./hardware.ts";

/** What is asked of a kernel that does not take a device over as it is, one after the other. */
const FALLBACKS = [
  IOMMU_HWPT_ALLOC_REPLACE,
  IOMMU_HWPT_ALLOC_REPLACE | IOMMU_HWPT_ALLOC_PAGE_2M,
  IOMMU_HWPT_ALLOC_REPLACE | IOMMU_HWPT_ALLOC_PAGE_4K,
];

/**
 * The kernel may be one that compares: it refuses to go on with tables that do not say what they
 * should. Then they are replaced; where pages may not change their size under way, by tables made as
 * a kernel would have made them that coalesced less.
 */
export function attachOrReplace(
  sys: Sys,
  iommufd: number,
  ioas: number,
  device: OpenDevice,
  fault?: number,
): Attached & { limited: boolean } {
  let flags = 0;
  const attach = () => ({
    ...attachDevices(sys, iommufd, ioas, [device], flags, fault),
    limited: (flags & IOMMU_HWPT_ALLOC_PAGE_MASK) !== 0,
  });
  for (const next of FALLBACKS) {
    try {
      return attach();
    } catch (error) {
      if (!(error instanceof CallFailed) || error.errno !== EINVAL) throw error;
      sys.log(`${device.device.name}: not as it was (${error.message}): other tables instead`);
      flags = next;
    }
  }
  return attach();
}

/** Says that nothing of the previous kernel's is needed any more. */
export function finishHandover(sys: Sys, id: number): void {
  const path = `${PERSISTED_DIR}/${id}/finish`;
  const fd = must(path, sys.open(path, O_WRONLY));
  must(path, sys.write(fd, new TextEncoder().encode("1")));
  sys.close(fd);
}

/** Has every HWPT go by pages of up to so many bytes. 0 or a negative errno. */
export function limitPages(
  sys: Sys,
  iommufd: number,
  { hwpts, pasidHwpts }: Attached,
  bytes: number,
): number {
  for (const hwpt of new Set([...hwpts, ...pasidHwpts])) {
    const rc = hwpt > 0 ? setPageLimit(sys, iommufd, hwpt, bytes) : 0;
    if (rc < 0) {
      sys.log(`HWPT ${hwpt}: pages stay as they are (${errnoName(rc)})`);
      return rc;
    }
  }
  return 0;
}
