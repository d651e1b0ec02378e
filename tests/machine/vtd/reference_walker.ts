import type { VtdCapability } from "../../../src/machine/vtd/capability.ts";
import type { Bench } from "./bench.ts";

/** The second-level walk once more, in plain 64-bit numbers, as the tables are described. */
export function referenceWalk(
  bench: Bench,
  capability: VtdCapability,
  top: number,
  levels: number,
  iova: bigint,
  write: boolean,
): { result: number; size: bigint } {
  let table = BigInt(top);
  for (let level = BigInt(levels); level >= 1n; level--) {
    const shift = 12n + 9n * (level - 1n);
    const fault = (reason: number) => ({ result: -reason, size: 1n << shift });
    if (!bench.memory.isRam(Number(table))) return fault(7);
    const entry = bench.load(Number(table), Number(iova >> shift & 0x1ffn));
    if ((entry >> (write ? 1n : 0n) & 1n) === 0n) return fault(write ? 5 : 6);
    const address = entry & 0xffffffffff000n;
    if (address >> BigInt(capability.hostWidth) !== 0n) return fault(12);
    const large = level > 1n && (entry >> 7n & 1n) === 1n;
    if (large && (level > 3n || (capability.superpages >> Number(level - 2n) & 1) === 0)) {
      return fault(12);
    }
    if (large || level === 1n) {
      const inside = (1n << shift) - 1n;
      if ((address & inside) !== 0n) return fault(12);
      if (!capability.snoopControl && (entry >> 11n & 1n) === 1n) return fault(12);
      return { result: Number((address | iova & inside) >> 12n), size: 1n << shift };
    }
    table = address >> 12n;
  }
  throw new Error("no leaf");
}
