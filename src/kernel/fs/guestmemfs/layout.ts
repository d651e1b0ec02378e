import { MiB, PAGE_SIZE } from "../../../base/units.ts";
import type { Memory } from "../../../machine/memory.ts";
import { valuesInARow, writeRow } from "../../../machine/rows.ts";
import { Bitmap } from "./bitmap.ts";

/**
 * What guestmemfs keeps in memory across kexec, byte for byte (FACTS 5.2): the super block, the
 * inode array, the allocator's bitmap. Only physical addresses are stored.
 */

/** Data is handed out in blocks of this many bytes. */
export const BLOCK_SIZE = 2 * MiB;
export const BLOCK_FRAMES = BLOCK_SIZE / 4096;
/** Bytes of the inode array and of the block bitmap. */
export const INODES_BYTES = 2 * MiB;
export const BITMAP_BYTES = 1 * MiB;
/** One mappings page holds this many block numbers: a file ends at 1 GiB. */
export const MAX_MAPPINGS = 512;
export const FILENAME_LEN = 255;
/** Words of a name and its NUL. */
const NAME_WORDS = 64;
export const ROOT_INO = 1;

export const INODE_FLAG_FILE = 1;
export const INODE_FLAG_DIR = 2;

const SB_NEXT_FREE_INO = 0;
const SB_ALLOCATED = 8;
const SB_INODES = 16;
const SB_BITMAP = 24;

const INODE_SIZE = 296;
const I_FLAGS = 0;
const I_SIBLING = 8;
const I_CHILD = 16;
const I_NAME = 24;
const I_MAPPINGS = 280;
const I_NUM_MAPPINGS = 288;
const I_PINS = 292;

/** Inodes the array has room for; number 0 is never used. */
export const INODES = Math.floor(INODES_BYTES / INODE_SIZE) - 1;

/** Data blocks side by side. */
export interface Blocks {
  readonly first: number;
  readonly count: number;
}

/** The persisted super block at a physical address. */
export class SuperBlock {
  /** No data block below this one is free: where looking for one begins. */
  lowestFree = 0;

  constructor(readonly memory: Memory, readonly address: number) {}

  get nextFreeIno(): number {
    return this.memory.read64(this.address + SB_NEXT_FREE_INO);
  }
  set nextFreeIno(ino: number) {
    this.memory.write64(this.address + SB_NEXT_FREE_INO, ino);
  }
  get allocatedInodes(): number {
    return this.memory.read64(this.address + SB_ALLOCATED);
  }
  set allocatedInodes(n: number) {
    this.memory.write64(this.address + SB_ALLOCATED, n);
  }
  /** Physical address of the inode array. */
  get inodes(): number {
    return this.memory.read64(this.address + SB_INODES);
  }
  set inodes(address: number) {
    this.memory.write64(this.address + SB_INODES, address);
  }
  get bitmap(): number {
    return this.memory.read64(this.address + SB_BITMAP);
  }
  set bitmap(address: number) {
    this.memory.write64(this.address + SB_BITMAP, address);
  }

  inode(ino: number): PersistedInode {
    return new PersistedInode(this.memory, this.inodes + ino * INODE_SIZE, ino);
  }

  /** Each inode from `first` on leads to the one behind it; the last to none, as it was cleared. */
  chainInodes(first: number): void {
    const { memory } = this;
    let at = this.inodes + first * INODE_SIZE + I_SIBLING;
    for (let ino = first; ino < INODES;) {
      // A number of 64 bits lies in one page.
      const pfn = Math.floor(at / PAGE_SIZE), end = (pfn + 1) * PAGE_SIZE;
      const words = memory.writable(pfn), base = memory.base(pfn);
      for (; at < end && ino < INODES; ino++, at += INODE_SIZE) {
        const word = base | ((at - pfn * PAGE_SIZE) >>> 2);
        words[word] = ino + 1;
        words[word + 1] = 0;
      }
    }
  }

  /** Bit of a data block. */
  blockUsed(block: number): boolean {
    return this.#bits.has(block);
  }

  setBlockUsed(block: number, used: boolean): void {
    this.setBlocksUsed({ first: block, count: 1 }, used);
  }

  setBlocksUsed({ first, count }: Blocks, used: boolean): void {
    this.#bits.set(first, count, used);
    if (!used) this.lowestFree = Math.min(this.lowestFree, first);
    else if (first === this.lowestFree) this.lowestFree += count;
  }

  /** The lowest free ones of the first `blocks` that lie side by side, at most `most`; none: 0. */
  freeBlocks(blocks: number, most: number): Blocks {
    const bits = this.#bits, first = bits.next(this.lowestFree, blocks, false);
    this.lowestFree = first;
    return { first, count: bits.next(first, Math.min(blocks, first + most), true) - first };
  }

  /** Of the first `blocks`. */
  countFree(blocks: number): number {
    const bits = this.#bits;
    let free = 0;
    for (let at = 0; at < blocks;) {
      const first = bits.next(at, blocks, false);
      at = bits.next(first, blocks, true);
      free += at - first;
    }
    return free;
  }

