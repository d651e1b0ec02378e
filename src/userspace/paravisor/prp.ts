import { PAGE_SIZE } from "../../base/units.ts";
import * as N from "../../uapi/nvme_regs.ts";
import type { GuestCpu } from "../guest/cpu.ts";

/** Most pages of one command. */
const MAX_PAGES = 32;

/**
 * The pages a command's data lies in, guest-physical, as its PRPs name them: whole pages, in one list
 * at most. Undefined where they are anything else, which this controller does not take.
 */
export function pagesOf(
  cpu: GuestCpu,
  entry: readonly number[],
  bytes: number,
): number[] | undefined {
  const wide = (low: number, high: number) => (low >>> 0) + (high >>> 0) * 4294967296;
  const count = bytes / PAGE_SIZE;
  if (count > MAX_PAGES) return undefined;
  const first = wide(entry[N.SQE_PRP1], entry[N.SQE_PRP1 + 1]);
  const second = wide(entry[N.SQE_PRP2], entry[N.SQE_PRP2 + 1]);
  const pages = [first];
  if (count === 2) pages.push(second);
  if (count > 2) {
    if (second % 8 !== 0 || second % PAGE_SIZE + (count - 1) * 8 > PAGE_SIZE) return undefined;
    for (let i = 0; i < count - 1; i++) {
      pages.push(wide(cpu.load32(second + i * 8), cpu.load32(second + i * 8 + 4)));
    }
  }
  return pages.every((page) => page % PAGE_SIZE === 0) ? pages : undefined;
}
