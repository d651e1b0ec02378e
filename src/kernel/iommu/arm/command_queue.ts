import * as Q from "../../../uapi/smmuv3_queues.ts";
import * as R from "../../../uapi/smmuv3_regs.ts";
import type { SmmuDevice } from "./smmu.ts";

/** Without ranges, more pages than this are cheaper to flush with all the others of the VMID. */
const MAX_SINGLE = 512;

/**
 * The driver's side of the command queue: one page of 16-byte commands. Each batch ends in a
 * SYNC, and what came before it is done when the SYNC is consumed.
 */
export class CommandQueue {
  #prod = 0;

  /** `pfn`: the page; `bits`: log2 of its entries. */
  constructor(readonly smmu: SmmuDevice, readonly pfn: number, readonly bits: number) {}

  /** Places the queue; it must be off. */
  start(): void {
    this.#prod = 0;
    this.smmu.write64(R.SMMU_CMDQ_BASE, (this.pfn << 12) | this.bits, this.pfn >>> 20);
    this.smmu.write(R.SMMU_CMDQ_PROD, 0);
    this.smmu.write(R.SMMU_CMDQ_CONS, 0);
  }

  /** The unit has forgotten what it had cached of one stream's entry. */
  invalidateSte(sid: number): void {
    this.#issue(Q.CMD_CFGI_STE, sid, Q.CFGI_LEAF_WORD2, 0);
    this.sync();
  }

  /** Everything cached, of configuration and of translations, from whatever kernel. */
  invalidateAll(): void {
    this.#issue(Q.CMD_CFGI_STE_RANGE, 0, Q.CFGI_RANGE_ALL, 0);
    this.#issue(Q.CMD_TLBI_NSNH_ALL, 0, 0, 0);
    this.sync();
  }

  /** Every translation of a VMID. */
  invalidateVmid(vmid: number): void {
    this.#issue(Q.CMD_TLBI_S12_VMALL, vmid, 0, 0);
    this.sync();
  }

  /** `count` pages of a VMID's stage 2 from `page` on; by ranges where the unit takes them. */
  invalidatePages(vmid: number, page: number, count: number): void {
    if (!this.smmu.rangeInvalidation) {
      if (count > MAX_SINGLE) return this.invalidateVmid(vmid);
      for (let i = 0; i < count; i++) this.#ipa(vmid, page + i, 0, 0);
    } else {
      while (count > 0) {
        // (NUM + 1) << SCALE pages: the lowest five bits that are set, at once.
        let scale = 0;
        while (count % 2 ** (scale + 1) === 0 && scale < Q.TLBI_RANGE_MASK) scale++;
        const num = Math.floor(count / 2 ** scale) % 32;
        const range = (num - 1) << Q.TLBI_NUM_SHIFT | scale << Q.TLBI_SCALE_SHIFT;
        this.#ipa(vmid, page, range, Q.TLBI_TG_4K << Q.TLBI_TG_SHIFT_WORD2);
        page += num * 2 ** scale;
        count -= num * 2 ** scale;
      }
    }
    this.sync();
  }

  #ipa(vmid: number, page: number, range: number, granule: number): void {
    const low = (page % 1048576) << 12, high = Math.floor(page / 1048576);
    this.#issue(Q.CMD_TLBI_S2_IPA | range, vmid, low | granule, high);
  }

  /** SYNC, and waits for it. */
  sync(): void {
    this.#issue(Q.CMD_SYNC | Q.SYNC_CS_NONE << Q.SYNC_CS_SHIFT, 0, 0, 0);
    const cons = this.#consumed();
    if (cons === this.#prod) return;
    const at = (n: number) => n.toString(16).padStart(8, "0");
    this.smmu.err(
      `CMD_SYNC timeout at 0x${at(this.#prod)} [hwprod 0x${at(this.#prod)}, hwcons 0x${at(cons)}]`,
    );
  }

  /** CMDQ_CONS; a command the unit refuses is seen to first, so that it goes on behind it. */
  #consumed(): number {
    this.smmu.handleGlobalErrors();
    return this.smmu.read(R.SMMU_CMDQ_CONS) & ((2 << this.bits) - 1);
  }

  #issue(w0: number, w1: number, w2: number, w3: number): void {
    this.#store(this.#prod, w0, w1, w2, w3);
    this.#prod = (this.#prod + 1) & ((2 << this.bits) - 1);
    this.smmu.write(R.SMMU_CMDQ_PROD, this.#prod);
  }

  #store(at: number, ...words: number[]): void {
    const word = (at & ((1 << this.bits) - 1)) * (Q.COMMAND_BYTES / 4);
    const { memory } = this.smmu.kernel.machine;
    words.forEach((value, i) => memory.store(this.pfn, word + i, value));
  }

  /** The command at CMDQ_CONS is wrong: a SYNC takes its place, and the queue goes on there. */
  skipBad(): void {
    const cons = this.smmu.read(R.SMMU_CMDQ_CONS);
    const code = cons >>> R.CMDQ_CONS_ERR_SHIFT;
    const why = ["No error", "Illegal command", "Abort on command fetch"][code] ?? "Unknown";
    this.smmu.err(`CMDQ error (cons 0x${cons.toString(16).padStart(8, "0")}): ${why}`);
    if (code === Q.CERROR_ILL) this.#store(cons, Q.CMD_SYNC, 0, 0, 0);
  }
}
