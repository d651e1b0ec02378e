import { PAGE_SIZE } from "../../base/units.ts";
import * as N from "../../uapi/nvme_regs.ts";
import { type GuestCpu, highWord, lowWord } from "./cpu.ts";
import { MAX_DEPTH, MAX_PAGES, NvmeMemory } from "./nvme_memory.ts";
import { IO_QUEUE, NAMESPACE, NvmeSetup } from "./nvme_setup.ts";
import { Kind, Slot, SLOT_WORDS, Stage, Word } from "./nvme_state.ts";
import { blockOfWrite, fillPattern, findDamage, pagesOfWrite, spoil } from "./nvme_workload.ts";
import { clearPages } from "./pattern.ts";
import { StatePage } from "./state_page.ts";

export interface NvmeDriverOptions {
  /** Guest-physical address of the controller's BAR 0. */
  readonly bar: number;
  /** Page-aligned start of the queues and buffers; see {@link NvmeMemory} for their size. */
  readonly memoryGpa: number;
  /** Commands in flight, 1..64. */
  readonly depth: number;
  /** Pages in one command at most, 1..32; every size from one page up occurs. */
  readonly maxPages: number;
  readonly seed: number;
  /** First block of the namespace to use; depth * 64 blocks are used. 0 unless told. */
  readonly firstLba?: number;
  /** DMA address of guest-physical 0; 0 unless told. */
  readonly iovaBase?: number;
}

export interface NvmeCounters {
  /** The I/O queues exist and commands are in flight. */
  readonly running: boolean;
  readonly failed: boolean;
  readonly issued: number;
  readonly completed: number;
  /** Commands that completed with a status other than success. */
  readonly errors: number;
  readonly lastStatus: number;
  /** Reads that brought other data than was written. */
  readonly corrupt: number;
  /** Commands that never completed while others, or a great many polls, went by. */
  readonly lost: number;
  /** Completions of commands that were not in flight. */
  readonly repeated: number;
  /** Where the first wrong word lay and which write it should have come from. */
  readonly firstCorrupt: { readonly gpa: number; readonly serial: number } | undefined;
}

const MAGIC = 0x4e564d30;
/** Polls without a completion after which everything in flight counts as lost. */
const QUIET_POLLS = 4096;
/** How often, in quiet polls, the controller is asked whether it is still well. */
const QUIET_CHECK = 256;
/** A command overtaken by this many others for each slot is lost. */
const OVERTAKEN = 64;

/**
 * The guest's NVMe driver and its workload: each slot writes a pattern, reads it back into a
 * spoiled buffer, compares it word by word, and starts again. Everything it knows is in its state
 * page and queues: a new object on the same page goes on where the last one stopped.
 */
export class GuestNvmeDriver {
  readonly #cpu: GuestCpu;
  readonly #state: StatePage;
  /** A command, and its list of pages, before they go into memory. */
  readonly #entry = new Uint32Array(N.NVME_SQE_BYTES / 4);
  readonly #list = new Uint32Array(2 * MAX_PAGES);
  /** Derived from the state page once it is there. */
  #memory: NvmeMemory | undefined;

  /** `statePage`: guest-physical address of the page that is the driver's own. */
  constructor(cpu: GuestCpu, statePage: number) {
    this.#cpu = cpu;
    const state = this.#state = new StatePage(cpu, statePage, MAGIC);
    if (state.intact) {
      const depth = state.get(Word.depth), maxPages = state.get(Word.maxPages);
      // A page somebody wrote over may hold anything: that is a guest's misfortune, not an error.
      if (depth >= 1 && depth <= MAX_DEPTH && maxPages >= 1 && maxPages <= MAX_PAGES) {
        this.#memory = new NvmeMemory(state.getWide(Word.memory), depth, maxPages);
      }
    }
  }

  /** False before {@link start}, or when the state page was written over. */
  get intact(): boolean {
    return this.#state.intact;
  }

