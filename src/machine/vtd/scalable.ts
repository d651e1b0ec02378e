import { agawToLevels, VTD_FR_INTERRUPT_INPUT } from "../../uapi/vtd_regs.ts";
import { PGTT_FIRST_LEVEL, PGTT_NESTED, PGTT_PASS_THROUGH } from "../../uapi/vtd_scalable.ts";
import * as fault from "../../uapi/vtd_sm_faults.ts";
import { Route } from "../dma_port.ts";
import type { Memory } from "../memory.ts";
import { AccessMarker } from "./access_marker.ts";
import type { VtdCapability } from "./capability.ts";
import { contextWidth } from "./context_reader.ts";
import { FirstLevelWalker, isCanonical } from "./first_level_walker.ts";
import { isInterruptFrame } from "../interrupt_range.ts";
import type { Caches } from "./invalidator.ts";
import { ACCESS_WRITE_WALKS, IOTLB_DENIED, IOTLB_MISS } from "./iotlb.ts";
import { NestedWalker } from "./nested_walker.ts";
import {
  type PackedPasid,
  pasidDid,
  pasidFpd,
  pasidPgtt,
  pasidReason,
  pasidSize,
  pasidSlade,
  pasidUnder,
} from "./pasid_cache.ts";
import { PasidReader } from "./pasid_reader.ts";
import {
  type PackedScalableContext,
  scalableFpd,
  scalablePasidBits,
  scalablePaside,
  scalableReason,
} from "./scalable_context_cache.ts";
import { ScalableReader } from "./scalable_reader.ts";
import { denied, secondLevelReason } from "./second_level.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "./walker.ts";

/** A request without a PASID. */
export const NO_PASID = -1;

/**
 * Translation by scalable-mode tables: context entry, PASID entry, then first-level tables,
 * second-level tables, the one over the other, or nothing. Each of the three steps answers from its cache first.
 */
export class ScalableTranslator {
  /** Of the last request: FPD of an entry it went through, and how it reached memory. */
  fpd = false;
  route = Route.translated;
  /** Table walks made so far. */
  walks = 0;
  #contexts: ScalableReader;
  #pasids: PasidReader;
  #first: FirstLevelWalker;
  #second: Walker;
  /** Made by the first nested entry. */
  #nested: NestedWalker | undefined;
  #marker: AccessMarker;
  /** By AW: bits of an address's high word that second-level tables let through. */
  #highBits = new Int32Array(8);

  /** `remembersAbsence`: asked when something absent could be cached. */
  constructor(
    memory: Memory,
    readonly capability: VtdCapability,
    readonly caches: Caches,
    readonly remembersAbsence: () => boolean,
  ) {
    this.#contexts = new ScalableReader(memory, capability);
    this.#pasids = new PasidReader(memory, capability);
    this.#first = new FirstLevelWalker(memory, capability);
    this.#second = new Walker(memory, capability);
    this.#marker = new AccessMarker(memory);
    for (let aw = 1; aw <= 3; aw++) this.#highBits[aw] = contextWidth(aw, capability) - 32;
  }

  /**
   * One access inside one 4 KiB page. `root`: frame of the root table; `pasid`: 0..2^20 - 1 or
   * {@link NO_PASID}. Returns a frame number or `-reason`; recording it is left to the caller.
   */
  translate(
    root: number,
    sid: number,
    pasid: number,
    hi: number,
    lo: number,
    write: boolean,
  ): number {
    const { scalableContexts, pasids } = this.caches;
    const context = this.contextOf(root, sid);
    this.fpd = scalableFpd(context);
    const reason = scalableReason(context);
    if (reason !== 0) return -reason;
    const used = pasid === NO_PASID ? scalableContexts.ridPasid(sid) : pasid;
    if (pasid !== NO_PASID && !scalablePaside(context)) return -fault.VTD_FR_SM_PASID_DISABLED;
    if (used >>> pasidLimit(context, this.capability) !== 0) {
      return pasid === NO_PASID ? -fault.VTD_FR_SM_RID_PASID : -fault.VTD_FR_SM_PASID_TOO_LARGE;
    }
    let entry = pasids.lookup(sid, used);
    if (entry === 0) entry = this.#readPasid(sid, used);
    if (pasidFpd(entry)) this.fpd = true;
    const pgtt = pasidPgtt(entry);
    if (pgtt === 0) return -pasidReason(entry);
    if (pgtt === PGTT_PASS_THROUGH) return this.#pass(pasid, hi, lo);
    this.route = Route.translated;
    const pfn = pgtt === PGTT_FIRST_LEVEL || pgtt === PGTT_NESTED
      ? this.#firstLevel(sid, used, entry, hi, lo, write)
      : this.#secondLevel(sid, used, entry, hi, lo, write);
    return isInterruptFrame(pfn) ? -VTD_FR_INTERRUPT_INPUT : pfn;
  }

  /** The context entry of a source id, from the cache or from the tables. */
  contextOf(root: number, sid: number): PackedScalableContext {
    const context = this.caches.scalableContexts.lookup(sid);
    return context === 0 ? this.#readContext(root, sid) : context;
  }

