import { formatSbdf } from "../../../uapi/pci_regs.ts";
import * as Q from "../../../uapi/smmuv3_queues.ts";
import * as R from "../../../uapi/smmuv3_regs.ts";
import { RateLimit } from "../ratelimit.ts";
import type { SmmuDevice } from "./smmu.ts";

const WORDS = Q.EVENT_BYTES / 4;

/** The driver's side of the event queue: one page of 32-byte records. */
export class EventReader {
  #cons = 0;
  readonly #limit: RateLimit;

  /** `pfn`: the page; `bits`: log2 of its entries. */
  constructor(readonly smmu: SmmuDevice, readonly pfn: number, readonly bits: number) {
    this.#limit = new RateLimit(smmu.kernel.queue, (n) => smmu.warn(`${n} events suppressed`));
  }

  /** Places the queue; it must be off. */
  start(): void {
    this.#cons = 0;
    this.smmu.write64(R.SMMU_EVENTQ_BASE, (this.pfn << 12) | this.bits, this.pfn >>> 20);
    this.smmu.write(R.SMMU_PAGE1 + R.SMMU_EVENTQ_PROD, 0);
    this.smmu.write(R.SMMU_PAGE1 + R.SMMU_EVENTQ_CONS, 0);
  }

  /**
   * Prints and consumes every record. All of them: the interrupt comes only when an empty queue
   * gets one.
   */
  drain(): void {
    const { smmu } = this;
    const mask = (2 << this.bits) - 1;
    let prod = smmu.read(R.SMMU_PAGE1 + R.SMMU_EVENTQ_PROD) | 0;
    while (((prod ^ this.#cons) & mask) !== 0) {
      if (this.#limit.allows()) this.#print();
      const overflow = this.#cons & R.EVENTQ_OVERFLOW;
      this.#cons = ((this.#cons + 1) & mask) | overflow;
      smmu.write(R.SMMU_PAGE1 + R.SMMU_EVENTQ_CONS, this.#cons);
      prod = smmu.read(R.SMMU_PAGE1 + R.SMMU_EVENTQ_PROD) | 0;
    }
    if (((prod ^ this.#cons) & R.EVENTQ_OVERFLOW) === 0) return;
    smmu.err("EVTQ overflow detected -- events lost");
    this.#cons ^= R.EVENTQ_OVERFLOW;
    smmu.write(R.SMMU_PAGE1 + R.SMMU_EVENTQ_CONS, this.#cons);
  }

  /** The record as it is, and then in words, as arm-smmu-v3 does both. */
  #print(): void {
    const { smmu } = this;
    const first = (this.#cons & ((1 << this.bits) - 1)) * WORDS;
    const word = (i: number) => smmu.kernel.machine.memory.load(this.pfn, first + i) >>> 0;
    const qword = (i: number) =>
      "0x" + [word(i + 1), word(i)].map((w) => w.toString(16).padStart(8, "0")).join("");
    const event = word(0) & 0xff, sid = word(1);
    smmu.err(`event 0x${event.toString(16).padStart(2, "0")} received:`);
    for (let i = 0; i < WORDS; i += 2) smmu.err(` ${qword(i)}`);
    const name = (Q.smmuFaultText(-(Q.SMMU_CODE | event)) ?? "Unknown").split(":");
    const ssid = (word(0) & Q.EVENT_SSV) !== 0 ? word(0) >>> Q.EVENT_SSID_SHIFT : 0;
    const short = (i: number) => "0x" + (word(i) + word(i + 1) * 4294967296).toString(16);
    smmu.err(
      `event: ${name[0]} client: ${formatSbdf(0, sid >> 8, sid & 0xff)} sid: 0x${
        sid.toString(16)
      } ` +
        `ssid: 0x${ssid.toString(16)} iova: ${short(4)} ipa: ${short(6)}`,
    );
    if (event < Q.F_WALK_EABT) return;
    const read = (word(3) & Q.EVENT_RNW_WORD3) !== 0;
    const stage = (word(3) & Q.EVENT_S2_WORD3) !== 0 ? "s2" : "s1";
    smmu.err(`event: unpriv data ${read ? "read" : "write"} ${stage} "${name[1]?.trim() ?? ""}"`);
  }
}