  /** Resets the controller and begins to set it up; {@link poll} does the rest. */
  start(options: NvmeDriverOptions): void {
    const { bar, memoryGpa, depth, maxPages, seed, firstLba = 0, iovaBase = 0 } = options;
    const memory = this.#memory = new NvmeMemory(memoryGpa, depth, maxPages);
    clearPages(this.#cpu, memory.adminSq, memory.bytes / PAGE_SIZE);
    const state = this.#state;
    state.format();
    state.setWide(Word.bar, bar);
    state.setWide(Word.memory, memoryGpa);
    state.setWide(Word.iovaBase, iovaBase);
    state.set(Word.depth, depth);
    state.set(Word.maxPages, maxPages);
    state.set(Word.seed, seed);
    state.set(Word.firstLba, firstLba);
    this.#setup(memory).begin();
  }

  #setup(memory: NvmeMemory): NvmeSetup {
    const iova = this.#state.getWide(Word.iovaBase);
    return new NvmeSetup(this.#cpu, this.#state, memory, (gpa) => gpa + iova);
  }

  /** Handles up to `budget` completions and keeps the queue filled; returns how many. */
  poll(budget: number): number {
    const memory = this.#memory, state = this.#state;
    if (memory === undefined) return 0;
    const stage = state.get(Word.stage);
    if (stage === Stage.off || stage === Stage.failed) return 0;
    if (stage !== Stage.running) {
      if (!this.#setup(memory).poll()) {
        if (this.#quiet()) state.set(Word.stage, Stage.failed);
        return 0;
      }
      state.set(Word.quiet, 0);
      if (state.get(Word.stage) === Stage.running) this.#fill(memory);
      return 1;
    }
    const handled = this.#complete(memory, budget);
    if (handled > 0) state.set(Word.quiet, 0);
    else if (this.#quiet()) { for (let s = 0; s < memory.depth; s++) this.#markLost(s); }
    this.#watch(memory.depth);
    return handled;
  }

  counters(): NvmeCounters {
    const s = this.#state;
    const stage = s.get(Word.stage), corrupt = s.get(Word.corrupt);
    return {
      running: stage === Stage.running,
      failed: stage === Stage.failed,
      issued: s.get(Word.issued),
      completed: s.get(Word.completed),
      errors: s.get(Word.errors),
      lastStatus: s.get(Word.lastStatus),
      corrupt,
      lost: s.get(Word.lost),
      repeated: s.get(Word.repeated),
      firstCorrupt: corrupt === 0
        ? undefined
        : { gpa: s.getWide(Word.corruptGpa), serial: s.get(Word.corruptSerial) },
    };
  }

  /** Issues the first command of every slot. */
  #fill(memory: NvmeMemory): void {
    for (let slot = 0; slot < memory.depth; slot++) this.#issue(memory, slot);
    this.#ringSubmission();
  }

  #complete(memory: NvmeMemory, budget: number): number {
    const cpu = this.#cpu, state = this.#state;
    let head = state.get(Word.cqHead), phase = state.get(Word.cqPhase);
    let handled = 0;
    for (; handled < budget; handled++) {
      const entry = memory.cq + head * N.NVME_CQE_BYTES;
      const word = cpu.load32(entry + N.CQE_CID_STATUS * 4);
      if (((word >>> 16) & 1) !== phase) break;
      if (++head === memory.entries) {
        head = 0;
        phase ^= 1;
      }
      this.#finish(memory, word & 0xffff, word >>> 17);
    }
    if (handled === 0) return 0;
    state.set(Word.cqHead, head);
    state.set(Word.cqPhase, phase);
    cpu.store32(state.getWide(Word.bar) + N.cqDoorbell(IO_QUEUE), head);
    this.#ringSubmission();
    return handled;
  }

  #ringSubmission(): void {
    const bar = this.#state.getWide(Word.bar);
    this.#cpu.store32(bar + N.sqDoorbell(IO_QUEUE), this.#state.get(Word.sqTail));
  }