  #readContext(root: number, sid: number): PackedScalableContext {
    const context = this.#contexts.read(root, sid);
    const reason = scalableReason(context);
    const unread = reason === fault.VTD_FR_SM_ROOT_TABLE ||
      reason === fault.VTD_FR_SM_CONTEXT_TABLE;
    if (reason === 0 || (!unread && this.remembersAbsence())) {
      const { directory, ridPasid } = this.#contexts;
      this.caches.scalableContexts.fill(sid, context, directory, ridPasid);
    }
    return context;
  }

  #readPasid(sid: number, pasid: number): PackedPasid {
    const { scalableContexts, pasids } = this.caches;
    const entry = this.#pasids.read(scalableContexts.directory(sid), pasid);
    const reason = pasidReason(entry);
    const unread = reason === fault.VTD_FR_SM_DIRECTORY || reason === fault.VTD_FR_SM_PASID_TABLE;
    if (reason === 0 || (!unread && this.remembersAbsence())) {
      pasids.fill(sid, pasid, entry, this.#pasids.top, this.#pasids.under);
    }
    return entry;
  }

  /** With a PASID the interrupt range is no exception on the way in, and so has to be one here. */
  #pass(pasid: number, hi: number, lo: number): number {
    if ((hi >>> (this.capability.hostWidth - 32)) !== 0) return -fault.VTD_FR_SM_BEYOND_HARDWARE;
    const pfn = (hi << 20) | (lo >>> 12);
    if (pasid !== NO_PASID && isInterruptFrame(pfn)) return -VTD_FR_INTERRUPT_INPUT;
    this.route = Route.passthrough;
    return pfn;
  }

  #firstLevel(
    sid: number,
    pasid: number,
    entry: PackedPasid,
    hi: number,
    lo: number,
    write: boolean,
  ): number {
    const levels = pasidSize(entry), did = pasidDid(entry);
    if (!isCanonical(hi, levels)) return -fault.VTD_FR_FL_NOT_CANONICAL;
    const { iotlb, pasids } = this.caches;
    const cached = iotlb.lookupPasid(hi, lo, did, pasid, write ? ACCESS_WRITE : ACCESS_READ);
    if (cached === IOTLB_DENIED) {
      return iotlb.granted === 0 ? -fault.VTD_FR_FL_NOT_PRESENT : denied(iotlb.granted, write);
    }
    if (cached !== IOTLB_MISS) return cached;
    this.walks++;
    if (pasidPgtt(entry) === PGTT_NESTED) return this.#walkNested(sid, pasid, entry, hi, lo, write);
    const walker = this.#first, top = pasids.top(sid, pasid);
    const pfn = walker.walk(top, levels, hi, lo, write);
    if (pfn >= 0) {
      const dirty = this.#marker.first(top, levels, walker.level, hi, lo, write);
      const permission = dirty ? walker.permission : undirtied(walker.permission);
      iotlb.fillPasid(hi, lo, did, pasid, pfn, walker.level, permission);
    } else if (pfn === -fault.VTD_FR_FL_NOT_PRESENT && this.remembersAbsence()) {
      iotlb.fillPasid(hi, lo, did, pasid, 0, 1, 0);
    }
    return pfn;
  }

  /** Both levels at once; cached as one translation, under DID and PASID as a first-level one. */
  #walkNested(
    sid: number,
    pasid: number,
    entry: PackedPasid,
    hi: number,
    lo: number,
    write: boolean,
  ): number {
    const { iotlb, pasids } = this.caches;
    const walker = this.#nested ??= new NestedWalker(this.#marker.memory, this.capability);
    const did = pasidDid(entry);
    const top = pasids.top(sid, pasid), under = pasids.under(sid, pasid);
    const pfn = walker.walk(top, pasidSize(entry), under, pasidUnder(entry), hi, lo, write);
    if (pfn < 0) {
      if (pfn === -fault.VTD_FR_FL_NOT_PRESENT && this.remembersAbsence()) {
        iotlb.fillPasid(hi, lo, did, pasid, 0, 1, 0);
      }
      return pfn;
    }
    const refused = walker.refusal(hi, lo, write);
    if (refused !== 0) return refused;
    const dirty = walker.mark(hi, lo, write, pasidSlade(entry));
    const permission = dirty ? walker.permission : undirtied(walker.permission);
    iotlb.fillPasid(hi, lo, did, pasid, pfn, walker.level, permission);
    return pfn;
  }

  #secondLevel(
    sid: number,
    pasid: number,
    entry: PackedPasid,
    hi: number,
    lo: number,
    write: boolean,
  ): number {
    const aw = pasidSize(entry), did = pasidDid(entry);
    if ((hi >>> this.#highBits[aw]) !== 0) return -fault.VTD_FR_SL_BEYOND_WIDTH;
    const { iotlb, pasids } = this.caches;
    const need = write ? ACCESS_WRITE : ACCESS_READ;
    const cached = iotlb.lookup(hi, lo, did, need);
    if (cached === IOTLB_DENIED) return denied(iotlb.granted, write);
    if (cached !== IOTLB_MISS) return cached;
    this.walks++;
    const walker = this.#second, top = pasids.top(sid, pasid), levels = agawToLevels(aw);
    const pfn = walker.walk(top, levels, hi, lo, need);
    if (pfn < 0) {
      const reason = secondLevelReason(pfn, walker, levels, write);
      if (reason === -fault.VTD_FR_SL_DENIED && this.remembersAbsence()) {
        iotlb.fill(hi, lo, did, 0, 1, 0);
      }
      return reason;
    }
    let permission = walker.permission;
    if (pasidSlade(entry) && !this.#marker.second(top, levels, walker.level, hi, lo, write)) {
      permission = undirtied(permission);
    }
    iotlb.fill(hi, lo, did, pfn, walker.level, permission);
    return pfn;
  }
}

/** Bits of the PASIDs that may be used with this context entry. */
export function pasidLimit(context: PackedScalableContext, capability: VtdCapability): number {
  const directory = scalablePasidBits(context);
  return capability.pasidBits === 0 ? directory : Math.min(directory, capability.pasidBits);
}

/** A right to write, cached before D is set. */
function undirtied(permission: number): number {
  if ((permission & ACCESS_WRITE) === 0) return permission;
  return (permission & ~ACCESS_WRITE) | ACCESS_WRITE_WALKS;
}
