import * as Q from "../../../uapi/amdvi_queues.ts";
import * as R from "../../../uapi/amdvi_regs.ts";
import { formatSbdf } from "../../../uapi/pci_regs.ts";
import { FrameUse } from "../../mm/frames.ts";
import { RateLimit } from "../ratelimit.ts";
import type { AmdIommu } from "./iommu.ts";

/** 512 records in two pages. */
const PAGES = 2, LENGTH_CODE = 9;
const BYTES = PAGES * 4096;

/** Name of each event, and what its record holds. */
const EVENTS: Record<number, { name: string; device?: true; domain?: true; flags?: true }> = {
  [Q.ILLEGAL_DEV_TABLE_ENTRY]: { name: "ILLEGAL_DEV_TABLE_ENTRY", device: true, flags: true },
  [Q.IO_PAGE_FAULT]: { name: "IO_PAGE_FAULT", device: true, domain: true, flags: true },
  [Q.DEV_TAB_HARDWARE_ERROR]: { name: "DEV_TAB_HARDWARE_ERROR", device: true, flags: true },
  [Q.PAGE_TAB_HARDWARE_ERROR]: {
    name: "PAGE_TAB_HARDWARE_ERROR",
    device: true,
    domain: true,
    flags: true,
  },
  [Q.ILLEGAL_COMMAND_ERROR]: { name: "ILLEGAL_COMMAND_ERROR" },
  [Q.COMMAND_HARDWARE_ERROR]: { name: "COMMAND_HARDWARE_ERROR", flags: true },
};

/** The driver's side of the event log. */
export class EventReader {
  #head = 0;
  readonly #limit: RateLimit;

  private constructor(readonly iommu: AmdIommu, readonly pfn: number) {
    const { queue, dmesg } = iommu.kernel;
    this.#limit = new RateLimit(queue, (n) => dmesg.warn(`AMD-Vi: ${n} events suppressed`));
  }

  static make(iommu: AmdIommu): EventReader | undefined {
    const pfn = iommu.kernel.pages.allocRange(PAGES, 1, FrameUse.kernel);
    return pfn < 0 ? undefined : new EventReader(iommu, pfn);
  }

  free(): void {
    this.iommu.kernel.pages.freeRange(this.pfn, PAGES);
  }

  /** Places the log; it must be off. */
  start(): void {
    this.#head = 0;
    const length = LENGTH_CODE << R.BUFFER_LENGTH_SHIFT_HI;
    this.iommu.write64(R.AMDVI_EVENT_BASE, this.pfn << 12, (this.pfn >>> 20) | length);
    this.iommu.write(R.AMDVI_EVENT_HEAD, 0);
    this.iommu.write(R.AMDVI_EVENT_TAIL, 0);
  }

  /** The interrupt: acknowledged first, so that a record that comes meanwhile raises it again. */
  interrupt(): void {
    const { iommu } = this;
    const status = iommu.read(R.AMDVI_STATUS);
    iommu.write(R.AMDVI_STATUS, status & (R.STATUS_EVENT_OVERFLOW | R.STATUS_EVENT_INT));
    for (;;) {
      const tail = iommu.read(R.AMDVI_EVENT_TAIL);
      if (tail === this.#head) break;
      if (this.#limit.allows()) this.#print();
      this.#head = (this.#head + 16) % BYTES;
      iommu.write(R.AMDVI_EVENT_HEAD, this.#head);
    }
    if ((status & R.STATUS_EVENT_OVERFLOW) !== 0) {
      iommu.kernel.dmesg.info("AMD-Vi: IOMMU Event log restarting");
      iommu.restartEventLog();
    }
  }

  #print(): void {
    const { memory } = this.iommu.kernel.machine;
    const { dmesg } = this.iommu.kernel;
    const pfn = this.pfn + (this.#head >>> 12), at = (this.#head & 0xfff) >>> 2;
    const [w0, w1, w2, w3] = [0, 1, 2, 3].map((i) => memory.load(pfn, at + i) >>> 0);
    const hex = (n: number, digits: number) => "0x" + n.toString(16).padStart(digits, "0");
    const code = w1 >>> Q.EVENT_CODE_SHIFT_WORD1;
    const event = EVENTS[code];
    const address = hex(w3, 0) === "0x0"
      ? hex(w2, 0)
      : hex(w3, 0) + w2.toString(16).padStart(8, "0");
    if (event === undefined) {
      const words = [w0, w1, w2, w3].map((w) => hex(w, 8)).join(" ");
      dmesg.err(`AMD-Vi: Event logged [UNKNOWN event ${words}]`);
      return;
    }
    const { name, device, domain, flags } = event;
    const sid = w0 & 0xffff;
    const parts = [
      name,
      device && `device=${formatSbdf(0, sid >> 8, sid & 0xff)}`,
      domain && `domain=${hex(w1 & 0xffff, 4)}`,
      `address=${address}`,
      flags && `flags=${hex((w1 >>> 16) & 0xfff, 4)}`,
    ];
    dmesg.err(`AMD-Vi: Event logged [${parts.filter((p) => p !== undefined).join(" ")}]`);
    if (code === Q.ILLEGAL_DEV_TABLE_ENTRY) this.iommu.dumpDte(sid);
  }
}
