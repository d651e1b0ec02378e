import { PAGE_SIZE } from "../../base/units.ts";
import * as N from "../../uapi/nvme_regs.ts";
import { type GuestCpu, highWord, lowWord } from "../guest/cpu.ts";
import { NvmeMemory } from "../guest/nvme_memory.ts";
import { IO_QUEUE, NAMESPACE, NvmeSetup } from "../guest/nvme_setup.ts";
import { Stage, Word } from "../guest/nvme_state.ts";
import { StatePage } from "../guest/state_page.ts";
import { DISK_DEPTH } from "./config.ts";
import type { DmaMemory } from "./dma_memory.ts";

const MAGIC = 0x4449534b;
/** Pages at the end of the disk's memory: the state page that bringing it up goes by. */
const STATE_PAGES = 1;

/** A command for the disk: `pages` are physical addresses, one for each block of 4 KiB. */
export interface DiskCommand {
  readonly opcode: number;
  readonly lba: number;
  readonly pages: readonly number[];
}

/** A command that the disk has and has not answered. */
interface InFlight {
  readonly cid: number;
  /** Whose it is, for the caller. */
  readonly tag: number;
}

/** What whoever comes after this program needs to go on with the disk as it stands. */
export interface DiskState {
  readonly sqTail: number;
  readonly cqHead: number;
  readonly cqPhase: number;
  readonly serial: number;
  readonly inFlight: readonly (readonly [slot: number, cid: number, tag: number])[];
}

/**
 * A real NVMe controller, driven by a program: its queues lie in memory of the program's that does
 * not move, and addresses in commands are physical ones.
 */
export class Disk {
  readonly #memory: NvmeMemory;
  readonly #setup: NvmeSetup;
  readonly #state: StatePage;
  readonly #slots: (InFlight | undefined)[] = new Array(DISK_DEPTH).fill(undefined);
  #sqTail = 0;
  #cqHead = 0;
  #cqPhase = 1;
  #serial = 0;

  /** `bar`: address of the controller's registers. `cpu`: loads and stores of the program. */
  constructor(readonly cpu: GuestCpu, readonly bar: number, readonly dma: DmaMemory) {
    this.#memory = new NvmeMemory(dma.va, DISK_DEPTH, 1);
    this.#state = new StatePage(cpu, this.#memory.end, MAGIC);
    const physical = (address: number) => dma.physical(address);
    this.#setup = new NvmeSetup(cpu, this.#state, this.#memory, physical);
  }

  /** Bytes of memory it needs. */
  static get bytes(): number {
    return new NvmeMemory(0, DISK_DEPTH, 1).bytes + STATE_PAGES * PAGE_SIZE;
  }

  /** Resets the controller and begins to bring it up; {@link ready} does the rest. */
  start(): void {
    const state = this.#state;
    state.format();
    state.setWide(Word.bar, this.bar);
    state.setWide(Word.memory, this.#memory.base);
    state.set(Word.depth, DISK_DEPTH);
    this.#setup.begin();
  }

  /** Goes on with a controller that was never stopped. */
  resume({ sqTail, cqHead, cqPhase, serial, inFlight }: DiskState): void {
    this.#sqTail = sqTail;
    this.#cqHead = cqHead;
    this.#cqPhase = cqPhase;
    this.#serial = serial;
    for (const [slot, cid, tag] of inFlight) this.#slots[slot] = { cid, tag };
  }

  save(): DiskState {
    const inFlight = this.#slots.flatMap((command, slot) =>
      command === undefined ? [] : [[slot, command.cid, command.tag] as const]
    );
    return {
      sqTail: this.#sqTail,
      cqHead: this.#cqHead,
      cqPhase: this.#cqPhase,
      serial: this.#serial,
      inFlight,
    };
  }

  /** Looks whether it has come up: true once it has, an error text when it never will. */
  ready(): boolean | string {
    this.#setup.poll();
    const stage = this.#state.get(Word.stage);
    if (stage === Stage.failed) return `status 0x${this.#state.get(Word.lastStatus).toString(16)}`;
    return stage === Stage.running;
  }

