import * as N from "../../uapi/nic_regs.ts";
import { type GuestCpu, highWord, lowWord } from "./cpu.ts";
import { readRun, writeRun } from "./runs.ts";
import { StatePage } from "./state_page.ts";

export interface NicDriverOptions {
  /** Guest-physical address of the card's BAR 0. */
  readonly bar: number;
  /** Descriptor ring, 128-byte aligned; 8..65536 entries, a multiple of 8. */
  readonly ringGpa: number;
  readonly ringEntries: number;
  /** Receive buffers one after the other; at least 2048 bytes each, a multiple of 4. */
  readonly bufferGpa: number;
  readonly bufferBytes: number;
  /** DMA address of guest-physical 0; 0 unless told. */
  readonly iovaBase?: number;
  /** What the card puts into its requests; none unless told. */
  readonly pasid?: number | undefined;
}

export interface NicCounters {
  /** Descriptors the card completed, bad packets included. */
  readonly received: number;
  /** Packets skipped by the wire's sequence numbers. */
  readonly missing: number;
  /** Packets the card itself says it dropped on a full ring: they explain that many missing. */
  readonly missed: number;
  /** Packets whose length, stream or checksum was wrong. */
  readonly corrupt: number;
  /** Sound packets with a sequence number that had been there before. */
  readonly repeated: number;
  /** Polls that found no descriptor left for the card. */
  readonly ringFull: number;
  readonly lastSequence: number;
  /** Where the first corrupt packet lay and which sequence number it should have had. */
  readonly firstCorrupt: { readonly gpa: number; readonly sequence: number } | undefined;
}

const MAGIC = 0x4e494330;

/** Words of the state page. Wide ones take two. */
const enum Word {
  bar = 2,
  ring = 4,
  buffer = 6,
  entries = 8,
  bufferBytes,
  next,
  stream,
  last,
  received,
  missing,
  missed,
  corrupt,
  repeated,
  ringFull,
  corruptSequence,
  corruptGpa = 20,
}

/**
 * The guest's driver for the receiving network card. Everything it knows is in its state page and
 * ring: a new object on the same page goes on where the last one stopped.
 */
export class GuestNicDriver {
  readonly #cpu: GuestCpu;
  readonly #state: StatePage;

  /** `statePage`: guest-physical address of the page that is the driver's own. */
  constructor(cpu: GuestCpu, statePage: number) {
    this.#cpu = cpu;
    this.#state = new StatePage(cpu, statePage, MAGIC);
  }

  /** False before {@link start}, or when the state page was written over. */
  get intact(): boolean {
    return this.#state.intact;
  }

  /** Resets the card, gives it all buffers but one and enables receive. */
  start(options: NicDriverOptions): void {
    const { bar, ringGpa, ringEntries, bufferGpa, bufferBytes, iovaBase = 0, pasid } = options;
    if (ringEntries % 8 !== 0 || ringEntries < 8 || ringEntries > 65536) {
      throw new RangeError(`NIC ring of ${ringEntries} entries: 8..65536, a multiple of 8`);
    }
    if (bufferBytes % 4 !== 0 || bufferBytes < N.RX_BUFFER_BYTES) {
      throw new RangeError(`NIC buffers of ${bufferBytes} bytes: at least 2048, a multiple of 4`);
    }
    const cpu = this.#cpu, state = this.#state;
    state.format();
    state.setWide(Word.bar, bar);
    state.setWide(Word.ring, ringGpa);
    state.setWide(Word.buffer, bufferGpa);
    state.set(Word.entries, ringEntries);
    state.set(Word.bufferBytes, bufferBytes);
    this.#format(options);
    cpu.store32(bar + N.E1000_CTRL, N.E1000_CTRL_RST);
    cpu.store32(bar + N.E1000_RDBAL, lowWord(ringGpa + iovaBase));
    cpu.store32(bar + N.E1000_RDBAH, highWord(ringGpa + iovaBase));
    cpu.store32(bar + N.E1000_RDLEN, ringEntries * N.RX_DESC_BYTES);
    cpu.store32(bar + N.E1000_RDH, 0);
    cpu.store32(bar + N.E1000_RDT, ringEntries - 1);
    if (pasid !== undefined) cpu.store32(bar + N.NIC_RXPASID, N.NIC_RXPASID_VALID | pasid);
    cpu.store32(bar + N.E1000_RCTL, N.E1000_RCTL_EN);
  }

