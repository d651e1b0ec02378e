import { second } from "../../../base/units.ts";
import { formatBdf } from "../../../uapi/pci_regs.ts";
import * as V from "../../../uapi/vtd_regs.ts";
import { DMA_FRCD_PASID_SHIFT_WORD3, DMA_FRCD_PP_WORD2 } from "../../../uapi/vtd_scalable.ts";
import type { IntelUnit } from "./unit.ts";

/** At most so many lines in so long: a device that faults on every packet must not flood the log. */
const BURST = 10;
const INTERVAL = 5 * second;

interface Limit {
  start: number;
  printed: number;
  suppressed: number;
}
const limits = new WeakMap<IntelUnit, Limit>();

/** The fault interrupt: reads, prints and clears every record (FACTS 3.5). */
export function reportFaults(unit: IntelUnit): void {
  const { fro, count } = { fro: unit.cap.faultRecordOffset * 16, count: unit.cap.faultRecords };
  for (let i = 0; i < count; i++) {
    const at = fro + i * V.DMAR_FRCD_SIZE;
    const word3 = unit.read(at + 12);
    if ((word3 & V.DMA_FRCD_F_WORD3) === 0) continue;
    const sid = unit.read(at + 8) & V.DMA_FRCD_SID_MASK_WORD2;
    const address = ((unit.read(at) & ~0xfff) >>> 0) + unit.read(at + 4) * 4294967296;
    const pasid = (unit.read(at + 8) & DMA_FRCD_PP_WORD2) === 0
      ? "NO_PASID"
      : `PASID 0x${(word3 >>> DMA_FRCD_PASID_SHIFT_WORD3 & 0xfffff).toString(16)}`;
    const kind = `DMA ${(word3 & V.DMA_FRCD_T_WORD3) !== 0 ? "Read" : "Write"} ${pasid}`;
    print(unit, sid, kind, address, word3 & 0xff);
    unit.write(at + 12, V.DMA_FRCD_F_WORD3 >>> 0);
  }
  unit.write(V.DMAR_FSTS_REG, V.DMA_FSTS_PFO);
}

function print(unit: IntelUnit, sid: number, kind: string, address: number, reason: number): void {
  const { dmesg, queue } = unit.kernel;
  let limit = limits.get(unit);
  if (limit === undefined || queue.now - limit.start >= INTERVAL) {
    if (limit && limit.suppressed > 0) {
      dmesg.warn(`DMAR: ${limit.suppressed} fault lines suppressed`);
    }
    limits.set(unit, limit = { start: queue.now, printed: 0, suppressed: 0 });
  }
  if (limit.printed >= BURST) {
    limit.suppressed++;
    return;
  }
  limit.printed++;
  const code = reason.toString(16).padStart(2, "0");
  dmesg.err(
    `DMAR: [${kind}] Request device ` +
      `[${formatBdf(sid >> 8, sid & 0xff)}] fault addr 0x${address.toString(16)} ` +
      `[fault reason 0x${code}] ${V.faultReasonText(reason)}`,
  );
}
