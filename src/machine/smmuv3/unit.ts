import type { EventHash } from "../../base/event_log.ts";
import type { EventQueue } from "../../base/event_queue.ts";
import { SMMU_REGISTER_BYTES } from "../../uapi/smmuv3_regs.ts";
import {
  C_BAD_STREAMID,
  C_BAD_SUBSTREAMID,
  EVENT_CLASS_IN_WORD3,
  EVENT_CLASS_TTD_WORD3,
  EVENT_RNW_WORD3,
  EVENT_S2_WORD3,
  F_ADDR_SIZE,
  F_CD_FETCH,
  F_PERMISSION,
  F_STE_FETCH,
  F_STREAM_DISABLED,
  F_TRANSLATION,
  F_WALK_EABT,
  SMMU_CODE,
  SMMU_GLOBAL_ABORT,
  SMMU_STE_ABORT,
} from "../../uapi/smmuv3_queues.ts";
import { STE_S1DSS_BYPASS, STE_S1DSS_SSID0 } from "../../uapi/smmuv3_tables.ts";
import type { Mmio } from "../bus.ts";
import { DMA_MASTER_ABORT, type Remapper, Route } from "../dma_port.ts";
import type { Memory } from "../memory.ts";
import type { SmmuCapability } from "./capability.ts";
import { CdReader } from "./cd_reader.ts";
import { CommandQueue } from "./command_queue.ts";
import { Commands } from "./commands.ts";
import { ConfigCache } from "./config_cache.ts";
import { EventRecorder } from "./event_recorder.ts";
import { exceeds } from "./geometry.ts";
import { GlobalErrors } from "./global_errors.ts";
import { Kind, Regime } from "./regime.ts";
import { Registers } from "./registers.ts";
import { SteReader } from "./ste_reader.ts";
import { StreamTable } from "./stream_table.ts";
import { Tlb } from "./tlb.ts";
import { Translator } from "./translator.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "./walker.ts";

export interface SmmuOptions {
  /** `smmu0`. */
  name: string;
  /** Physical byte address of the register pages. */
  regBase: number;
  memory: Memory;
  queue: EventQueue;
  hash: EventHash;
  capability: SmmuCapability;
  /** Entries of the TLB: a power of two up to 65536; 1024 unless said. */
  tlbEntries?: number;
}

/**
 * An Arm SMMUv3: stage 1 or stage 2, non-secure, 4 KiB granule. It knows what its registers say,
 * what lies in memory, and what it has cached of it; a kexec changes none of the three. A
 * device's StreamID is its source id.
 */
export class SmmuUnit implements Remapper, Mmio {
  readonly name: string;
  readonly regBase: number;
  readonly regSize = SMMU_REGISTER_BYTES;
  readonly memory: Memory;
  readonly capability: SmmuCapability;
  /** Cached stream table entries, and context descriptors. */
  readonly streamCache: ConfigCache;
  readonly contextCache: ConfigCache;
  readonly tlb: Tlb;
  readonly events: EventRecorder;
  readonly errors: GlobalErrors;
  readonly commands: CommandQueue;
  readonly streams: StreamTable;
  route = Route.translated;
  /** Called for each event-queue, global-error and SYNC interrupt that is let out. */
  onEvent: (() => void) | undefined;
  onError: (() => void) | undefined;
  onSync: (() => void) | undefined;
  #registers: Registers;
  #queue: EventQueue;
  #hash: EventHash;
  #steReader: SteReader;
  #cdReader: CdReader;
  #translator: Translator;
  #walker: Walker;
  #stream = new Regime();
  #context = new Regime();

