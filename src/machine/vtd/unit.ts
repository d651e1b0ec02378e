import type { Chooser } from "../../base/choice.ts";
import type { EventHash } from "../../base/event_log.ts";
import type { EventQueue } from "../../base/event_queue.ts";
import {
  agawToLevels,
  CONTEXT_TT_PASS_THROUGH,
  VTD_FR_BEYOND_AGAW,
  VTD_FR_CONTEXT_TABLE,
  VTD_FR_INTERRUPT_INPUT,
  VTD_FR_INTERRUPT_OUTPUT,
  VTD_FR_READ,
  VTD_FR_ROOT_TABLE,
  VTD_FR_WRITE,
} from "../../uapi/vtd_regs.ts";
import { VTD_FR_SM_RTA_LEGACY, VTD_FR_SM_RTA_MODE } from "../../uapi/vtd_sm_faults.ts";
import type { Mmio } from "../bus.ts";
import { DMA_MASTER_ABORT, type Remapper, Route } from "../dma_port.ts";
import type { Memory } from "../memory.ts";
import { REGISTER_BYTES, type VtdCapability } from "./capability.ts";
import {
  contextAw,
  ContextCache,
  contextDid,
  contextFpd,
  contextReason,
  contextTt,
  type PackedContext,
} from "./context_cache.ts";
import { ContextReader, contextWidth } from "./context_reader.ts";
import { DescriptorExecutor } from "./descriptors.ts";
import { DeviceTlbs } from "./device_tlbs.ts";
import { FaultRecorder } from "./faults.ts";
import { DMA_INTERRUPT, inInterruptRange, isInterruptFrame } from "../interrupt_range.ts";
import { ContextCommand, IotlbCommand } from "./invalidation.ts";
import { Invalidator } from "./invalidator.ts";
import { Iotlb, IOTLB_DENIED, IOTLB_MISS } from "./iotlb.ts";
import { PageRequestQueue } from "./page_request_queue.ts";
import { PagingCache } from "./paging_cache.ts";
import { PasidCache } from "./pasid_cache.ts";
import { InvalidationQueue } from "./queue.ts";
import { Mode, Registers } from "./registers.ts";
import { NO_PASID, ScalableTranslator } from "./scalable.ts";
import { ScalableContextCache } from "./scalable_context_cache.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "./walker.ts";

export interface VtdOptions {
  /** `dmar0`. */
  name: string;
  /** Physical byte address of the register window. */
  regBase: number;
  memory: Memory;
  queue: EventQueue;
  hash: EventHash;
  chooser: Chooser;
  capability: VtdCapability;
  /** Entries of the IOTLB: a power of two up to 65536; 1024 unless said. */
  iotlbEntries?: number;
  /** Entries of the PASID cache: a power of two; 1024 unless said. */
  pasidEntries?: number;
}

/**
 * An Intel VT-d remapping unit in legacy or scalable mode. It knows what its registers say, what lies in
 * memory, and what it has cached of it; a kexec changes none of the three.
 */
export class VtdUnit implements Remapper, Mmio {
  readonly name: string;
  readonly regBase: number;
  readonly regSize = REGISTER_BYTES;
  readonly memory: Memory;
  readonly capability: VtdCapability;
  readonly contextCache = new ContextCache();
  /** Scalable mode's own caches; empty, and never asked, in legacy mode. */
  readonly scalableContextCache = new ScalableContextCache();
  readonly pasidCache: PasidCache;
  readonly iotlb: Iotlb;
  /** Legacy mode's too: walks of scalable mode begin at the top. */
  readonly pagingCache = new PagingCache();
  readonly faults: FaultRecorder;
  route = Route.translated;
  /** Called for each fault interrupt that FECTL lets out. */
  onFault: (() => void) | undefined;
  /** Called for each interrupt that a WAIT of the invalidation queue sends. */
  onQueueInterrupt: (() => void) | undefined;
  /** Called for each page request interrupt that PECTL lets out. */
  onPageRequest: (() => void) | undefined;
  /** The invalidation queue, where the unit has one. */
  readonly invalidationQueue: InvalidationQueue | undefined;
  /** The queue for page requests, and what devices with caches of their own go by. */
  readonly pageRequests: PageRequestQueue | undefined;
  readonly deviceTlbs: DeviceTlbs | undefined;
  #walks = 0;
  /** Of legacy mode alone; see {@link Remapper.stands}. */
  stands = -1;
  /** Counted up when a register is written, and when a translation may push out another. */
  #changes = 0;
  #registers: Registers;
  #queue: EventQueue;
  #hash: EventHash;
  #chooser: Chooser;
  #context: ContextReader;
  #walker: Walker;
  #scalable: ScalableTranslator;
  /** By AW: bits of an address's high word that the context lets through. */
  #highBits: Int32Array;

