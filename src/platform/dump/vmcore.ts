import { assert } from "../../base/assert.ts";
import { GiB, MiB, PAGE_SIZE } from "../../base/units.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { Memory } from "../../machine/memory.ts";
import { encodeHeaders, encodeNote, headerBytes, PT_LOAD, PT_NOTE, type Segment } from "./elf.ts";

/** page_offset_base of x86-64 without KASLR: physical address 0 in the direct map. */
const DIRECT_MAP = 0xffff888000000000n;
/** Largest piece handed out at a time. */
const PIECE_BYTES = 1 * MiB;
/** Memory gives views that stay inside one aligned GiB. */
const VIEW_FRAMES = GiB / PAGE_SIZE;

/** A file that is made while it is read. */
export interface Chunked {
  /** Bytes of all chunks together. */
  readonly size: number;
  /**
   * The content from the beginning. Views of live memory: take all of them, and be done with each,
   * before anything runs again.
   */
  chunks(): Generator<Uint8Array, void, void>;
}

/** What a VMCOREINFO note has to know of a kernel. */
export type CoreKernel = Pick<Kernel, "number"> & {
  readonly image: Pick<Kernel["image"], "name" | "version">;
};

interface Run {
  pfn: number;
  count: number;
}

/**
 * Physical memory as an ELF core file, in the way of /proc/vmcore: one PT_LOAD for each contiguous
 * range of frames that were ever written, at its physical address and its place in the direct map,
 * and a VMCOREINFO note. Frames nobody wrote read as zeros and are left out.
 */
export function vmcore(memory: Memory, kernel?: CoreKernel): Chunked {
  const runs = mergedRuns(memory);
  const note = encodeNote("VMCOREINFO", vmcoreinfo(kernel));
  const noteAt = headerBytes(runs.length + 1);
  const dataAt = Math.ceil((noteAt + note.length) / PAGE_SIZE) * PAGE_SIZE;
  const segments: Segment[] = [
    { type: PT_NOTE, flags: 0, offset: noteAt, vaddr: 0n, paddr: 0n, size: note.length, align: 4 },
  ];
  let offset = dataAt;
  for (const { pfn, count } of runs) {
    const paddr = BigInt(pfn) * BigInt(PAGE_SIZE), size = count * PAGE_SIZE;
    const vaddr = DIRECT_MAP + paddr;
    segments.push({ type: PT_LOAD, flags: 7, offset, vaddr, paddr, size, align: PAGE_SIZE });
    offset += size;
  }
  return {
    size: offset,
    *chunks() {
      const head = new Uint8Array(dataAt);
      head.set(encodeHeaders(segments));
      head.set(note, noteAt);
      yield* pieces(head);
      for (const run of runs) yield* frames(memory, run);
    },
  };
}

/** Written runs in ascending order, joined where the chunks of memory meet. */
function mergedRuns(memory: Memory): Run[] {
  const runs: Run[] = [];
  for (const { pfn, count } of memory.writtenRuns()) {
    const last = runs[runs.length - 1];
    if (last !== undefined && last.pfn + last.count === pfn) last.count += count;
    else runs.push({ pfn, count });
  }
  return runs;
}

function vmcoreinfo(kernel: CoreKernel | undefined): string {
  const lines = kernel === undefined ? [] : [`OSRELEASE=${kernel.image.version}`];
  lines.push(`PAGESIZE=${PAGE_SIZE}`);
  if (kernel !== undefined) {
    lines.push(`HITLESS_IMAGE=${kernel.image.name}`, `HITLESS_BOOT=${kernel.number}`);
  }
  return lines.map((line) => line + "\n").join("");
}

function* frames(memory: Memory, run: Run): Generator<Uint8Array, void, void> {
  const end = run.pfn + run.count;
  for (let pfn = run.pfn; pfn < end;) {
    const next = Math.min(end, (Math.floor(pfn / VIEW_FRAMES) + 1) * VIEW_FRAMES);
    const words = memory.readable(pfn);
    assert(words !== undefined, "a written frame has its chunk");
    yield* pieces(new Uint8Array(words.buffer, memory.base(pfn) * 4, (next - pfn) * PAGE_SIZE));
    pfn = next;
  }
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    yield bytes.subarray(at, at + PIECE_BYTES);
  }
}
