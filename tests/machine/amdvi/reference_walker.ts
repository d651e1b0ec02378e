import * as q from "../../../src/uapi/amdvi_queues.ts";
import type { Bench } from "./bench.ts";

/** The version 1 walk once more, in plain 64-bit numbers, as the tables are described. */
export function referenceWalk(
  bench: Bench,
  root: bigint,
  mode: number,
  iova: bigint,
  write: boolean,
): { result: number; bytes: bigint } {
  const fault = (n: number) => ({ result: -(0x200 | n), bytes: 0n });
  const index = (level: number) => iova >> BigInt(3 + 9 * level) & 511n;
  if (mode < 6 && iova >> BigInt(12 + 9 * mode) !== 0n) return fault(q.FAULT_BEYOND_TABLES);
  let table = root;
  for (let level = mode;;) {
    if (!bench.memory.isRam(Number(table >> 12n))) return fault(q.FAULT_PAGE_TABLE_MEMORY);
    const entry = bench.load(Number(table >> 12n), Number(index(level)));
    if ((entry & 1n) === 0n) return fault(q.FAULT_NOT_PRESENT);
    if ((entry >> (write ? 62n : 61n) & 1n) === 0n) return fault(q.FAULT_PERMISSION);
    if ((entry >> 52n & 0x7fn) !== 0n) return fault(q.FAULT_RESERVED);
    const to = Number(entry >> 9n & 7n);
    const address = entry & 0xffffffffff000n;
    if (to === 0 || to === 7) {
      const own = BigInt(3 + 9 * level);
      let shift = own;
      if (to === 7) {
        for (shift = 12n; (address >> shift & 1n) === 1n; shift++);
        shift++;
        if (shift <= own || shift >= own + 9n) return fault(q.FAULT_RESERVED);
      }
      if (shift > 39n) return fault(q.FAULT_RESERVED);
      const inside = (1n << shift) - 1n;
      if (address >= 1n << 43n) return { result: -1001, bytes: 1n << shift };
      return { result: Number((address & ~inside | iova & inside) >> 12n), bytes: 1n << shift };
    }
    if (to >= level) return fault(q.FAULT_RESERVED);
    for (let skipped = to + 1; skipped < level; skipped++) {
      if (index(skipped) !== 0n) return fault(q.FAULT_SKIPPED_LEVEL);
    }
    table = address;
    level = to;
  }
}
