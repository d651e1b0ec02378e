import { PAGE_SIZE } from "../../base/units.ts";
import type { Frames } from "../../machine/frame_runs.ts";
import { EFAULT } from "../../uapi/errno.ts";
import type { UserPages } from "../mm/user_pages.ts";
import type { AddressSpace } from "../process/address_space.ts";
import type { FilePin, Parting } from "./file_pin.ts";
import { type Persistent, UserSource } from "./sources.ts";

/**
 * Memory that IOAS_MAP of a persistent iommufd has let pass, as posted (seed lines 1842-1860): that
 * it is a file's was looked up once, and pages are looked up by address again when they are wanted,
 * whatever is mapped there then.
 */
export class CheckedUserSource extends UserSource {
  /** `persistent`, `filePin`: of the file that was seen. `pfnmap`: pages of such files can be had. */
  constructor(
    mm: AddressSpace,
    va: number,
    readonly userPages: UserPages,
    readonly persistent: Persistent,
    readonly filePin: FilePin,
    readonly pfnmap: boolean,
  ) {
    super(mm, va, userPages);
  }

  override pin(index: number, write: boolean): number {
    const address = this.va + index * PAGE_SIZE;
    const vma = this.mm.find(address);
    if (vma?.backing.kind !== "pfnmap" || !this.pfnmap) return super.pin(index, write);
    if (write && !vma.writable) return -EFAULT;
    const pfn = this.mm.translate(address);
    return pfn < 0 ? -EFAULT : pfn;
  }

  /** Each page is looked up anew. */
  override pinRun(index: number, _count: number, write: boolean): Frames | number {
    const pfn = this.pin(index, write);
    return pfn < 0 ? pfn : { pfn, count: 1 };
  }

  /** Frames of guestmemfs have no struct page that would count. */
  override unpin(pfn: number, count: number): void {
    for (let i = pfn; i < pfn + count; i++) if (this.userPages.has(i)) super.unpin(i, 1);
  }

  override release(how: Parting): void {
    this.filePin.drop(how);
  }
}
