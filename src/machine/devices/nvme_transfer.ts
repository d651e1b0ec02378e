import { PAGE_SIZE, PAGE_WORDS } from "../../base/units.ts";
import {
  NVME_SC_DATA_XFER_ERROR,
  NVME_SC_PRP_OFFSET_INVALID,
  NVME_SC_SUCCESS,
  SQE_PRP1,
  SQE_PRP2,
} from "../../uapi/nvme_regs.ts";
import type { DmaPort } from "../dma_port.ts";
import { BLOCK_WORDS, type NvmeMedium } from "./nvme_medium.ts";

/** Most pages in one transfer, as a power of two (MDTS). */
export const MAX_TRANSFER_SHIFT = 5;
export const MAX_TRANSFER_PAGES = 1 << MAX_TRANSFER_SHIFT;

/**
 * Moves a command's data between the controller and host memory, one page per DMA. The pages are
 * named by two physical region pages (PRP) in the command: the first page, which may start at an
 * offset, and the second page or a list of the rest.
 */
export class NvmeTransfer {
  /** The pages of the command resolved last. A transfer at an offset touches one more. */
  readonly #hi = new Uint32Array(MAX_TRANSFER_PAGES + 1);
  readonly #lo = new Uint32Array(MAX_TRANSFER_PAGES + 1);
  readonly #words = new Uint32Array(MAX_TRANSFER_PAGES + 1);
  #pages = 0;
  readonly #list = new Uint32Array(PAGE_WORDS);

  constructor(readonly port: DmaPort) {}

  /**
   * Finds the pages for `bytes` (1 .. {@link MAX_TRANSFER_PAGES} pages) of a submission entry;
   * reads the PRP list if there is one. Returns an NVMe status.
   */
  resolve(entry: Uint32Array, bytes: number): number {
    const offset = entry[SQE_PRP1] & 0xfff;
    if (offset % 4 !== 0) return NVME_SC_PRP_OFFSET_INVALID;
    this.#pages = 0;
    let left = bytes - this.#add(entry[SQE_PRP1 + 1], entry[SQE_PRP1], bytes);
    if (left === 0) return NVME_SC_SUCCESS;
    let hi = entry[SQE_PRP2 + 1], lo = entry[SQE_PRP2];
    if (left <= PAGE_SIZE) {
      if ((lo & 0xfff) !== 0) return NVME_SC_PRP_OFFSET_INVALID;
      this.#add(hi, lo, left);
      return NVME_SC_SUCCESS;
    }
    // A chain of lists that names no pages could lead the controller round in circles.
    for (let lists = 0; left > 0; lists++) {
      if ((lo & 7) !== 0 || lists > MAX_TRANSFER_PAGES) return NVME_SC_PRP_OFFSET_INVALID;
      const room = (PAGE_SIZE - (lo & 0xfff)) >>> 3;
      const needed = Math.ceil(left / PAGE_SIZE);
      const entries = Math.min(room, needed);
      const list = this.#list;
      if (!this.port.read(hi, lo, list, entries * 2)) return NVME_SC_DATA_XFER_ERROR;
      // A list that goes on names its next page in the last entry of this one.
      const chained = needed > room;
      for (let i = 0; i < entries - (chained ? 1 : 0); i++) {
        if ((list[2 * i] & 0xfff) !== 0) return NVME_SC_PRP_OFFSET_INVALID;
        left -= this.#add(list[2 * i + 1], list[2 * i], left);
      }
      if (chained) {
        lo = list[2 * entries - 2];
        hi = list[2 * entries - 1];
      }
    }
    return NVME_SC_SUCCESS;
  }

  /** Moves the resolved pages from or to the medium, starting at `block`. An NVMe status. */
  moveBlocks(medium: NvmeMedium, block: number, toHost: boolean): number {
    const memory = this.port.memory;
    let word = 0;
    for (let page = 0; page < this.#pages; page++) {
      const lo = this.#lo[page];
      const pfn = this.port.access(this.#hi[page], lo, this.#words[page] * 4, toHost);
      if (pfn < 0) return NVME_SC_DATA_XFER_ERROR;
      let at = memory.base(pfn) + ((lo & 0xfff) >>> 2);
      for (let left = this.#words[page]; left > 0;) {
        // With an offset in the first page, pages and blocks do not coincide.
        const n = Math.min(left, BLOCK_WORDS - word);
        if (toHost) medium.read(block, word, n, memory.writable(pfn), at);
        else medium.write(block, word, n, memory.readable(pfn), at);
        at += n;
        left -= n;
        word += n;
        if (word === BLOCK_WORDS) {
          word = 0;
          block++;
        }
      }
    }
    return NVME_SC_SUCCESS;
  }

  /** Writes `data` to the resolved pages. An NVMe status. */
  sendWords(data: Uint32Array): number {
    const memory = this.port.memory;
    let word = 0;
    for (let page = 0; page < this.#pages; page++) {
      const lo = this.#lo[page], n = this.#words[page];
      const pfn = this.port.access(this.#hi[page], lo, n * 4, true);
      if (pfn < 0) return NVME_SC_DATA_XFER_ERROR;
      const chunk = memory.writable(pfn), at = memory.base(pfn) + ((lo & 0xfff) >>> 2);
      for (let i = 0; i < n; i++) chunk[at + i] = data[word++];
    }
    return NVME_SC_SUCCESS;
  }

  /** Adds the page at an address; returns how many of `left` bytes it takes. */
  #add(hi: number, lo: number, left: number): number {
    const bytes = Math.min(left, PAGE_SIZE - (lo & 0xfff));
    this.#hi[this.#pages] = hi;
    this.#lo[this.#pages] = lo;
    this.#words[this.#pages++] = bytes >>> 2;
    return bytes;
  }
}
