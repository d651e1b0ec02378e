import { PAGE_SIZE } from "../base/units.ts";
import { EOPNOTSUPP, errnoName } from "../uapi/errno.ts";
import * as U from "../uapi/iommufd.ts";
import * as V from "../uapi/vfio.ts";
import * as K from "../uapi/kvm.ts";
import type { FieldType, Struct, StructValue } from "../uapi/struct.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE, type Sys } from "../uapi/sys.ts";

/** A system call a program cannot go on without failed: it prints this and exits. */
export class CallFailed extends Error {
  override name = "CallFailed";
  constructor(readonly call: string, readonly errno: number) {
    super(`${call}: ${errnoName(errno)}`);
  }
}

/** The value, or {@link CallFailed} when it is a negative errno. */
export function must(call: string, value: number): number {
  if (value < 0) throw new CallFailed(call, -value);
  return value;
}

/** What is asked for; undefined where the kernel answers EOPNOTSUPP, which `without` puts into the log. */
export function ifSupported<T>(
  sys: Sys,
  ask: () => T,
  without: (why: string) => string,
): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof CallFailed) || error.errno !== EOPNOTSUPP) throw error;
    sys.log(without(error.message));
    return undefined;
  }
}

/** One ioctl with a structure: the reply decoded, or a negative errno. */
export function call<F extends Record<string, FieldType>>(
  sys: Sys,
  fd: number,
  command: number,
  struct: Struct<F>,
  value: Partial<StructValue<F>>,
): StructValue<F> | number {
  const bytes = struct.encode(value);
  // Both families begin with the size of the structure, under one name or the other.
  new DataView(bytes.buffer).setUint32(0, bytes.length, true);
  const rc = sys.ioctl(fd, command, bytes);
  return rc < 0 ? rc : struct.decode(bytes);
}

function mustReply<T>(name: string, reply: T | number): T {
  if (typeof reply === "number") throw new CallFailed(name, -reply);
  return reply;
}

/** IOMMU_OPTION_PERSISTENT SET: the persistent id, or a negative errno. */
export function setPersistent(sys: Sys, fd: number): number {
  const value = { option_id: U.IOMMU_OPTION_PERSISTENT, op: U.IOMMU_OPTION_OP_SET, val64: 1n };
  const reply = call(sys, fd, U.IOMMU_OPTION, U.iommu_option, value);
  return typeof reply === "number" ? reply : Number(reply.val64);
}

/** IOMMU_OPTION SET: 0 or a negative errno. */
export function setOption(
  sys: Sys,
  fd: number,
  option_id: number,
  value: number,
  object_id: number,
): number {
  const set = { option_id, op: U.IOMMU_OPTION_OP_SET, object_id, val64: BigInt(value) };
  const reply = call(sys, fd, U.IOMMU_OPTION, U.iommu_option, set);
  return typeof reply === "number" ? reply : 0;
}

/** IOMMU_IOAS_COPY within an IOAS, for reading and writing: 0 or a negative errno. */
export function ioasCopy(
  sys: Sys,
  fd: number,
  ioas: number,
  from: number,
  to: number,
  length: number,
): number {
  const reply = call(sys, fd, U.IOMMU_IOAS_COPY, U.iommu_ioas_copy, {
    flags: RW_FIXED,
    dst_ioas_id: ioas,
    src_ioas_id: ioas,
    length: BigInt(length),
    dst_iova: BigInt(to),
    src_iova: BigInt(from),
  });
  return typeof reply === "number" ? reply : 0;
}

/** The IOAS maps everything in pages of 4 KiB from here on. */
export function noHugePages(sys: Sys, fd: number, ioas: number): void {
  must("IOMMU_OPTION_HUGE_PAGES", setOption(sys, fd, U.IOMMU_OPTION_HUGE_PAGES, 0, ioas));
}

