import type { FieldType, Struct } from "../../uapi/struct.ts";
import * as U from "../../uapi/iommufd.ts";
import type { Task } from "../process/task.ts";
import type { IommufdCtx } from "./ctx.ts";
import { destroy } from "./destroy.ts";
import { getDirtyBitmap, setDirtyTracking } from "./dirty.ts";
import { faultQueueAlloc } from "./fault.ts";
import { getHwInfo } from "./hw_info.ts";
import { hwptAlloc } from "./hwpt.ts";
import { ioasChangeProcess } from "./change_process.ts";
import { ioasNoiommuGetPa } from "./get_pa.ts";
import { ioasAlloc, ioasMap, ioasMapFile, ioasUnmap } from "./ioas.ts";
import { ioasCopy } from "./ioas_copy.ts";
import { ioasAllowIovas, ioasIovaRanges } from "./ioas_ranges.ts";
import {
  hwptInvalidate,
  hwQueueAlloc,
  vdeviceAlloc,
  veventqAlloc,
  viommuAlloc,
} from "./nesting.ts";
import { option } from "./option.ts";
import { vfioIoas } from "./vfio_ioas.ts";

/** One call: who asks, on what, and the structure's bytes, which take the reply. */
export interface Ucmd {
  readonly task: Task;
  readonly ctx: IommufdCtx;
  readonly payload: Uint8Array;
  /** Takes back the object the call made, should its id not reach the program (FACTS 1.1). */
  abort?: () => void;
}

export interface IoctlRow {
  readonly struct: Struct<Record<string, FieldType>>;
  /** Bytes of the structure as it first was: less is EINVAL. */
  readonly minSize: number;
  readonly run: (ucmd: Ucmd) => number;
}

function row<F extends Record<string, FieldType>>(
  struct: Struct<F>,
  lastOriginalField: keyof F,
  run: (ucmd: Ucmd) => number,
): IoctlRow {
  const any = struct as unknown as Struct<Record<string, FieldType>>;
  return { struct: any, minSize: struct.endOf(lastOriginalField), run };
}

/** The table of /dev/iommu (FACTS 1.1). */
export const IOCTLS: ReadonlyMap<number, IoctlRow> = new Map([
  [U.IOMMU_DESTROY, row(U.iommu_destroy, "id", destroy)],
  [U.IOMMU_IOAS_ALLOC, row(U.iommu_ioas_alloc, "out_ioas_id", ioasAlloc)],
  [U.IOMMU_IOAS_ALLOW_IOVAS, row(U.iommu_ioas_allow_iovas, "allowed_iovas", ioasAllowIovas)],
  [U.IOMMU_IOAS_COPY, row(U.iommu_ioas_copy, "src_iova", ioasCopy)],
  [
    U.IOMMU_IOAS_IOVA_RANGES,
    row(U.iommu_ioas_iova_ranges, "out_iova_alignment", ioasIovaRanges),
  ],
  [U.IOMMU_IOAS_MAP, row(U.iommu_ioas_map, "iova", ioasMap)],
  [U.IOMMU_IOAS_MAP_FILE, row(U.iommu_ioas_map_file, "iova", ioasMapFile)],
  [U.IOMMU_IOAS_UNMAP, row(U.iommu_ioas_unmap, "length", ioasUnmap)],
  [U.IOMMU_OPTION, row(U.iommu_option, "val64", option)],
  [U.IOMMU_VFIO_IOAS, row(U.iommu_vfio_ioas, "rsvd", vfioIoas)],
  [U.IOMMU_IOAS_CHANGE_PROCESS, row(U.iommu_ioas_change_process, "rsvd", ioasChangeProcess)],
  [U.IOMMU_IOAS_NOIOMMU_GET_PA, row(U.iommu_ioas_noiommu_get_pa, "out_phys", ioasNoiommuGetPa)],
  [U.IOMMU_HWPT_ALLOC, row(U.iommu_hwpt_alloc, "rsvd", hwptAlloc)],
  [U.IOMMU_GET_HW_INFO, row(U.iommu_hw_info, "rsvd2", getHwInfo)],
  [
    U.IOMMU_HWPT_SET_DIRTY_TRACKING,
    row(U.iommu_hwpt_set_dirty_tracking, "rsvd", setDirtyTracking),
  ],
  [U.IOMMU_HWPT_GET_DIRTY_BITMAP, row(U.iommu_hwpt_get_dirty_bitmap, "data", getDirtyBitmap)],
  [U.IOMMU_HWPT_INVALIDATE, row(U.iommu_hwpt_invalidate, "rsvd", hwptInvalidate)],
  [U.IOMMU_FAULT_QUEUE_ALLOC, row(U.iommu_fault_queue_alloc, "out_fault_fd", faultQueueAlloc)],
  [U.IOMMU_VIOMMU_ALLOC, row(U.iommu_viommu_alloc, "out_viommu_id", viommuAlloc)],
  [U.IOMMU_VDEVICE_ALLOC, row(U.iommu_vdevice_alloc, "virt_id", vdeviceAlloc)],
  [U.IOMMU_VEVENTQ_ALLOC, row(U.iommu_veventq_alloc, "out_veventq_fd", veventqAlloc)],
  [U.IOMMU_HW_QUEUE_ALLOC, row(U.iommu_hw_queue_alloc, "length", hwQueueAlloc)],
]);
