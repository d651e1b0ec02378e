import { formatSize, GiB, MiB } from "../base/units.ts";
import type { Scenario } from "./schema.ts";

/** Where the first kernel image ends, and where RAM does, below the hole for devices. */
const IMAGE_END = 2 * MiB, LOW_RAM_END = 3 * GiB;

/** What is wrong with the memory that firmware reserves for devices, and for which of them. */
export function reservedComplaint(
  { memory, devices }: Scenario["machine"],
): { message: string; device: number } | undefined {
  const end = Math.min(memory, LOW_RAM_END);
  for (const [device, { id, rmrr }] of devices.entries()) {
    if (rmrr === undefined) continue;
    const last = rmrr.base + rmrr.size;
    if (rmrr.base < IMAGE_END || last > end) {
      const room = `between ${formatSize(IMAGE_END)} and ${formatSize(end)}`;
      return { message: `firmware reserves memory ${room}`, device };
    }
    const other = devices.slice(0, device).find((d) =>
      d.rmrr !== undefined && d.rmrr.base < last && rmrr.base < d.rmrr.base + d.rmrr.size
    );
    if (other !== undefined) {
      return { message: `${other.id} and ${id} have the same memory`, device };
    }
  }
  return undefined;
}
