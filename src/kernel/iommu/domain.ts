import type { Radix } from "./compare.ts";
import { PAGE_SIZE } from "../../base/units.ts";
import type { Frames } from "../../machine/frame_runs.ts";
import { EOPNOTSUPP } from "../../uapi/errno.ts";
import type { Resized } from "./resize.ts";

/**
 * IOMMU domains as the core sees them. Addresses are page numbers (IOVA >> 12, exact below 2^53),
 * so that every IOVA of a 57-bit space fits a number; frames are int32.
 */
export type DomainType = "paging" | "blocking" | "identity" | "nested";

export abstract class IommuDomain {
  abstract readonly type: DomainType;
  /** 0: not persistent (seed line 690). */
  persistentId = 0;
  /** It is in the KHO dump that stands. */
  dumped = false;
}

/** Hardware that notes in the leaves which pages were written (VT-d SLADS, SMMUv3 HTTU). */
export interface DirtyTracking {
  /** Switches noting on or off. Bits that are set already are cleared before it goes on. */
  set(on: boolean): number;
  /** True while writes are noted. */
  readonly on: boolean;
  /**
   * Calls `seen` for each run of dirty pages in [page, page + count), ascending; with `clear` the
   * bits go, and cached translations with them, so that the next write is noted again.
   */
  read(
    page: number,
    count: number,
    clear: boolean,
    seen: (page: number, count: number) => void,
  ): void;
}

/** A domain with page tables that map and unmap. */
export abstract class PagingDomain extends IommuDomain {
  readonly type = "paging";
  /** The context that owns this domain across kexec; 0: none. */
  persistentOwner = 0;
  /**
   * The previous kernel's: a device that was handed over walks these tables until its heir attaches
   * others in their place. Nobody maps or unmaps here, and the last device to leave frees them.
   */
  inherited = false;

  /** The id that tags what hardware caches of it: VT-d's DID, a VMID, AMD's DomainID. */
  abstract readonly did: number;
  /** Frame of the first table. */
  abstract readonly pgd: number;
  /** Last page number the tables reach. */
  abstract readonly lastPage: number;
  /** Sizes of pages the tables can have, in bytes, joined by or. */
  pageSizes: number = PAGE_SIZE;
  /**
   * Maps `count` frames from `pfn` at page `page`; `single`: in 4 KiB pages only. 0, ENOMEM, or EEXIST
   * over a live mapping.
   */
  abstract map(page: number, pfn: number, count: number, prot: number, single?: boolean): number;
  /** Unmaps and flushes; pages that were mapped. */
  abstract unmap(page: number, count: number): number;
  /** Frame behind a page, -1 where nothing is mapped (iommu_iova_to_phys). */
  abstract translate(page: number): number;

  /** The same for as many of `count` pages as are known to lie side by side. */
  translateRun(page: number, _count: number): Frames {
    return { pfn: this.translate(page), count: 1 };
  }

  /**
   * From now on every access through this domain snoops the CPU's caches. False where the IOMMU has
   * no way to enforce it; a machine whose devices are coherent anyway does not mind.
   */
  enforceCacheCoherency(): boolean {
    return false;
  }

  /** Every access through it snoops. */
  get coherent(): boolean {
    return false;
  }

  /** The tables as a tree that can be compared; undefined where nobody can. */
  get radix(): Radix | undefined {
    return undefined;
  }

  /**
   * Pages of the largest page it may have from now on; what is mapped is joined or split, under way.
   * EOPNOTSUPP where pages in use cannot change their size; EBUSY while writes are noted; ENOMEM.
   */
  limitPages(_largest: number): Resized | number {
    return -EOPNOTSUPP;
  }

  /** Undefined where the domain was not made for it, or the IOMMU cannot. */
  dirty?: DirtyTracking;

  /** Nothing is attached any more: tables are freed. */
  abstract free(): void;
}

/** Tables of a guest's own, whose addresses are those of its parent: nobody here maps in them. */
export abstract class NestedDomain extends IommuDomain {
  readonly type = "nested";
  abstract readonly parent: PagingDomain;
  /** The id that tags what hardware caches of it. */
  abstract readonly did: number;
  /** Guest frame of the first table. */
  abstract readonly top: number;
  abstract free(): void;
}
