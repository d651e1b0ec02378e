import * as E from "../../uapi/errno.ts";
import * as I from "../../uapi/iommufd.ts";
import type { FieldType, Struct, StructValue } from "../../uapi/struct.ts";
import * as U from "../../uapi/vfio.ts";
import { fails } from "../fault_points.ts";
import type { IommufdCtx } from "../iommufd/ctx.ts";
import type { IoPageTable } from "../iommufd/io_pagetable.ts";
import { type Ioas, mapUser, unmapRange } from "../iommufd/ioas.ts";
import type { Ucmd } from "../iommufd/ioctls.ts";
import { compatIoas } from "../iommufd/vfio_ioas.ts";
import type { Task } from "../process/task.ts";
import { iommuInfo } from "./container_info.ts";
import { mayOpenNoiommu } from "./noiommu.ts";
import { take } from "./request.ts";

/**
 * An iommufd as a VFIO container: the calls of type 1, which map into the IOAS that stands for the
 * container (FACTS 1.3, VFIO_IOAS). Those that need it answer ENODEV when there is none: a group
 * has to come first.
 */
export function containerIoctl(ucmd: Ucmd, command: number): number {
  switch (command) {
    case U.VFIO_IOMMU_GET_INFO:
      return withIoas(ucmd, U.vfio_iommu_type1_info, "iova_pgsizes", iommuInfo);
    case U.VFIO_IOMMU_MAP_DMA:
      return withIoas(ucmd, U.vfio_iommu_type1_dma_map, "size", mapDma, MAP_FLAGS);
    case U.VFIO_IOMMU_UNMAP_DMA:
      return withIoas(ucmd, U.vfio_iommu_type1_dma_unmap, "size", unmapDma, UNMAP_FLAGS);
    case U.VFIO_GET_API_VERSION:
    case U.VFIO_CHECK_EXTENSION:
    case U.VFIO_SET_IOMMU:
      // An address in the place of a number: none that says anything.
      return containerValue(ucmd.task, ucmd.ctx, command, -1);
    default:
      // VFIO_IOMMU_DIRTY_PAGES among them: dirty pages are told by HWPT.
      return -E.ENOTTY;
  }
}

/** Those that take a number. The others find no structure behind it: EFAULT. */
export function containerValue(
  task: Task,
  ctx: IommufdCtx,
  command: number,
  value: number,
): number {
  switch (command) {
    case U.VFIO_GET_API_VERSION:
      return U.VFIO_API_VERSION;
    case U.VFIO_CHECK_EXTENSION:
      return checkExtension(ctx, value);
    case U.VFIO_SET_IOMMU:
      return setIommu(task, ctx, value);
    case U.VFIO_IOMMU_GET_INFO:
    case U.VFIO_IOMMU_MAP_DMA:
    case U.VFIO_IOMMU_UNMAP_DMA:
      return -E.EFAULT;
    default:
      return -E.ENOTTY;
  }
}

/** 1 or 0. DMA is coherent when every HWPT's is. */
function checkExtension(ctx: IommufdCtx, extension: number): number {
  switch (extension) {
    case U.VFIO_TYPE1_IOMMU:
    case U.VFIO_TYPE1v2_IOMMU:
    case U.VFIO_UNMAP_ALL:
    case U.VFIO_NOIOMMU_IOMMU:
      return 1;
    case U.VFIO_DMA_CC_IOMMU: {
      const ioas = compatIoas(ctx);
      if (ioas === undefined) return -E.ENODEV;
      return ioas.hwpts.every((hwpt) => hwpt.domain.coherent) ? 1 : 0;
    }
    default:
      return 0;
  }
}

/**
 * The first type 1 unmaps in the middle of what was mapped. Superpages cannot be cut, so that it
 * does without: EINVAL or EADDRINUSE where that cannot be any more (OPTION_HUGE_PAGES). A container
 * of noiommu groups is of that type and no other, for who has CAP_SYS_RAWIO (EPERM).
 */