  /** All descriptors and buffers as the card is to find them. */
  #format({ ringGpa, ringEntries, bufferGpa, bufferBytes, iovaBase = 0 }: NicDriverOptions): void {
    const words = N.RX_DESC_BYTES / 4, ring = new Uint32Array(ringEntries * words);
    for (let i = 0; i < ringEntries; i++) {
      const buffer = bufferGpa + i * bufferBytes, address = buffer + iovaBase;
      ring[i * words] = lowWord(address);
      ring[i * words + 1] = highWord(address);
      this.#empty(buffer);
    }
    writeRun(this.#cpu, ringGpa, ring);
  }

  /** Handles up to `budget` completed descriptors; returns how many there were. */
  poll(budget: number): number {
    const cpu = this.#cpu, state = this.#state;
    const entries = state.get(Word.entries), bytes = state.get(Word.bufferBytes);
    const ring = state.getWide(Word.ring), buffers = state.getWide(Word.buffer);
    const missing = state.get(Word.missing);
    let next = state.get(Word.next);
    // The card fills all but one: the one before the last it was given is the last it can fill.
    const final = (next + entries - 2) % entries;
    if (this.#done(ring, final)) state.add(Word.ringFull, 1);
    let handled = 0;
    while (handled < budget && this.#done(ring, next)) {
      const descriptor = ring + next * N.RX_DESC_BYTES, buffer = buffers + next * bytes;
      this.#judge(buffer, cpu.load32(descriptor + N.RX_DESC_LENGTH) & 0xffff, bytes);
      this.#recycle(descriptor, buffer);
      next = next + 1 === entries ? 0 : next + 1;
      handled++;
    }
    if (handled === 0) return 0;
    state.add(Word.received, handled);
    state.set(Word.next, next);
    const bar = state.getWide(Word.bar);
    cpu.store32(bar + N.E1000_RDT, next === 0 ? entries - 1 : next - 1);
    // A register read leaves the machine, so the card is only asked when there was a gap.
    if (state.get(Word.missing) !== missing) {
      state.add(Word.missed, cpu.load32(bar + N.E1000_MPC) >>> 0);
    }
    return handled;
  }

  counters(): NicCounters {
    const s = this.#state;
    const corrupt = s.get(Word.corrupt);
    return {
      received: s.get(Word.received),
      missing: s.get(Word.missing),
      missed: s.get(Word.missed),
      corrupt,
      repeated: s.get(Word.repeated),
      ringFull: s.get(Word.ringFull),
      lastSequence: s.get(Word.last),
      firstCorrupt: corrupt === 0
        ? undefined
        : { gpa: s.getWide(Word.corruptGpa), sequence: s.get(Word.corruptSequence) },
    };
  }

  #done(ring: number, index: number): boolean {
    const status = this.#cpu.load32(ring + index * N.RX_DESC_BYTES + N.RX_DESC_STATUS);
    return (status & N.RXD_STAT_DD) !== 0;
  }

  #recycle(descriptor: number, buffer: number): void {
    this.#cpu.store32(descriptor + N.RX_DESC_LENGTH, 0);
    this.#cpu.store32(descriptor + N.RX_DESC_STATUS, 0);
    this.#empty(buffer);
  }

  /** No sender has stream 0: a buffer the card claims to have filled but did not is noticed. */
  #empty(buffer: number): void {
    this.#cpu.store32(buffer + N.PACKET_STREAM * 4, 0);
  }

  /** Checks one packet and counts what it shows. */
  #judge(buffer: number, length: number, bufferBytes: number): void {
    const state = this.#state;
    const last = state.get(Word.last);
    if (!this.#sound(buffer, length, bufferBytes)) {
      if (state.get(Word.corrupt) === 0) {
        state.setWide(Word.corruptGpa, buffer);
        state.set(Word.corruptSequence, last + 1);
      }
      state.add(Word.corrupt, 1);
      // It came in somebody's place: do not count it as missing too.
      if (last !== 0) state.set(Word.last, last + 1);
      return;
    }
    const sequence = this.#cpu.load32(buffer + N.PACKET_SEQUENCE * 4);
    const step = last === 0 ? 1 : (sequence - last) | 0;
    if (step <= 0) {
      state.add(Word.repeated, 1);
      return;
    }
    state.add(Word.missing, step - 1);
    state.set(Word.last, sequence);
  }

  #sound(buffer: number, length: number, bufferBytes: number): boolean {
    if (length % 4 !== 0 || length < 16 || length > bufferBytes) return false;
    const words = length / 4, packet = readRun(this.#cpu, buffer, words);
    const stream = packet[N.PACKET_STREAM];
    if (stream === 0 || N.packetChecksum(packet, words - 1) !== (packet[words - 1] | 0)) {
      return false;
    }
    // The first sound packet tells which stream this card carries; others are not ours.
    const ours = this.#state.get(Word.stream);
    if (ours === 0) this.#state.set(Word.stream, stream);
    return ours === 0 || ours === stream;
  }
}