  /** Blocks of 4 KiB it has, as it said when it was identified. */
  get blocks(): number {
    const page = this.#memory.buffer(0);
    return (this.cpu.load32(page + N.NVME_ID_NS_NSZE) >>> 0) +
      (this.cpu.load32(page + N.NVME_ID_NS_NSZE + 4) >>> 0) * 4294967296;
  }

  /** The controller is enabled and well: nobody has reset it. */
  get alive(): boolean {
    const cc = this.cpu.load32(this.bar + N.NVME_REG_CC);
    const csts = this.cpu.load32(this.bar + N.NVME_REG_CSTS);
    return (cc & N.NVME_CC_EN) !== 0 &&
      (csts & (N.NVME_CSTS_RDY | N.NVME_CSTS_CFS)) === N.NVME_CSTS_RDY;
  }

  get full(): boolean {
    return !this.#slots.includes(undefined);
  }

  get inFlight(): number {
    return this.#slots.filter((s) => s !== undefined).length;
  }

  /** Puts a command into the submission queue; {@link ring} sends it. There must be a free slot. */
  submit({ opcode, lba, pages }: DiskCommand, tag: number): void {
    const { cpu } = this, slot = this.#slots.indexOf(undefined);
    // With the serial's low bits in it, an identifier is not used again soon.
    const cid = slot | (this.#serial++ & 0x3ff) << 6;
    this.#slots[slot] = { cid, tag };
    const entry = this.#memory.sq + this.#sqTail * N.NVME_SQE_BYTES;
    for (let i = 0; i < N.NVME_SQE_BYTES; i += 4) cpu.store32(entry + i, 0);
    cpu.store32(entry + N.SQE_OPCODE_CID * 4, opcode | cid << 16);
    cpu.store32(entry + N.SQE_NSID * 4, NAMESPACE);
    this.#putPages(entry, slot, pages);
    cpu.store32(entry + N.SQE_CDW10 * 4, lowWord(lba));
    cpu.store32(entry + N.SQE_CDW11 * 4, highWord(lba));
    cpu.store32(entry + N.SQE_CDW12 * 4, pages.length - 1);
    this.#sqTail = (this.#sqTail + 1) % this.#memory.entries;
  }

  #putPages(entry: number, slot: number, [first, ...rest]: readonly number[]): void {
    this.#putAddress(entry + N.SQE_PRP1 * 4, first);
    if (rest.length === 1) this.#putAddress(entry + N.SQE_PRP2 * 4, rest[0]);
    if (rest.length <= 1) return;
    const list = this.#memory.list(slot);
    rest.forEach((page, i) => this.#putAddress(list + i * 8, page));
    this.#putAddress(entry + N.SQE_PRP2 * 4, this.dma.physical(list));
  }

  #putAddress(at: number, address: number): void {
    this.cpu.store32(at, lowWord(address));
    this.cpu.store32(at + 4, highWord(address));
  }

  /** Tells the controller of the commands submitted since the last time. */
  ring(): void {
    this.cpu.store32(this.bar + N.sqDoorbell(IO_QUEUE), this.#sqTail);
  }

  /** Takes the completions there are: how many. `done` gets each command's tag and status. */
  reap(done: (tag: number, status: number) => void): number {
    let taken = 0;
    for (;; taken++) {
      const entry = this.#memory.cq + this.#cqHead * N.NVME_CQE_BYTES;
      const word = this.cpu.load32(entry + N.CQE_CID_STATUS * 4);
      if (((word >>> 16) & 1) !== this.#cqPhase) break;
      if (++this.#cqHead === this.#memory.entries) {
        this.#cqHead = 0;
        this.#cqPhase ^= 1;
      }
      const cid = word & 0xffff, slot = cid & 0x3f;
      const command = this.#slots[slot];
      if (command?.cid !== cid) continue;
      this.#slots[slot] = undefined;
      done(command.tag, word >>> 17);
    }
    if (taken > 0) this.cpu.store32(this.bar + N.cqDoorbell(IO_QUEUE), this.#cqHead);
    return taken;
  }
}