/** IOMMU_OPTION_PAGE_LIMIT of a HWPT, bytes: 0 or a negative errno. */
export function setPageLimit(sys: Sys, fd: number, hwpt: number, bytes: number): number {
  return setOption(sys, fd, U.IOMMU_OPTION_PAGE_LIMIT, bytes, hwpt);
}

export function ioasAlloc(sys: Sys, fd: number): number {
  return mustReply("IOMMU_IOAS_ALLOC", call(sys, fd, U.IOMMU_IOAS_ALLOC, U.iommu_ioas_alloc, {}))
    .out_ioas_id;
}

const RW_FIXED = U.IOMMU_IOAS_MAP_FIXED_IOVA | U.IOMMU_IOAS_MAP_READABLE |
  U.IOMMU_IOAS_MAP_WRITEABLE;

/** Maps memory of this process for reading and writing at a fixed IOVA; 0 or a negative errno. */
export function ioasMap(
  sys: Sys,
  fd: number,
  ioas: number,
  va: number,
  length: number,
  iova: number,
): number {
  const reply = call(sys, fd, U.IOMMU_IOAS_MAP, U.iommu_ioas_map, {
    flags: RW_FIXED,
    ioas_id: ioas,
    user_va: BigInt(va),
    length: BigInt(length),
    iova: BigInt(iova),
  });
  return typeof reply === "number" ? reply : 0;
}

/**
 * The same through the calls of a VFIO container, which the iommufd understands as well
 * (VFIO_IOMMU_MAP_DMA); the IOAS stands for the container from then on.
 */
export function containerMap(
  sys: Sys,
  fd: number,
  ioas: number,
  va: number,
  length: number,
  iova: number,
): number {
  const set = { ioas_id: ioas, op: U.IOMMU_VFIO_IOAS_SET };
  const rc = call(sys, fd, U.IOMMU_VFIO_IOAS, U.iommu_vfio_ioas, set);
  if (typeof rc === "number") return rc;
  const reply = call(sys, fd, V.VFIO_IOMMU_MAP_DMA, V.vfio_iommu_type1_dma_map, {
    flags: V.VFIO_DMA_MAP_FLAG_READ | V.VFIO_DMA_MAP_FLAG_WRITE,
    vaddr: BigInt(va),
    iova: BigInt(iova),
    size: BigInt(length),
  });
  return typeof reply === "number" ? reply : 0;
}

/** Maps a file, `start` bytes into it; see {@link ioasMap}. */
export function ioasMapFile(
  sys: Sys,
  fd: number,
  ioas: number,
  file: number,
  length: number,
  iova: number,
  start = 0,
): number {
  const reply = call(sys, fd, U.IOMMU_IOAS_MAP_FILE, U.iommu_ioas_map_file, {
    flags: RW_FIXED,
    ioas_id: ioas,
    fd: file,
    start: BigInt(start),
    length: BigInt(length),
    iova: BigInt(iova),
  });
  return typeof reply === "number" ? reply : 0;
}

