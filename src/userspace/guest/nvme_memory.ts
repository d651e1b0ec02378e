import { PAGE_SIZE, pagesOf } from "../../base/units.ts";
import { NVME_CQE_BYTES, NVME_SQE_BYTES } from "../../uapi/nvme_regs.ts";

/** Commands a driver keeps in flight at most. */
export const MAX_DEPTH = 64;
/** Pages in one command at most. */
export const MAX_PAGES = 32;
/** Entries in the admin queues. */
export const ADMIN_ENTRIES = 16;
/** Bytes set aside for one command's PRP list: up to 31 entries, never across a page. */
const PRP_LIST_BYTES = 256;

/** Where an NVMe driver keeps its queues and buffers, from the guest-physical `base` up. */
export class NvmeMemory {
  /** Entries in the I/O queues: the next power of two above `depth`, as one always stays empty. */
  readonly entries: number;
  readonly adminSq: number;
  readonly adminCq: number;
  readonly sq: number;
  readonly cq: number;
  readonly #lists: number;
  readonly #buffers: number;
  readonly end: number;

  /** `base`: page aligned. `depth`: 1..64 commands of up to `maxPages` (1..32) pages each. */
  constructor(readonly base: number, readonly depth: number, readonly maxPages: number) {
    if (!Number.isInteger(depth) || depth < 1 || depth > MAX_DEPTH) {
      throw new RangeError(`NVMe queue depth ${depth}: 1..${MAX_DEPTH} commands`);
    }
    if (!Number.isInteger(maxPages) || maxPages < 1 || maxPages > MAX_PAGES) {
      throw new RangeError(`NVMe transfers of ${maxPages} pages: 1..${MAX_PAGES}`);
    }
    this.entries = 2 ** Math.ceil(Math.log2(depth + 1));
    this.adminSq = base;
    this.adminCq = this.adminSq + PAGE_SIZE;
    this.sq = this.adminCq + PAGE_SIZE;
    this.cq = this.sq + pagesOf(this.entries * NVME_SQE_BYTES) * PAGE_SIZE;
    this.#lists = this.cq + pagesOf(this.entries * NVME_CQE_BYTES) * PAGE_SIZE;
    this.#buffers = this.#lists + pagesOf(depth * PRP_LIST_BYTES) * PAGE_SIZE;
    this.end = this.#buffers + depth * maxPages * PAGE_SIZE;
  }

  get bytes(): number {
    return this.end - this.base;
  }

  /** The data pages of a command slot. */
  buffer(slot: number): number {
    return this.#buffers + slot * this.maxPages * PAGE_SIZE;
  }

  list(slot: number): number {
    return this.#lists + slot * PRP_LIST_BYTES;
  }
}
