import { MiB, PAGE_SIZE } from "../../base/units.ts";
import { EFAULT, EINVAL } from "../../uapi/errno.ts";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
  type Sys,
} from "../../uapi/sys.ts";
import { CallFailed, getPa, ioasMapFile, must } from "../calls.ts";
import { MEMORY_DIR, PERSISTED_DIR } from "../vmm/config.ts";
import { takeHandle } from "../vmm/hardware.ts";
import { QUEUE_IOVA } from "./config.ts";

const RW = PROT_READ | PROT_WRITE;
/** Size of guestmemfs's blocks. */
const BLOCK = 2 * MiB;

/** Memory a device reads and writes by physical addresses: where the program has it, and they. */
export class DmaMemory {
  /** `pages`: physical address of each page. */
  constructor(readonly va: number, readonly pages: readonly number[]) {}

  get bytes(): number {
    return this.pages.length * PAGE_SIZE;
  }

  /** Physical address of a byte of it. */
  physical(address: number): number {
    const offset = address - this.va;
    return this.pages[Math.floor(offset / PAGE_SIZE)] + offset % PAGE_SIZE;
  }
}

/** What a paravisor has of an iommufd; `ioas` 0: none, its memory is its own business. */
export interface Iommufd {
  readonly fd: number;
  readonly ioas: number;
}

/** Physical address of each page of [iova, iova + bytes) of an IOAS, run by run. */
export function physicalPages(
  sys: Sys,
  { fd, ioas }: Iommufd,
  iova: number,
  bytes: number,
): number[] {
  const pages: number[] = [];
  while (pages.length * PAGE_SIZE < bytes) {
    const at = pages.length * PAGE_SIZE;
    const run = getPa(sys, fd, ioas, iova + at, bytes - at);
    for (let done = 0; done < run.length; done += PAGE_SIZE) pages.push(run.physical + done);
  }
  return pages;
}

/** Pinned memory: a memfd, mapped into the IOAS, which tells where it lies. */
export function pinnedMemory(sys: Sys, iommufd: Iommufd, bytes: number): DmaMemory {
  const file = must("memfd_create", sys.memfdCreate("queues"));
  must("ftruncate queues", sys.ftruncate(file, bytes));
  must("map queues", ioasMapFile(sys, iommufd.fd, iommufd.ioas, file, bytes, QUEUE_IOVA));
  return mapped(sys, iommufd, file, bytes);
}

/** The same memory after a kexec: it came over with the iommufd, which sysfs names. */
export function inheritedMemory(
  sys: Sys,
  iommufd: Iommufd,
  persistentId: number,
  bytes: number,
): DmaMemory {
  const path = `${PERSISTED_DIR}/${persistentId}/memfd1`;
  return mapped(sys, iommufd, takeHandle(sys, path), bytes);
}

function mapped(sys: Sys, iommufd: Iommufd, file: number, bytes: number): DmaMemory {
  const va = must("mmap queues", sys.mmap(bytes, RW, MAP_SHARED, file, 0));
  sys.close(file);
  touch(sys, va, bytes);
  return new DmaMemory(va, physicalPages(sys, iommufd, QUEUE_IOVA, bytes));
}

/** Brings every page into the process's page tables, as MAP_POPULATE would. */
function touch(sys: Sys, va: number, bytes: number): void {
  for (let at = 0; at < bytes; at += PAGE_SIZE) sys.load32(va + at);
}

/** Anonymous memory that is locked, which keeps it in memory; its addresses by pagemap. */
export function lockedMemory(sys: Sys, bytes: number): DmaMemory {
  const va = must(
    "mmap queues",
    sys.mmap(bytes, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
  );
  must("mlock queues", sys.mlock(va, bytes));
  return new DmaMemory(va, pagemap(sys, va, bytes));
}

/** A file of guestmemfs, which outlives the kernel and does not move; its addresses by pagemap. */
export function fileMemory(sys: Sys, name: string, bytes: number): DmaMemory {
  const path = `${MEMORY_DIR}/${name}.queues`;
  const file = must(path, sys.open(path, O_RDWR | O_CREAT));
  const size = Math.ceil(bytes / BLOCK) * BLOCK;
  if (sys.fsize(file) === 0) must("ftruncate queues", sys.ftruncate(file, size));
  const va = must("mmap queues", sys.mmap(size, RW, MAP_SHARED, file, 0));
  sys.close(file);
  touch(sys, va, bytes);
  return new DmaMemory(va, pagemap(sys, va, bytes));
}

/** Physical address of each page of [va, va + bytes), as /proc/self/pagemap has it now. */
export function pagemap(sys: Sys, va: number, bytes: number): number[] {
  const file = must("/proc/self/pagemap", sys.open("/proc/self/pagemap", O_RDONLY));
  const entries = sys.pread(file, bytes / PAGE_SIZE * 8, va / PAGE_SIZE * 8);
  sys.close(file);
  if (typeof entries === "number") throw new CallFailed("read pagemap", -entries);
  const view = new DataView(entries.buffer, entries.byteOffset);
  return Array.from({ length: bytes / PAGE_SIZE }, (_, i) => {
    const low = view.getUint32(i * 8, true), high = view.getUint32(i * 8 + 4, true);
    if (high < 2 ** 31) throw new CallFailed("pagemap", EFAULT);
    const pfn = low + (high % 2 ** 23) * 2 ** 32;
    if (pfn === 0) throw new CallFailed("pagemap", EINVAL);
    return pfn * PAGE_SIZE;
  });
}
