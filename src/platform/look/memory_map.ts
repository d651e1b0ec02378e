import { PAGE_SIZE } from "../../base/units.ts";
import { readUnits } from "../../health/readers.ts";
import { FrameUse } from "../../kernel/mm/frames.ts";
import type { Platform } from "../platform.ts";

/** What a frame is to somebody. What comes later in the list is shown before what comes earlier. */
export const MEMORY_KINDS = [
  "hole",
  "unknown",
  "free",
  "user",
  "guestmemfs",
  "kernel",
  "preserved",
  "guest",
  "scratch",
  "tables",
  "taken",
] as const;
export type MemoryKind = (typeof MEMORY_KINDS)[number];

/** What each kind means, in a few words. */
export const MEMORY_WORDS: Readonly<Record<MemoryKind, string>> = {
  hole: "no memory",
  unknown: "nothing known of it",
  free: "free",
  user: "of programs",
  guestmemfs: "guestmemfs, unused",
  kernel: "of the kernel, boot #",
  preserved: "handed over, not claimed",
  guest: "of a guest",
  scratch: "KHO scratch",
  tables: "tables of the IOMMU",
  taken: "in use by a guest or hardware, and the kernel takes it for its own",
};

/** Physical memory in pieces of equal size: whose it is. */
export interface MemoryMap {
  /** Index into {@link MEMORY_KINDS} by piece: the last kind of the list that is in it. */
  readonly pieces: Uint8Array;
  /** Number of the guest in {@link guests}, counted from 1, by piece of the kind "guest"; else 0. */
  readonly owners: Uint8Array;
  readonly guests: readonly string[];
  /** Frames of each of them. */
  readonly guestFrames: readonly number[];
  /** Bytes of memory of one piece. */
  readonly bytes: number;
  /** Frames of each kind; of every `stride`-th frame, times `stride`. */
  readonly frames: Readonly<Record<MemoryKind, number>>;
  /** Every so many frames were looked at. */
  readonly stride: number;
}

/** Most frames that one look goes through. */
const MOST = 1 << 18;
/** Frames looked at in one go. */
const BLOCK = 1 << 14;
const KIND = Object.fromEntries(MEMORY_KINDS.map((kind, i) => [kind, i])) as Record<
  MemoryKind,
  number
>;

/** Not a use: the kernel takes the frame for its own, and hardware walks it. */
const TAKEN = 255;
const OF_USE = new Uint8Array(256);
OF_USE[FrameUse.none] = KIND.unknown;
OF_USE[FrameUse.free] = KIND.free;
OF_USE[FrameUse.kernel] = KIND.kernel;
OF_USE[FrameUse.iommuTable] = KIND.tables;
OF_USE[FrameUse.user] = KIND.user;
OF_USE[FrameUse.guestmemfs] = KIND.guestmemfs;
OF_USE[FrameUse.scratch] = KIND.scratch;
OF_USE[FrameUse.preserved] = KIND.preserved;
OF_USE[TAKEN] = KIND.taken;

const uses = new Uint8Array(BLOCK), owners = new Uint16Array(BLOCK);
/** Four frames at once, and two. */
const uses4 = new Uint32Array(uses.buffer), owners2 = new Uint32Array(owners.buffer);

/** True when 16 frames from `i` on, a multiple of 16, are of this use and this owner. */
function alike(i: number, use: number, owner: number): boolean {
  const u = i / 4, o = i / 2;
  return uses4[u] === use && uses4[u + 1] === use && uses4[u + 2] === use &&
    uses4[u + 3] === use && owners2[o] === owner && owners2[o + 1] === owner &&
    owners2[o + 2] === owner && owners2[o + 3] === owner && owners2[o + 4] === owner &&
    owners2[o + 5] === owner && owners2[o + 6] === owner && owners2[o + 7] === owner;
}