  get #bits(): Bitmap {
    return new Bitmap(this.memory, this.bitmap);
  }
}

/** The words that a name begins with as it is persisted, its NUL included. */
export function nameWords(name: string): Int32Array {
  const words = new Int32Array((name.length >>> 2) + 1);
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit > 0x7f) return encoded(name);
    words[i >>> 2] |= unit << (8 * (i & 3));
  }
  return words;
}

/** The same for a name that is not all ASCII. */
function encoded(name: string): Int32Array {
  const text = new TextEncoder().encode(name);
  const bytes = new Uint8Array(4 * ((text.length >>> 2) + 1));
  bytes.set(text);
  return new Int32Array(bytes.buffer);
}

/** A hash of the words of a name, up to the one with its NUL. */
export function hashName(wordAt: (i: number) => number): number {
  let hash = 0;
  for (let i = 0; i < NAME_WORDS; i++) {
    const word = wordAt(i);
    hash = Math.imul(hash ^ word, 0x9e3779b1);
    hash ^= hash >>> 15;
    // One of its bytes is 0.
    if (((word - 0x01010101) & ~word & 0x80808080) !== 0) break;
  }
  return hash;
}

/** One persisted inode. */
export class PersistedInode {
  constructor(readonly memory: Memory, readonly address: number, readonly ino: number) {}

  #u32(offset: number): number {
    const at = this.address + offset;
    return this.memory.load(Math.floor(at / PAGE_SIZE), (at % PAGE_SIZE) >>> 2);
  }
  #setU32(offset: number, value: number): void {
    const at = this.address + offset;
    this.memory.store(Math.floor(at / PAGE_SIZE), (at % PAGE_SIZE) >>> 2, value);
  }

  get flags(): number {
    return this.#u32(I_FLAGS);
  }
  set flags(value: number) {
    this.#setU32(I_FLAGS, value);
  }
  get sibling(): number {
    return this.memory.read64(this.address + I_SIBLING);
  }
  set sibling(ino: number) {
    this.memory.write64(this.address + I_SIBLING, ino);
  }
  get child(): number {
    return this.memory.read64(this.address + I_CHILD);
  }
  set child(ino: number) {
    this.memory.write64(this.address + I_CHILD, ino);
  }
  get name(): string {
    const bytes = this.memory.read(this.address + I_NAME, FILENAME_LEN);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }
  set name(text: string) {
    const words = nameWords(text);
    const all = new Int32Array(NAME_WORDS);
    all.set(words.subarray(0, NAME_WORDS));
    this.memory.write(this.address + I_NAME, new Uint8Array(all.buffer));
  }
  get nameHash(): number {
    return hashName((i) => this.#u32(I_NAME + 4 * i));
  }
  /** It is called so; `wanted` is {@link nameWords} of a name. */
  isNamed(wanted: Int32Array): boolean {
    for (let i = 0; i < wanted.length; i++) {
      if (this.#u32(I_NAME + 4 * i) !== wanted[i]) return false;
    }
    return true;
  }
  /** Physical address of the page of block numbers; 0 when the file has none. */
  get mappings(): number {
    return this.memory.read64(this.address + I_MAPPINGS);
  }
  set mappings(address: number) {
    this.memory.write64(this.address + I_MAPPINGS, address);
  }
  get numMappings(): number {
    return this.#u32(I_NUM_MAPPINGS);
  }
  set numMappings(n: number) {
    this.#setU32(I_NUM_MAPPINGS, n);
  }
  /** Long-term pins (seed line 2066): a file with pins cannot be removed or resized. */
  get pins(): number {
    return this.#u32(I_PINS);
  }
  set pins(n: number) {
    this.#setU32(I_PINS, n);
  }

  /** Data block number `index` of the file. */
  block(index: number): number {
    return this.memory.read64(this.mappings + index * 8);
  }
  /** Those from `from` on up to `to`, in the file's order, as far as they lie side by side in one. */
  blocks(from = 0, to = this.numMappings): Blocks[] {
    const runs: Blocks[] = [];
    for (let i = from, count: number; i < to; i += count) {
      count = this.blocksInARow(i, to - i);
      runs.push({ first: this.block(i), count });
    }
    return runs;
  }
  /** How many of `most` from its block `index` on lie side by side. */
  blocksInARow(index: number, most: number): number {
    const pfn = Math.floor(this.mappings / PAGE_SIZE);
    return Math.min(most, valuesInARow(this.memory, pfn, index, 1));
  }
  /** The file goes on with these, from its block `index` on. */
  setBlocks(index: number, { first, count }: Blocks): void {
    writeRow(this.memory, Math.floor(this.mappings / PAGE_SIZE), index, first, count);
  }
  setBlock(index: number, block: number): void {
    this.memory.write64(this.mappings + index * 8, block);
  }
}
