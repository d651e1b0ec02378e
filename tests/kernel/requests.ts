/** What the tests' calls are made of, and how their answers are told. */
import { PAGE_SIZE } from "../../src/base/units.ts";
import { errnoName } from "../../src/uapi/errno.ts";
import * as U from "../../src/uapi/iommufd.ts";
import type { FieldType, StructValue } from "../../src/uapi/struct.ts";

export const PAGE = BigInt(PAGE_SIZE);
export const RW = U.IOMMU_IOAS_MAP_READABLE | U.IOMMU_IOAS_MAP_WRITEABLE;
export const FIXED = U.IOMMU_IOAS_MAP_FIXED_IOVA;
export const MEM = "/mnt/guestmemfs";

/** `ok`, or the name of the errno. */
export function said(rc: number): string {
  return rc < 0 ? errnoName(rc) : "ok";
}

export interface Answer<F extends Record<string, FieldType>> {
  /** `ok`, or the name of the errno. */
  readonly rc: string;
  /** The structure as it lies in user memory after the call. */
  readonly out: StructValue<F>;
}

export interface MapRequest {
  readonly flags: number;
  readonly ioas_id: number;
  readonly rsvd: number;
  readonly user_va: bigint;
  readonly length: bigint;
  readonly iova: bigint;
}

/** A request for so much of `va` at a fixed IOVA, read and write. */
export function fixed(ioas_id: number, va: number, length: number | bigint, iova: number | bigint) {
  return {
    flags: FIXED | RW,
    ioas_id,
    user_va: BigInt(va),
    length: BigInt(length),
    iova: BigInt(iova),
  };
}
