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
  kernel: "of the kernel",
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
  /** Bytes of memory of one piece. */
  readonly bytes: number;
  /** Frames of each kind; of every `stride`-th frame, times `stride`. */
  readonly frames: Readonly<Record<MemoryKind, number>>;
  /** Every so many frames were looked at. */
  readonly stride: number;
}

/** Most frames that one look goes through. */
const MOST = 1 << 18;
const KIND = Object.fromEntries(MEMORY_KINDS.map((kind, i) => [kind, i])) as Record<
  MemoryKind,
  number
>;

const OF_USE: Readonly<Record<FrameUse, number>> = {
  [FrameUse.none]: KIND.unknown,
  [FrameUse.free]: KIND.free,
  [FrameUse.kernel]: KIND.kernel,
  [FrameUse.iommuTable]: KIND.tables,
  [FrameUse.user]: KIND.user,
  [FrameUse.guestmemfs]: KIND.guestmemfs,
  [FrameUse.scratch]: KIND.scratch,
  [FrameUse.preserved]: KIND.preserved,
};

/**
 * Who has which frame: guests by the ledger, the rest as this kernel believes. What hardware walks,
 * or a guest has, and the kernel believes to be free or its own, is "taken". `pieces`: how many.
 */
export function memoryMap(platform: Platform, pieces: number): MemoryMap {
  const { machine, kernel, health } = platform;
  const { memory } = machine;
  const { ledger } = health;
  const walked = walkedTables(platform);
  const perPiece = Math.max(1, Math.ceil(memory.frames / pieces));
  const count = Math.ceil(memory.frames / perPiece);
  const stride = Math.max(1, Math.ceil(memory.frames / MOST));
  const kinds = new Uint8Array(count), owners = new Uint8Array(count);
  const frames = new Float64Array(MEMORY_KINDS.length);
  const known = ledger.guests;
  const guests = platform.spec.vms.map((vm) => vm.id).filter((id) => known.includes(id));
  const numbers = guests.map((guest) => ledger.numberOf(guest));
  for (const { start, size } of memory.ranges) {
    const end = (start + size) / PAGE_SIZE;
    for (let pfn = start / PAGE_SIZE; pfn < end; pfn += stride) {
      const use = kernel.pages.useOf(pfn), owner = ledger.ownerNumber(pfn);
      const own = use === FrameUse.free || use === FrameUse.kernel;
      let kind = OF_USE[use];
      // Until a kernel knows its memory it takes nothing for its own.
      if (owner !== 0) kind = own ? KIND.taken : KIND.guest;
      else if (walked.has(pfn)) kind = own ? KIND.taken : KIND.tables;
      frames[kind] += stride;
      const piece = Math.floor(pfn / perPiece);
      if (kind < kinds[piece]) continue;
      kinds[piece] = kind;
      owners[piece] = kind === KIND.guest ? numbers.indexOf(owner) + 1 : 0;
    }
  }
  return {
    pieces: kinds,
    owners,
    guests,
    bytes: perPiece * PAGE_SIZE,
    frames: Object.fromEntries(MEMORY_KINDS.map((kind, i) => [kind, frames[i]])) as Record<
      MemoryKind,
      number
    >,
    stride,
  };
}

/** Frames of tables that hardware walks now. Of very large guests they are not looked for. */
function walkedTables({ machine, spec }: Platform): ReadonlySet<number> {
  const bytes = spec.vms.reduce((sum, vm) => sum + vm.memory, 0);
  if (bytes > 2 ** 33) return new Set();
  return new Set(readUnits(machine).flatMap((unit) => unit.live.tables));
}