/** IOMMU_IOAS_IOVA_RANGES: the ranges that can be mapped, ends inside, to the nearest number. */
export function usableIovas(
  sys: Sys,
  fd: number,
  ioas: number,
): { start: number; last: number }[] {
  const { size } = U.iommu_iova_range;
  const at = must(
    "mmap IOVA ranges",
    sys.mmap(PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
  );
  const reply = mustReply(
    "IOMMU_IOAS_IOVA_RANGES",
    call(sys, fd, U.IOMMU_IOAS_IOVA_RANGES, U.iommu_ioas_iova_ranges, {
      ioas_id: ioas,
      num_iovas: PAGE_SIZE / size,
      allowed_iovas: BigInt(at),
    }),
  );
  const ranges = Array.from({ length: reply.num_iovas }, (_, i) => {
    const { start, last } = U.iommu_iova_range.decode(sys.copyIn(at + i * size, size));
    return { start: Number(start), last: Number(last) };
  });
  sys.munmap(at, PAGE_SIZE);
  return ranges;
}

/** IOMMU_IOAS_NOIOMMU_GET_PA: where an IOVA lies, and how many bytes from there are in one piece. */
export function getPa(
  sys: Sys,
  fd: number,
  ioas: number,
  iova: number,
  most: number,
): { physical: number; length: number } {
  const reply = call(sys, fd, U.IOMMU_IOAS_NOIOMMU_GET_PA, U.iommu_ioas_noiommu_get_pa, {
    ioas_id: ioas,
    iova: BigInt(iova),
    length: BigInt(most),
  });
  const { out_phys, length } = mustReply("IOMMU_IOAS_NOIOMMU_GET_PA", reply);
  return { physical: Number(out_phys), length: Number(length) };
}

/** Unmaps everything in an IOAS; bytes or a negative errno. */
export function ioasUnmapAll(sys: Sys, fd: number, ioas: number): number {
  const reply = call(sys, fd, U.IOMMU_IOAS_UNMAP, U.iommu_ioas_unmap, {
    ioas_id: ioas,
    iova: 0n,
    length: U.U64_MAX,
  });
  return typeof reply === "number" ? reply : Number(reply.length);
}

/** IOMMU_DESTROY of an object: 0 or a negative errno. */
export function destroyObject(sys: Sys, fd: number, id: number): number {
  const reply = call(sys, fd, U.IOMMU_DESTROY, U.iommu_destroy, { id });
  return typeof reply === "number" ? reply : 0;
}

/** IOMMU_IOAS_UNMAP of a range; bytes or a negative errno. */
export function ioasUnmap(
  sys: Sys,
  fd: number,
  ioas: number,
  iova: number,
  length: number,
): number {
  const value = { ioas_id: ioas, iova: BigInt(iova), length: BigInt(length) };
  const reply = call(sys, fd, U.IOMMU_IOAS_UNMAP, U.iommu_ioas_unmap, value);
  return typeof reply === "number" ? reply : Number(reply.length);
}

/** IOMMU_FAULT_QUEUE_ALLOC: the queue's id, and the descriptor it is read by. */
export function faultQueueAlloc(sys: Sys, fd: number): { id: number; file: number } {
  const reply = call(sys, fd, U.IOMMU_FAULT_QUEUE_ALLOC, U.iommu_fault_queue_alloc, {});
  const { out_fault_id, out_fault_fd } = mustReply("IOMMU_FAULT_QUEUE_ALLOC", reply);
  return { id: out_fault_id, file: out_fault_fd };
}

/** A page a device waits for. */
export interface AskedPage {
  /** IOVA. */
  readonly iova: number;
  /** What its group is answered by. */
  readonly cookie: number;
  /** The last page of its group. */
  readonly last: boolean;
}

/** Reads up to `most` pages that devices wait for, whole groups of them. */
export function readFaults(sys: Sys, file: number, most: number): AskedPage[] {
  const { size } = U.iommu_hwpt_pgfault;
  const bytes = sys.read(file, most * size);
  if (typeof bytes === "number") throw new CallFailed("read fault queue", -bytes);
  return Array.from({ length: bytes.length / size }, (_, i) => {
    const { addr, cookie, flags } = U.iommu_hwpt_pgfault.decode(bytes.subarray(i * size));
    const last = (flags & U.IOMMU_PGFAULT_FLAGS_LAST_PAGE) !== 0;
    return { iova: Number(addr), cookie, last };
  });
}

/** Answers a group of page requests: 0, or EINVAL where nobody waits under the cookie any more. */
export function answerFault(sys: Sys, file: number, cookie: number, code: number): number {
  return Math.min(0, sys.write(file, U.iommu_hwpt_page_response.encode({ cookie, code })));
}

/** VFIO_DEVICE_BIND_IOMMUFD: the device's object id. */
export function vfioBind(sys: Sys, cdev: number, iommufd: number): number {
  const reply = call(sys, cdev, V.VFIO_DEVICE_BIND_IOMMUFD, V.vfio_device_bind_iommufd, {
    iommufd,
  });
  return mustReply("VFIO_DEVICE_BIND_IOMMUFD", reply).out_devid;
}

/** IOMMU_HWPT_ALLOC of an IOAS, for a device: the HWPT's id. `fault`: the queue of its page requests. */
export function hwptAlloc(
  sys: Sys,
  fd: number,
  dev: number,
  ioas: number,
  flags: number,
  fault?: number,
): number {
  const queued = fault === undefined ? 0 : U.IOMMU_HWPT_FAULT_ID_VALID;
  const value = { dev_id: dev, pt_id: ioas, flags: flags | queued, fault_id: fault ?? 0 };
  const reply = call(sys, fd, U.IOMMU_HWPT_ALLOC, U.iommu_hwpt_alloc, value);
  return mustReply("IOMMU_HWPT_ALLOC", reply).out_hwpt_id;
}

/**
 * IOMMU_HWPT_ALLOC over a HWPT, of first-level tables of a guest's own, four levels from a
 * guest-physical address on: the HWPT's id.
 */
export function nestedHwptAlloc(
  sys: Sys,
  fd: number,
  dev: number,
  parent: number,
  tables: number,
): number {
  const data = U.iommu_hwpt_vtd_s1.encode({ pgtbl_addr: BigInt(tables), addr_width: 48 });
  const at = must(
    "mmap HWPT data",
    sys.mmap(PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
  );
  sys.copyOut(at, data);
  const reply = call(sys, fd, U.IOMMU_HWPT_ALLOC, U.iommu_hwpt_alloc, {
    dev_id: dev,
    pt_id: parent,
    data_type: U.IOMMU_HWPT_DATA_VTD_S1,
    data_len: data.length,
    data_uptr: BigInt(at),
  });
  sys.munmap(at, PAGE_SIZE);
  return mustReply("IOMMU_HWPT_ALLOC", reply).out_hwpt_id;
}

/**
 * VFIO_DEVICE_ATTACH_IOMMUFD_PT: the id of the HWPT the device is on. `pasid`: for requests with
 * this PASID, not for those without.
 */
export function vfioAttach(sys: Sys, cdev: number, pt: number, pasid?: number): number {
  const reply = call(
    sys,
    cdev,
    V.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    V.vfio_device_attach_iommufd_pt,
    pasid === undefined ? { pt_id: pt } : { pt_id: pt, flags: V.VFIO_DEVICE_ATTACH_PASID, pasid },
  );
  return mustReply("VFIO_DEVICE_ATTACH_IOMMUFD_PT", reply).pt_id;
}

/** VFIO_DEVICE_DETACH_IOMMUFD_PT, of the requests without a PASID: 0 or a negative errno. */
export function vfioDetach(sys: Sys, cdev: number): number {
  const struct = V.vfio_device_detach_iommufd_pt;
  const reply = call(sys, cdev, V.VFIO_DEVICE_DETACH_IOMMUFD_PT, struct, {});
  return typeof reply === "number" ? reply : 0;
}

/** Size in bytes and file offset of a region. */
export function vfioRegion(
  sys: Sys,
  cdev: number,
  index: number,
): { size: number; offset: number } {
  const reply = call(sys, cdev, V.VFIO_DEVICE_GET_REGION_INFO, V.vfio_region_info, { index });
  const info = mustReply("VFIO_DEVICE_GET_REGION_INFO", reply);
  return { size: Number(info.size), offset: Number(info.offset) };
}

/** KVM_SET_USER_MEMORY_REGION. */
export function kvmSlot(
  sys: Sys,
  vm: number,
  slot: number,
  gpa: number,
  size: number,
  va: number,
): void {
  const bytes = K.kvm_userspace_memory_region.encode({
    slot,
    guest_phys_addr: BigInt(gpa),
    memory_size: BigInt(size),
    userspace_addr: BigInt(va),
  });
  must("KVM_SET_USER_MEMORY_REGION", sys.ioctl(vm, K.KVM_SET_USER_MEMORY_REGION, bytes));
}
