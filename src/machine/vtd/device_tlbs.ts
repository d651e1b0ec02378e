import { VTD_FR_INTERRUPT_INPUT, VTD_FR_TRANSLATION_BLOCKED } from "../../uapi/vtd_regs.ts";
import * as pr from "../../uapi/vtd_page_requests.ts";
import * as fault from "../../uapi/vtd_sm_faults.ts";
import {
  ATS_NO_ACCESS,
  type AtsEndpoint,
  type PageRequest,
  type TranslationAgent,
} from "../ats.ts";
import { DMA_MASTER_ABORT } from "../dma_port.ts";
import { inInterruptRange } from "../interrupt_range.ts";
import type { FaultRecorder } from "./faults.ts";
import type { PageRequestQueue } from "./page_request_queue.ts";
import { Mode } from "./registers.ts";
import type { ScalableTranslator } from "./scalable.ts";
import {
  type PackedScalableContext,
  packScalableContext,
  scalableDte,
  scalableFpd,
  scalablePre,
  scalableReason,
} from "./scalable_context_cache.ts";

/** Reasons that a device is told as "no access" instead of being refused: it may ask for the page. */
const RECOVERABLE: ReadonlySet<number> = new Set([
  fault.VTD_FR_FL_NOT_PRESENT,
  fault.VTD_FR_SL_DENIED,
  fault.VTD_FR_SM_WRITE,
  fault.VTD_FR_SM_READ,
]);

/** What requests go by now. */
interface Translation {
  readonly mode: Mode;
  readonly root: number;
}

/**
 * A unit's side of ATS and PRI in scalable mode: translates for devices that remember what they are
 * told, lets their translated requests pass where the context entry has DTE, and takes their page
 * requests to the queue where it has PRE. What is in a PASID entry counts when a translation is asked
 * for, and no more when it is used: taking it away needs an invalidation that reaches the device.
 */
export class DeviceTlbs implements TranslationAgent {
  /** Devices by source id. */
  readonly endpoints = new Map<number, AtsEndpoint>();

  constructor(
    readonly now: Translation,
    readonly translator: ScalableTranslator,
    readonly faults: FaultRecorder,
    readonly requests: PageRequestQueue,
  ) {}

  translationRequest(sid: number, pasid: number, hi: number, lo: number, write: boolean): number {
    const refused = this.translated(sid, pasid, hi, lo, write);
    if (refused !== 0) return refused;
    if (inInterruptRange(hi, lo)) {
      return this.#fault(sid, pasid, hi, lo, write, VTD_FR_INTERRUPT_INPUT, false);
    }
    const pfn = this.translator.translate(this.now.root, sid, pasid, hi, lo, write);
    if (pfn >= 0) return pfn;
    if (RECOVERABLE.has(-pfn)) return ATS_NO_ACCESS;
    return this.#fault(sid, pasid, hi, lo, write, -pfn, this.translator.fpd);
  }

  translated(sid: number, pasid = -1, hi = 0, lo = 0, write = true): number {
    if (this.now.mode === Mode.off) return DMA_MASTER_ABORT;
    const context = this.#context(sid), reason = scalableReason(context);
    if (reason === 0 && scalableDte(context)) return 0;
    const why = reason === 0 ? fault.VTD_FR_SM_NO_DEVICE_TLB : reason;
    return this.#fault(sid, pasid, hi, lo, write, why, scalableFpd(context));
  }

  /**
   * A request that is not taken is answered by the unit itself, if it wants an answer: INVALID where
   * the tables do not let the device ask; SUCCESS where the queue had no room, so that it asks again.
   */
  pageRequest(request: PageRequest): void {
    const { sid, pasid, hi, lo, write, group, last } = request;
    const why = this.#refusal(sid);
    if (why === 0 && this.requests.push(request)) return;
    if (why > 0) this.#fault(sid, pasid, hi, lo, write, why, this.#quiet(sid));
    const code = why === 0 ? pr.QI_RESP_SUCCESS : pr.QI_RESP_INVALID;
    if (last) this.endpoints.get(sid)?.respond(pasid, group, code);
  }

  /** Why the device may not ask: a fault reason, or -1 where there is nothing to say; 0 when it may. */
  #refusal(sid: number): number {
    const { mode } = this.now;
    if (mode === Mode.off) return -1;
    if (mode === Mode.legacy) return fault.VTD_FR_SM_REQUEST_LEGACY;
    const context = this.#context(sid), reason = scalableReason(context);
    if (reason !== 0) return reason;
    return scalablePre(context) ? 0 : fault.VTD_FR_SM_NO_PAGE_REQUESTS;
  }

  #quiet(sid: number): boolean {
    return scalableFpd(this.#context(sid));
  }

  /** Its context entry; of the other modes, one that says why not. */
  #context(sid: number): PackedScalableContext {
    const { mode, root } = this.now;
    if (mode === Mode.scalable) return this.translator.contextOf(root, sid);
    const reason = mode === Mode.legacy ? VTD_FR_TRANSLATION_BLOCKED : fault.VTD_FR_SM_RTA_MODE;
    return packScalableContext(0, false, false, reason);
  }

  #fault(
    sid: number,
    pasid: number,
    hi: number,
    lo: number,
    write: boolean,
    reason: number,
    fpd: boolean,
  ): number {
    if (fpd) this.faults.suppress();
    else this.faults.record(sid, hi, lo, write, reason, pasid);
    return -reason;
  }
}