  constructor(options: SmmuOptions) {
    const { memory, queue, hash, capability } = options;
    this.name = options.name;
    this.regBase = options.regBase;
    this.memory = memory;
    this.capability = capability;
    this.streamCache = new ConfigCache(capability.streamBits, 0);
    this.contextCache = new ConfigCache(capability.streamBits, capability.substreamBits);
    this.tlb = new Tlb(options.tlbEntries ?? 1024);
    this.errors = new GlobalErrors(() => this.onError?.());
    const interrupt = () => this.onEvent?.();
    const bits = capability.eventQueueBits;
    this.events = new EventRecorder(bits, memory, queue, hash, this.errors, interrupt);
    const commands = new Commands(
      this.streamCache,
      this.contextCache,
      this.tlb,
      capability,
      () => this.onSync?.(),
    );
    this.commands = new CommandQueue(capability.commandQueueBits, memory, commands, this.errors);
    this.streams = new StreamTable(memory, capability);
    this.#registers = new Registers(
      capability,
      this.streams,
      this.commands,
      this.events,
      this.errors,
    );
    this.#queue = queue;
    this.#hash = hash;
    this.#steReader = new SteReader(memory, capability);
    this.#cdReader = new CdReader(memory, capability);
    this.#walker = new Walker(memory);
    this.#translator = new Translator(this.tlb, this.#walker, capability.bbml);
  }

  /** CR0.SMMUEN: requests go through the stream table. */
  get translationEnabled(): boolean {
    return this.#registers.enabled;
  }

  /** GBPA.ABORT: what becomes of requests while {@link translationEnabled} is false. */
  get abortsWhenDisabled(): boolean {
    return this.#registers.aborts;
  }

  /** Table walks made for misses of the TLB so far. */
  get walks(): number {
    return this.#translator.walks;
  }

  read32(offset: number): number {
    return this.#registers.read32(offset) >>> 0;
  }

  write32(offset: number, value: number): void {
    this.#registers.write32(offset, value | 0);
    // CMDQ_CONS says what a write of CMDQ_PROD did.
    this.#hash.mixAt(this.#queue.now, this.regBase | 0);
    this.#hash.mix(offset, value, this.#registers.read32(offset) ^ this.commands.cons);
  }

  /**
   * Translates one access inside one 4 KiB page: a frame number, a code of smmuv3_queues.ts
   * (`-(0x100 | event)`), or DMA_MASTER_ABORT for an address that was passed on and cannot be
   * memory.
   */
  translate(sid: number, hi: number, lo: number, write: boolean): number {
    return this.translateSubstream(sid, -1, hi, lo, write);
  }

  /** The same for a request with a SubstreamID; -1 = without. */
  translateSubstream(sid: number, ssid: number, hi: number, lo: number, write: boolean): number {
    if (!this.#registers.enabled) {
      if (this.#registers.aborts) return -(SMMU_CODE | SMMU_GLOBAL_ABORT);
      this.route = Route.untranslated;
      return frameOf(hi, lo);
    }
    const stream = this.#stream;
    if (!this.streamCache.load(sid, 0, stream)) {
      const event = this.#readStream(sid, ssid);
      if (event !== 0) return -(SMMU_CODE | event);
    }
    switch (stream.kind) {
      case Kind.contexts:
        return this.#byContext(sid, ssid, hi, lo, write);
      case Kind.stage2:
        if (exceeds(this.capability.outputBits, hi, lo)) {
          return this.#addressFault(F_ADDR_SIZE, stream, 0, sid, ssid, hi, lo, write);
        }
        return this.#byTables(stream, EVENT_S2_WORD3, sid, ssid, hi, lo, write);
      case Kind.bypass:
        return this.#bypass(sid, ssid, hi, lo, write);
      case Kind.abort:
        return -(SMMU_CODE | SMMU_STE_ABORT);
      default:
        return this.#configFault(stream.event, sid, ssid);
    }
  }

  /** Stage 1: which context descriptor, and its tables. */
  #byContext(sid: number, ssid: number, hi: number, lo: number, write: boolean): number {
    const stream = this.#stream, context = this.#context;
    const dss = stream.withoutSubstream;
    let index = ssid;
    if (ssid < 0) {
      if (stream.contextBits !== 0 && dss !== STE_S1DSS_SSID0) {
        if (dss === STE_S1DSS_BYPASS) return this.#bypass(sid, ssid, hi, lo, write);
        return this.#configFault(F_STREAM_DISABLED, sid, ssid);
      }
      index = 0;
    } else if (
      stream.contextBits === 0 || ssid >>> stream.contextBits !== 0 ||
      (ssid === 0 && dss === STE_S1DSS_SSID0)
    ) {
      return this.#configFault(C_BAD_SUBSTREAMID, sid, ssid);
    }
    if (!this.contextCache.load(sid, index, context)) {
      if (this.#cdReader.read(stream, index, context) !== 0) {
        const { pfn, word } = this.#cdReader;
        this.events.record(F_CD_FETCH, sid, ssid, 0, 0, 0, pfn >>> 20, (pfn << 12) | (word << 2));
        return -(SMMU_CODE | F_CD_FETCH);
      }
      this.contextCache.store(sid, index, context);
    }
    if (context.kind === Kind.fault) return this.#configFault(context.event, sid, ssid);
    return this.#byTables(context, 0, sid, ssid, hi, lo, write);
  }

  #byTables(
    regime: Regime,
    stage: number,
    sid: number,
    ssid: number,
    hi: number,
    lo: number,
    write: boolean,
  ): number {
    if (exceeds(regime.inputBits, hi, lo)) {
      return this.#addressFault(F_TRANSLATION, regime, stage, sid, ssid, hi, lo, write);
    }
    const pfn = this.#translator.translate(regime, hi, lo, write ? ACCESS_WRITE : ACCESS_READ);
    if (pfn < 0) return this.#addressFault(-pfn, regime, stage, sid, ssid, hi, lo, write);
    this.route = Route.translated;
    return pfn;
  }

  #bypass(sid: number, ssid: number, hi: number, lo: number, write: boolean): number {
    if (exceeds(this.capability.outputBits, hi, lo)) {
      return this.#addressFault(F_ADDR_SIZE, undefined, 0, sid, ssid, hi, lo, write);
    }
    this.route = Route.passthrough;
    return frameOf(hi, lo);
  }

  /** Fills {@link #stream} from memory, or records why not: 0, or the event. */
  #readStream(sid: number, ssid: number): number {
    const event = this.streams.find(sid);
    if (event === 0) {
      this.#steReader.read(this.streams.pfn, this.streams.word, this.#stream);
      this.streamCache.store(sid, 0, this.#stream);
    } else if (event === F_STE_FETCH) {
      const { pfn, word } = this.streams;
      this.events.record(event, sid, ssid, 0, 0, 0, pfn >>> 20, (pfn << 12) | (word << 2));
    } else if (this.#registers.recordsBadStream) {
      this.#configFault(C_BAD_STREAMID, sid, ssid);
    } else {
      this.events.suppress();
    }
    return event;
  }

  /** A fault of the configuration; its record holds nothing but the ids. */
  #configFault(event: number, sid: number, ssid: number): number {
    this.events.record(event, sid, ssid, 0, 0, 0, 0, 0);
    return -(SMMU_CODE | event);
  }

  /** A fault of the address. The tables' own four are recorded only if the regime says so. */
  #addressFault(
    event: number,
    regime: Regime | undefined,
    stage: number,
    sid: number,
    ssid: number,
    hi: number,
    lo: number,
    write: boolean,
  ): number {
    const flags = stage | (write ? 0 : EVENT_RNW_WORD3);
    if (event === F_WALK_EABT) {
      const { pfn, word } = this.#walker;
      const low = (pfn << 12) | (word << 2);
      this.events.record(event, sid, ssid, flags | EVENT_CLASS_TTD_WORD3, hi, lo, pfn >>> 20, low);
    } else if (
      regime !== undefined && !regime.records && event >= F_TRANSLATION && event <= F_PERMISSION
    ) {
      this.events.suppress();
    } else {
      // IPA, of stage 2 only: bits 12-51 of the input address.
      const ipaHi = stage === 0 ? 0 : hi & 0xfffff, ipaLo = stage === 0 ? 0 : lo & ~0xfff;
      this.events.record(event, sid, ssid, flags | EVENT_CLASS_IN_WORD3, hi, lo, ipaHi, ipaLo);
    }
    return -(SMMU_CODE | event);
  }
}

/** An address that is passed on as it stands. */
function frameOf(hi: number, lo: number): number {
  return (hi >>> 0) < 0x800 ? (hi << 20) | (lo >>> 12) : DMA_MASTER_ABORT;
}