  /** One completion: judges the slot's command and issues its next one. */
  #finish(memory: NvmeMemory, cid: number, status: number): void {
    const state = this.#state, slot = cid & 0x3f;
    const at = Word.slots + slot * SLOT_WORDS;
    const kind = slot < memory.depth ? state.get(at + Slot.kind) : Kind.idle;
    if (kind === Kind.idle || state.get(at + Slot.cid) !== cid) {
      state.add(Word.repeated, 1);
      return;
    }
    state.add(Word.completed, 1);
    if (state.get(at + Slot.lost) !== 0) state.add(Word.lost, -1);
    if (status !== N.NVME_SC_SUCCESS) {
      state.add(Word.errors, 1);
      state.set(Word.lastStatus, status);
      state.set(at + Slot.kind, Kind.idle);
    } else if (kind === Kind.read) {
      this.#verify(memory, slot);
    }
    this.#issue(memory, slot);
  }

  #verify(memory: NvmeMemory, slot: number): void {
    const state = this.#state, at = Word.slots + slot * SLOT_WORDS;
    const serial = state.get(at + Slot.writeSerial), pages = state.get(at + Slot.pages);
    const gpa = findDamage(this.#cpu, memory.buffer(slot), pages, state.get(Word.seed), serial);
    if (gpa < 0) return;
    if (state.get(Word.corrupt) === 0) {
      state.setWide(Word.corruptGpa, gpa);
      state.set(Word.corruptSerial, serial);
    }
    state.add(Word.corrupt, 1);
  }

  /** Puts the slot's next command into the submission queue: after a write its read. */
  #issue(memory: NvmeMemory, slot: number): void {
    const cpu = this.#cpu, state = this.#state, at = Word.slots + slot * SLOT_WORDS;
    const serial = state.get(Word.nextSerial), seed = state.get(Word.seed);
    const buffer = memory.buffer(slot);
    const read = state.get(at + Slot.kind) === Kind.write;
    if (read) {
      spoil(cpu, buffer, state.get(at + Slot.pages));
    } else {
      const pages = pagesOfWrite(seed, serial, memory.maxPages);
      state.set(at + Slot.pages, pages);
      state.set(at + Slot.lba, state.get(Word.firstLba) + blockOfWrite(seed, serial, slot, pages));
      state.set(at + Slot.writeSerial, serial);
      fillPattern(cpu, buffer, pages, seed, serial);
    }
    // With the serial's low bits in it, an identifier is not used again soon.
    const cid = slot | (serial & 0x3ff) << 6;
    state.set(at + Slot.cid, cid);
    state.set(at + Slot.kind, read ? Kind.read : Kind.write);
    state.set(at + Slot.issuedAt, state.get(Word.completed));
    state.set(at + Slot.lost, 0);
    state.set(Word.nextSerial, serial + 1);
    state.add(Word.issued, 1);
    this.#submit(memory, slot, cid, read ? N.NVME_CMD_READ : N.NVME_CMD_WRITE);
  }

  #submit(memory: NvmeMemory, slot: number, cid: number, opcode: number): void {
    const cpu = this.#cpu, state = this.#state, at = Word.slots + slot * SLOT_WORDS;
    const tail = state.get(Word.sqTail), pages = state.get(at + Slot.pages);
    const iovaBase = state.getWide(Word.iovaBase), dma = memory.buffer(slot) + iovaBase;
    const entry = this.#entry.fill(0);
    entry[N.SQE_OPCODE_CID] = opcode | cid << 16;
    entry[N.SQE_NSID] = NAMESPACE;
    putAddress(entry, N.SQE_PRP1, dma);
    if (pages === 2) putAddress(entry, N.SQE_PRP2, dma + PAGE_SIZE);
    if (pages > 2) {
      const list = memory.list(slot);
      for (let i = 1; i < pages; i++) putAddress(this.#list, (i - 1) * 2, dma + i * PAGE_SIZE);
      cpu.storeWords(list, this.#list.subarray(0, (pages - 1) * 2));
      putAddress(entry, N.SQE_PRP2, list + iovaBase);
    }
    entry[N.SQE_CDW10] = state.get(at + Slot.lba);
    entry[N.SQE_CDW12] = pages - 1;
    cpu.storeWords(memory.sq + tail * N.NVME_SQE_BYTES, entry);
    state.set(Word.sqTail, tail + 1 === memory.entries ? 0 : tail + 1);
  }

  /** Counts a poll that brought nothing. True when waiting longer makes no sense. */
  #quiet(): boolean {
    const state = this.#state;
    const quiet = state.get(Word.quiet) + 1;
    state.set(Word.quiet, quiet);
    if (quiet === QUIET_POLLS) return true;
    if (quiet % QUIET_CHECK !== 0) return false;
    const status = this.#cpu.load32(state.getWide(Word.bar) + N.NVME_REG_CSTS);
    return (status & N.NVME_CSTS_CFS) !== 0;
  }

  #markLost(slot: number): void {
    const state = this.#state, at = Word.slots + slot * SLOT_WORDS;
    if (state.get(at + Slot.lost) !== 0) return;
    state.set(at + Slot.lost, 1);
    state.add(Word.lost, 1);
  }

  /** Looks at one slot per poll: has its command been overtaken too often? */
  #watch(depth: number): void {
    const state = this.#state, slot = state.get(Word.watch);
    state.set(Word.watch, slot + 1 < depth ? slot + 1 : 0);
    const issuedAt = state.get(Word.slots + slot * SLOT_WORDS + Slot.issuedAt);
    const overtaken = (state.get(Word.completed) - issuedAt) >>> 0;
    if (overtaken > OVERTAKEN * depth) this.#markLost(slot);
  }
}

function putAddress(words: Uint32Array, at: number, address: number): void {
  words[at] = lowWord(address);
  words[at + 1] = highWord(address);
}
