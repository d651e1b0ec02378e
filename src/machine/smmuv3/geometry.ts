import { SMMU_ADDRESS_BITS } from "../../uapi/smmuv3_regs.ts";
import { INPUT_BITS, type SmmuCapability } from "./capability.ts";

/** A size that the architecture does not allow. */
export const BAD_GEOMETRY = -1;

/**
 * The level (0..2) at which stage-1 tables for addresses of 64 - `t0sz` bits begin, with 4 KiB
 * tables of 9 bits a level; {@link BAD_GEOMETRY} when T0SZ is none of 16..39.
 */
export function stage1StartLevel(t0sz: number): number {
  if (t0sz < 64 - INPUT_BITS || t0sz > 39) return BAD_GEOMETRY;
  return 4 - Math.ceil((64 - t0sz - 12) / 9);
}

/**
 * The level at which stage-2 tables begin: SL0 says it, 0, 1, 2 for level 2, 1, 0, and must fit
 * the size of the address: one bit at least for the first table, and at most 4 more than its 9,
 * by up to 16 tables side by side. `limit`: bits of the widest intermediate address.
 */
export function stage2StartLevel(t0sz: number, sl0: number, limit: number): number {
  const bits = 64 - t0sz, level = 2 - sl0;
  if (level < 0 || t0sz > 39 || bits > limit) return BAD_GEOMETRY;
  const below = 12 + 9 * (3 - level);
  return bits > below && bits <= below + 13 ? level : BAD_GEOMETRY;
}

/** Bits of output addresses for a 3-bit code (IPS, S2PS): never more than the unit has. */
export function outputBits(code: number, capability: SmmuCapability): number {
  return Math.min(SMMU_ADDRESS_BITS[code] ?? 64, capability.outputBits);
}

/** log2 of the bytes of the first table: its entries, side by side, are 8 bytes each. */
export function firstTableBits(inputBits: number, startLevel: number): number {
  return inputBits - (12 + 9 * (3 - startLevel)) + 3;
}

/** True when the 64-bit address needs more than `bits` bits (0 = no address fits). */
export function exceeds(bits: number, hi: number, lo: number): boolean {
  if (bits >= 32) return (hi >>> (bits - 32)) !== 0;
  return bits === 0 || hi !== 0 || (lo >>> bits) !== 0;
}