function setIommu(task: Task, ctx: IommufdCtx, type: number): number {
  if (ctx.noiommu) return type === U.VFIO_NOIOMMU_IOMMU ? mayOpenNoiommu(task) : -E.EINVAL;
  if (type !== U.VFIO_TYPE1_IOMMU && type !== U.VFIO_TYPE1v2_IOMMU) return -E.EINVAL;
  const ioas = compatIoas(ctx);
  if (ioas === undefined) return -E.ENODEV;
  if (type === U.VFIO_TYPE1v2_IOMMU) return 0;
  return ctx.immutable ? -E.EBUSY : ioas.iopt.setLargePages(false);
}

const MAP_FLAGS = U.VFIO_DMA_MAP_FLAG_READ | U.VFIO_DMA_MAP_FLAG_WRITE;
const UNMAP_FLAGS = U.VFIO_DMA_UNMAP_FLAG_ALL;

type Fields = Record<string, FieldType>;
/** A request that begins with argsz and flags, whatever comes behind them. */
type Request<F extends Fields> = StructValue<F & { argsz: "u32"; flags: "u32" }>;

/** What every call with a structure looks at first: EFAULT, EINVAL for argsz or flags, ENODEV. */
function withIoas<F extends Fields>(
  ucmd: Ucmd,
  struct: Struct<F & { argsz: "u32"; flags: "u32" }>,
  lastField: keyof F,
  run: (ucmd: Ucmd, ioas: Ioas, cmd: Request<F>) => number,
  flags = 0xffffffff,
): number {
  if (fails(ucmd.ctx.kernel.chooser, "copyFromUser")) return -E.EFAULT;
  const cmd = take(struct, ucmd.payload, struct.endOf(lastField));
  if (typeof cmd === "number") return cmd;
  if ((cmd.flags & ~flags) !== 0) return -E.EINVAL;
  const ioas = compatIoas(ucmd.ctx);
  return ioas === undefined ? -E.ENODEV : run(ucmd, ioas, cmd);
}

/** Always at the IOVA that is asked for; the errnos are IOAS_MAP's. */
function mapDma(
  ucmd: Ucmd,
  ioas: Ioas,
  cmd: StructValue<typeof U.vfio_iommu_type1_dma_map.fields>,
): number {
  if ((cmd.flags & MAP_FLAGS) === 0) return -E.EINVAL;
  if (ucmd.ctx.immutable) return -E.EBUSY;
  const flags = I.IOMMU_IOAS_MAP_FIXED_IOVA |
    (cmd.flags & U.VFIO_DMA_MAP_FLAG_READ ? I.IOMMU_IOAS_MAP_READABLE : 0) |
    (cmd.flags & U.VFIO_DMA_MAP_FLAG_WRITE ? I.IOMMU_IOAS_MAP_WRITEABLE : 0);
  const { ctx } = ucmd;
  // The patches check what IOAS_MAP maps, and nothing else.
  const checked = ctx.persistentId !== 0 && !ctx.kernel.has("D75");
  const map = { flags, user_va: cmd.vaddr, length: cmd.size, iova: cmd.iova };
  return mapUser(ucmd, ioas, map, checked);
}

/**
 * With FLAG_ALL the range must be empty, EINVAL. The first type 1 cuts what lies across an end of
 * the range; the second does not, ENOENT. `size` says what went, also when it fails half-way.
 */
function unmapDma(
  { ctx, payload }: Ucmd,
  { iopt }: Ioas,
  cmd: StructValue<typeof U.vfio_iommu_type1_dma_unmap.fields>,
): number {
  const { iova, size } = cmd;
  const all = (cmd.flags & U.VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  if (all && (iova !== 0n || size !== 0n)) return -E.EINVAL;
  if (ctx.immutable) return -E.EBUSY;
  if (!all && !iopt.largePages) {
    const rc = cutEnds(iopt, iova, size);
    if (rc < 0) return rc;
  }
  const before = iopt.mapped;
  const rc = all ? iopt.unmapAll() : unmapRange(iopt, iova, size);
  cmd.size = before - iopt.mapped;
  U.vfio_iommu_type1_dma_unmap.update(payload, cmd);
  return typeof rc === "number" ? rc : 0;
}

/** The end first: nothing is cut at the start of a range that ends in the wrong place. */
function cutEnds(iopt: IoPageTable, iova: bigint, size: bigint): number {
  const rc = iopt.cut(BigInt.asUintN(64, iova + size - 1n));
  return rc < 0 || iova === 0n ? rc : iopt.cut(iova - 1n);
}