  constructor(options: VtdOptions) {
    const { memory, queue, hash, capability } = options;
    this.name = options.name;
    this.regBase = options.regBase;
    this.memory = memory;
    this.capability = capability;
    this.iotlb = new Iotlb(options.iotlbEntries ?? 1024);
    this.faults = new FaultRecorder(capability.faultRecords, queue, hash, () => this.onFault?.());
    this.pasidCache = new PasidCache(capability.scalable ? options.pasidEntries ?? 1024 : 1);
    const caches = {
      contexts: this.contextCache,
      scalableContexts: this.scalableContextCache,
      pasids: this.pasidCache,
      iotlb: this.iotlb,
      paging: this.pagingCache,
    };
    const invalidator = new Invalidator(caches, capability);
    if (capability.scalable && capability.pageRequests) {
      const interrupt = () => this.onPageRequest?.();
      this.pageRequests = new PageRequestQueue(memory, queue, hash, interrupt);
    }
    this.invalidationQueue = this.#makeQueue(invalidator);
    this.#registers = new Registers(
      capability,
      new ContextCommand(invalidator),
      new IotlbCommand(invalidator),
      this.faults,
      this.invalidationQueue,
      this.pageRequests,
    );
    this.#scalable = new ScalableTranslator(
      memory,
      capability,
      caches,
      () => this.#remembersAbsence(),
    );
    if (this.pageRequests !== undefined) {
      this.deviceTlbs = new DeviceTlbs(
        this.#registers,
        this.#scalable,
        this.faults,
        this.pageRequests,
      );
    }
    this.#queue = queue;
    this.#hash = hash;
    this.#chooser = options.chooser;
    this.#context = new ContextReader(memory, capability);
    this.#walker = new Walker(memory, capability);
    this.#highBits = new Int32Array(8);
    for (let aw = 1; aw <= 3; aw++) this.#highBits[aw] = contextWidth(aw, capability) - 32;
  }

  #makeQueue(invalidator: Invalidator): InvalidationQueue | undefined {
    const { queuedInvalidation, scalable } = this.capability;
    if (!queuedInvalidation) return undefined;
    const executor: DescriptorExecutor = new DescriptorExecutor(
      this.memory,
      invalidator,
      scalable,
      () => queue.complete(),
      this.pageRequests === undefined ? undefined : (sid) => this.deviceTlbs?.endpoints.get(sid),
    );
    const interrupt = () => this.onQueueInterrupt?.();
    const queue = new InvalidationQueue(this.memory, executor, this.faults, scalable, interrupt);
    return queue;
  }

  /** Table walks made so far. */
  get walks(): number {
    return this.#walks + this.#scalable.walks;
  }

  /** What becomes of a request now, by TE and the table mode that SRTP latched. */
  get mode(): Mode {
    return this.#registers.mode;
  }

  /** GSTS.TES: requests go through tables. */
  get translationEnabled(): boolean {
    return this.#registers.mode !== Mode.off;
  }

  /** Frame of the root table in force, as latched; -1 when it lies beyond 8 TiB. */
  get rootPfn(): number {
    return this.#registers.root;
  }

  read32(offset: number): number {
    return this.#registers.read32(offset) >>> 0;
  }

  write32(offset: number, value: number): void {
    this.#registers.write32(offset, value | 0);
    this.stands = this.#registers.legacy ? ++this.#changes : -1;
    // Read back, a command register says what the command did.
    this.#hash.mixAt(this.#queue.now, this.regBase | 0);
    this.#hash.mix(offset, value, this.#registers.read32(offset));
  }

  /**
   * Translates one access inside one 4 KiB page: a frame number, `-reason` with the fault
   * recorded (unless FPD is set), DMA_INTERRUPT, or DMA_MASTER_ABORT for an address that was
   * passed on and cannot be memory.
   */
  translate(sid: number, hi: number, lo: number, write: boolean): number {
    if (inInterruptRange(hi, lo)) {
      if (write) return DMA_INTERRUPT;
      if (this.#registers.mode !== Mode.off) {
        return this.#fault(sid, hi, lo, write, VTD_FR_INTERRUPT_INPUT, false);
      }
    }
    if (!this.#registers.legacy) {
      return this.#byOtherMode(sid, NO_PASID, hi, lo, write);
    }
    let context = this.contextCache.lookup(sid);
    if (context === 0) context = this.#readContext(sid);
    const reason = contextReason(context);
    if (reason !== 0) return this.#fault(sid, hi, lo, write, reason, contextFpd(context));
    if ((hi >>> this.#highBits[contextAw(context)]) !== 0) {
      return this.#fault(sid, hi, lo, write, VTD_FR_BEYOND_AGAW, contextFpd(context));
    }
    if (contextTt(context) === CONTEXT_TT_PASS_THROUGH) {
      this.route = Route.passthrough;
      return frameOf(hi, lo);
    }
    const need = write ? ACCESS_WRITE : ACCESS_READ;
    let pfn = this.iotlb.hit(hi, lo, contextDid(context), need);
    if (pfn === IOTLB_MISS) pfn = this.#look(sid, context, hi, lo, write);
    if (pfn >= 0 && isInterruptFrame(pfn)) pfn = -VTD_FR_INTERRUPT_OUTPUT;
    if (pfn < 0) return this.#fault(sid, hi, lo, write, -pfn, contextFpd(context));
    this.route = Route.translated;
    return pfn;
  }

  /**
   * The same for a request with a PASID (0..2^20 - 1). It is never an interrupt: its addresses
   * are translated whatever they are, and only what they lead to may not be the interrupt range.
   * With translation off nobody could say what its address means: it is aborted.
   */
  translatePasid(sid: number, pasid: number, hi: number, lo: number, write: boolean): number {
    const { mode } = this.#registers;
    if (mode === Mode.off) return DMA_MASTER_ABORT;
    if (mode === Mode.legacy) {
      return this.#fault(sid, hi, lo, write, VTD_FR_SM_RTA_LEGACY, false, pasid);
    }
    return this.#byOtherMode(sid, pasid, hi, lo, write);
  }

  /** Off, scalable or unknown. */
  #byOtherMode(sid: number, pasid: number, hi: number, lo: number, write: boolean): number {
    const { mode, root } = this.#registers;
    if (mode === Mode.off) {
      this.route = Route.untranslated;
      return frameOf(hi, lo);
    }
    if (mode === Mode.unknown) {
      return this.#fault(sid, hi, lo, write, VTD_FR_SM_RTA_MODE, false, pasid);
    }
    const scalable = this.#scalable;
    const pfn = scalable.translate(root, sid, pasid, hi, lo, write);
    if (pfn < 0) return this.#fault(sid, hi, lo, write, -pfn, scalable.fpd, pasid);
    this.route = scalable.route;
    return pfn;
  }

  #readContext(sid: number): PackedContext {
    const context = this.#context.read(this.#registers.root, sid);
    const reason = contextReason(context);
    // A table that could not be read at all leaves nothing to remember.
    const judged = reason !== VTD_FR_ROOT_TABLE && reason !== VTD_FR_CONTEXT_TABLE;
    if (reason === 0 || (judged && this.#remembersAbsence())) {
      this.contextCache.fill(sid, context, this.#context.asr);
    }
    return context;
  }

  /** What {@link Iotlb.hit} has not found: in the whole IOTLB, then in the tables. */
  #look(sid: number, context: PackedContext, hi: number, lo: number, write: boolean): number {
    const need = write ? ACCESS_WRITE : ACCESS_READ;
    const pfn = this.iotlb.lookup(hi, lo, contextDid(context), need);
    if (pfn === IOTLB_MISS) return this.#walk(sid, context, hi, lo, write);
    return pfn === IOTLB_DENIED ? (write ? -VTD_FR_WRITE : -VTD_FR_READ) : pfn;
  }

  #walk(sid: number, context: PackedContext, hi: number, lo: number, write: boolean): number {
    const walker = this.#walker, did = contextDid(context), { pagingCache } = this;
    const need = write ? ACCESS_WRITE : ACCESS_READ;
    this.#walks++;
    this.stands = ++this.#changes;
    const at = pagingCache.find(hi, lo, did);
    const asr = this.contextCache.asr(sid), levels = agawToLevels(contextAw(context));
    const table = at >= 0 ? pagingCache.table(at) : walker.findLast(asr, levels, hi, lo, need);
    const above = at >= 0 ? pagingCache.permission(at) : walker.above;
    const pfn = table >= 0
      ? walker.walkLast(table, above, lo, need)
      : walker.walk(asr, levels, hi, lo, need);
    if (pfn >= 0) {
      this.iotlb.fill(hi, lo, did, pfn, walker.level, walker.permission);
      if (at < 0 && table >= 0) pagingCache.fill(hi, lo, did, table, above);
    } else if (isAbsent(pfn, walker.permission) && this.#remembersAbsence()) {
      this.iotlb.fill(hi, lo, did, 0, 1, 0);
    }
    return pfn;
  }

  /**
   * In caching mode hardware may remember that something was absent: context entries under DID 0,
   * pages under their domain (FACTS 3.4). Whether it does is open; 0 = it does, which is what
   * software has to reckon with.
   */
  #remembersAbsence(): boolean {
    return this.capability.cachingMode && this.#chooser.pick("vtd:forget-absence", 1) === 0;
  }

  #fault(
    sid: number,
    hi: number,
    lo: number,
    write: boolean,
    reason: number,
    fpd: boolean,
    pasid = NO_PASID,
  ): number {
    if (fpd) this.faults.suppress();
    else this.faults.record(sid, hi, lo, write, reason, pasid);
    return -reason;
  }
}

/** An address that is passed on as it stands. */
function frameOf(hi: number, lo: number): number {
  return (hi >>> 0) < 0x800 ? (hi << 20) | (lo >>> 12) : DMA_MASTER_ABORT;
}

function isAbsent(code: number, permission: number): boolean {
  return permission === 0 && (code === -VTD_FR_WRITE || code === -VTD_FR_READ);
}