/** Where in [i, n) the frames end that are what frame `i` is. Runs are long. */
function endOfRun(i: number, n: number): number {
  const use = uses[i]!, owner = owners[i]!;
  const use4 = Math.imul(use, 0x01010101) >>> 0, owner2 = (owner << 16 | owner) >>> 0;
  for (;;) {
    if (i % 16 === 0 && i + 16 <= n && alike(i, use4, owner2)) i += 16;
    else if (i < n && uses[i] === use && owners[i] === owner) i++;
    else return i;
  }
}

/**
 * Who has which frame: guests by the ledger, the rest as this kernel believes. What hardware walks,
 * or a guest has, and the kernel believes to be free or its own, is "taken". `pieces`: how many.
 */
export function memoryMap(platform: Platform, pieces: number): MemoryMap {
  const { memory } = platform.machine;
  const { ledger } = platform.health;
  // All there may be: the number of one does not change when another goes.
  const guests = platform.spec.vms.map((vm) => vm.id), guestFrames = guests.map(() => 0);
  const numbers = guests.map((guest) => ledger.numberOf(guest));
  const perPiece = Math.max(1, Math.ceil(memory.frames / pieces));
  const count = Math.ceil(memory.frames / perPiece);
  const stride = Math.max(1, Math.ceil(memory.frames / MOST));
  const map = { pieces: new Uint8Array(count), owners: new Uint8Array(count) };
  const frames = new Float64Array(MEMORY_KINDS.length);
  const tables = walkedTables(platform);
  for (const { start, size } of memory.ranges) {
    const end = (start + size) / PAGE_SIZE;
    for (let pfn = start / PAGE_SIZE; pfn < end; pfn += BLOCK * stride) {
      const n = Math.min(BLOCK, Math.ceil((end - pfn) / stride));
      lookAt(platform, pfn, stride, n, tables);
      for (let i = 0; i < n;) {
        const from = i, use = uses[i], owner = owners[i]!;
        i = endOfRun(i, n);
        const kind = kindOf(use!, owner);
        frames[kind]! += (i - from) * stride;
        const number = kind === KIND.guest ? numbers.indexOf(owner) + 1 : 0;
        if (number > 0) guestFrames[number - 1]! += (i - from) * stride;
        const last = Math.floor((pfn + (i - 1) * stride) / perPiece);
        for (let k = Math.floor((pfn + from * stride) / perPiece); k <= last; k++) {
          if (kind < map.pieces[k]!) continue;
          map.pieces[k] = kind;
          map.owners[k] = number;
        }
      }
    }
  }
  return {
    ...map,
    guests,
    guestFrames,
    bytes: perPiece * PAGE_SIZE,
    frames: Object.fromEntries(MEMORY_KINDS.map((kind, i) => [kind, frames[i]])) as Record<
      MemoryKind,
      number
    >,
    stride,
  };
}

/** Fills `uses` and `owners` for `n` frames from `pfn` on. */
function lookAt(
  { kernel, health }: Platform,
  pfn: number,
  stride: number,
  n: number,
  tables: readonly number[],
): void {
  kernel.pages.usesOf(pfn, stride, uses.subarray(0, n));
  health.ledger.ownersOf(pfn, stride, owners.subarray(0, n));
  for (const table of tables) {
    const i = (table - pfn) / stride;
    if (i < 0 || i >= n || !Number.isInteger(i)) continue;
    uses[i] = isOwn(uses[i]!) ? TAKEN : FrameUse.iommuTable;
  }
}

/** Until a kernel knows its memory it takes nothing for its own. */
function kindOf(use: number, owner: number): number {
  if (owner === 0) return OF_USE[use]!;
  return isOwn(use) || use === TAKEN ? KIND.taken : KIND.guest;
}

function isOwn(use: number): boolean {
  return use === FrameUse.free || use === FrameUse.kernel;
}

/** Frames of tables that hardware walks now. Of very large guests they are not looked for. */
function walkedTables({ machine, spec }: Platform): readonly number[] {
  const bytes = spec.vms.reduce((sum, vm) => sum + vm.memory, 0);
  return bytes > 2 ** 33 ? [] : readUnits(machine).flatMap((unit) => unit.live.tables);
}
