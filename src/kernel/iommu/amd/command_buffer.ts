import * as Q from "../../../uapi/amdvi_queues.ts";
import * as R from "../../../uapi/amdvi_regs.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { AmdIommu } from "./iommu.ts";

/** 512 commands in two pages. */
const PAGES = 2, LENGTH_CODE = 9;
const BYTES = PAGES * 4096;

/**
 * The driver's side of the command buffer. Each batch ends in a COMPLETION_WAIT that stores a
 * number; what came before it is done when the number is there.
 */
export class CommandBuffer {
  #tail = 0;
  #sequence = 0;

  private constructor(
    readonly iommu: AmdIommu,
    readonly pfn: number,
    /** Where COMPLETION_WAIT stores. */
    readonly semaphore: number,
  ) {}

  static make(iommu: AmdIommu): CommandBuffer | undefined {
    const { pages } = iommu.kernel;
    const pfn = pages.allocRange(PAGES, 1, FrameUse.kernel);
    const semaphore = pages.allocPage(FrameUse.kernel);
    if (pfn >= 0 && semaphore >= 0) return new CommandBuffer(iommu, pfn, semaphore);
    if (pfn >= 0) pages.freeRange(pfn, PAGES);
    if (semaphore >= 0) pages.freePage(semaphore);
    return undefined;
  }

  free(): void {
    this.iommu.kernel.pages.freeRange(this.pfn, PAGES);
    this.iommu.kernel.pages.freePage(this.semaphore);
  }

  /** Places the buffer; it must be off. */
  start(): void {
    this.#tail = 0;
    const length = LENGTH_CODE << R.BUFFER_LENGTH_SHIFT_HI;
    this.iommu.write64(R.AMDVI_COMMAND_BASE, this.pfn << 12, (this.pfn >>> 20) | length);
    this.iommu.write(R.AMDVI_COMMAND_HEAD, 0);
    this.iommu.write(R.AMDVI_COMMAND_TAIL, 0);
  }

  /** The unit has forgotten a device's entry. */
  invalidateDevice(sid: number): void {
    this.#issue(sid, Q.INVALIDATE_DEVTAB_ENTRY, 0, 0, 0);
    this.wait();
  }

  /** Everything cached, from whatever kernel. */
  invalidateAll(): void {
    if (this.iommu.invalidateAllSupported) this.#issue(0, Q.INVALIDATE_IOMMU_ALL, 0, 0, 0);
    else {
      for (let sid = 0; sid < this.iommu.devices; sid++) {
        this.#issue(sid, Q.INVALIDATE_DEVTAB_ENTRY, 0, 0, 0);
      }
      for (let domain = 0; domain < 65536; domain++) this.#allPages(domain);
    }
    this.wait();
  }

  /** Every translation of a domain. */
  invalidateDomain(domain: number): void {
    this.#allPages(domain);
    this.wait();
  }

  #allPages(domain: number): void {
    const [low, high] = Q.INVALIDATE_ALL_PAGES;
    const flags = Q.INVALIDATE_PAGES_S_WORD2 | Q.INVALIDATE_PAGES_PDE_WORD2;
    this.#issue(0, Q.INVALIDATE_IOMMU_PAGES, domain, low | flags, high);
  }

  /** Pages of a domain: the smallest aligned power of two that holds them. */
  invalidatePages(domain: number, page: number, count: number): void {
    let size = 1;
    const last = page + count - 1;
    while (Math.floor(page / size) !== Math.floor(last / size)) size *= 2;
    // With S the lowest clear bit of the address is half the size.
    const first = page - page % size + (size > 1 ? size / 2 - 1 : 0);
    const low = (first % 1048576) << 12, high = Math.floor(first / 1048576);
    const flags = Q.INVALIDATE_PAGES_PDE_WORD2 | (size > 1 ? Q.INVALIDATE_PAGES_S_WORD2 : 0);
    this.#issue(0, Q.INVALIDATE_IOMMU_PAGES, domain, low | flags, high);
    this.wait();
  }

  /** COMPLETION_WAIT, and waits for it. */
  wait(): void {
    const { memory } = this.iommu.kernel.machine;
    const number = ++this.#sequence;
    const low = (this.semaphore << 12) | Q.COMPLETION_WAIT_S_WORD0;
    this.#issue(low, Q.COMPLETION_WAIT, this.semaphore >>> 20, number, 0);
    if (memory.load(this.semaphore, 0) === number) return;
    this.iommu.kernel.dmesg.err("AMD-Vi: Completion-Wait loop timed out");
  }

  /** `field`: what word 1 holds beside the opcode. */
  #issue(w0: number, opcode: number, field: number, w2: number, w3: number): void {
    const { memory } = this.iommu.kernel.machine;
    const pfn = this.pfn + (this.#tail >>> 12), at = (this.#tail & 0xfff) >>> 2;
    const w1 = opcode << Q.COMMAND_OPCODE_SHIFT_WORD1 | field;
    [w0, w1, w2, w3].forEach((value, i) => memory.store(pfn, at + i, value | 0));
    this.#tail = (this.#tail + 16) % BYTES;
    this.iommu.write(R.AMDVI_COMMAND_TAIL, this.#tail);
  }
}
