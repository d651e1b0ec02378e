import * as q from "../../../src/uapi/smmuv3_queues.ts";
import type { Bench } from "./bench.ts";

export interface ReferenceRegime {
  stage2: boolean;
  /** Byte address of the first table. */
  ttb: bigint;
  inputBits: number;
  outputBits: number;
  startLevel: number;
  ignoresAccessFlag: boolean;
}

/** The walk once more, in plain 64-bit numbers, as the descriptors are described. */
export function referenceWalk(
  bench: Bench,
  r: ReferenceRegime,
  iova: bigint,
  write: boolean,
): { result: number; bytes: bigint } {
  const fault = (event: number) => ({ result: -(0x100 | event), bytes: 0n });
  if (iova >> BigInt(r.inputBits) !== 0n) return fault(q.F_TRANSLATION);
  let table = r.ttb;
  let privileged = false, readOnly = false;
  for (let level = r.startLevel;; level++) {
    const shift = BigInt(12 + 9 * (3 - level));
    const index = level === r.startLevel ? iova >> shift : iova >> shift & 511n;
    const at = table + index * 8n;
    if (!bench.memory.isRam(Number(at >> 12n))) return fault(q.F_WALK_EABT);
    const d = bench.load(Number(at >> 12n), Number(at % 4096n / 8n));
    const type = d & 3n;
    if (type === 0n || type === 2n) return fault(q.F_TRANSLATION);
    const leaf = level === 3 ? type === 3n : type === 1n;
    if (level === 3 && !leaf) return fault(q.F_TRANSLATION);
    if (leaf && level === 0) return fault(q.F_TRANSLATION);
    const address = d & 0x0000fffffffff000n;
    if (address >> BigInt(r.outputBits) !== 0n) return fault(q.F_ADDR_SIZE);
    if (!leaf) {
      privileged ||= (d >> 61n & 1n) === 1n;
      readOnly ||= (d >> 62n & 1n) === 1n;
      table = address;
      continue;
    }
    if ((d >> 10n & 1n) === 0n && !r.ignoresAccessFlag) return fault(q.F_ACCESS);
    const ap = d >> 6n & 3n;
    const allowed = r.stage2
      ? (ap >> (write ? 1n : 0n) & 1n) === 1n
      : (ap & 1n) === 1n && !privileged && !(write && ((ap & 2n) !== 0n || readOnly));
    if (!allowed) return fault(q.F_PERMISSION);
    const inside = (1n << shift) - 1n;
    const contiguous = (d >> 52n & 1n) === 1n ? 16n : 1n;
    return {
      result: Number((address & ~inside | iova & inside) >> 12n),
      bytes: (1n << shift) * contiguous,
    };
  }
}
