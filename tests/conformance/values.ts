import { parseSize } from "../../src/operations/values.ts";
import * as C from "../../src/uapi/capability.ts";
import * as I from "../../src/uapi/iommufd.ts";
import * as V from "../../src/uapi/vfio.ts";

/** Values a vector saved, by name. */
export type Names = Map<string, bigint>;

/** A constant of the kernel's headers by its name: `IOMMU_IOAS_MAP_READABLE`. */
export function constant(name: string): bigint | undefined {
  const value = ([C, I, V] as Record<string, unknown>[]).find((m) => name in m)?.[name];
  return typeof value === "number" || typeof value === "bigint" ? BigInt(value) : undefined;
}

/**
 * A number of a vector: a literal, a size, `$name`, a kernel constant's name, several of those
 * joined by `|`, or a sum or difference of two.
 */
export function evaluate(value: unknown, names: Names): bigint {
  if (typeof value === "number") {
    // YAML reads numbers as doubles.
    if (!Number.isSafeInteger(value)) throw new Error(`too large for a number, quote it: ${value}`);
    return BigInt(value);
  }
  if (typeof value === "bigint") return value;
  if (typeof value !== "string") throw new Error(`no number: ${JSON.stringify(value)}`);
  if (value.includes("|")) {
    return value.split("|").map((part) => evaluate(part, names)).reduce((a, b) => a | b, 0n);
  }
  const sum = /^(.*\S)\s+([+-])\s+(\S+)$/.exec(value.trim());
  if (sum !== null) {
    const [left, right] = [evaluate(sum[1], names), evaluate(sum[3], names)];
    return sum[2] === "+" ? left + right : left - right;
  }
  const text = value.trim();
  if (text.startsWith("$")) {
    const saved = names.get(text.slice(1));
    if (saved === undefined) throw new Error(`nothing was saved as ${text}`);
    return saved;
  }
  const named = constant(text);
  if (named !== undefined) return named;
  const size = parseSize(text);
  if (size !== undefined) return BigInt(size);
  return BigInt(text);
}

export function hexBytes(text: string): Uint8Array {
  const digits = text.replaceAll(/\s/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`no hex bytes: ${text}`);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
