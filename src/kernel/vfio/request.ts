import { EFAULT, EINVAL } from "../../uapi/errno.ts";
import type { FieldType, Struct, StructValue } from "../../uapi/struct.ts";

/**
 * The first `bytes` bytes of a VFIO request, which begins with its argsz: EFAULT where the caller's
 * memory ends before, EINVAL for a smaller argsz. Fields behind them are 0.
 */
export function take<F extends Record<string, FieldType>>(
  struct: Struct<F>,
  payload: Uint8Array,
  bytes: number,
): StructValue<F> | number {
  return payload.length < bytes ? -EFAULT : takeAll(struct, payload, bytes);
}

/**
 * The whole of a request whose beginning was taken already, and says that there is more: now the
 * argsz is looked at first.
 */
export function takeAll<F extends Record<string, FieldType>>(
  struct: Struct<F>,
  payload: Uint8Array,
  bytes: number = struct.size,
): StructValue<F> | number {
  const argsz = new DataView(payload.buffer, payload.byteOffset).getUint32(0, true);
  if (argsz < bytes) return -EINVAL;
  return payload.length < bytes ? -EFAULT : struct.decode(payload.subarray(0, bytes));
}
