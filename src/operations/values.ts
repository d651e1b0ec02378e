import { z } from "zod";
import { GiB, KiB, MiB, ms, PAGE_SIZE, second, TiB, us } from "../base/units.ts";

const SIZES: Record<string, number> = { B: 1, KiB, MiB, GiB, TiB };
const TIMES: Record<string, number> = { ns: 1, us, ms, s: second };

function quantity(text: string, units: Record<string, number>): number | undefined {
  const m = /^(\d+(?:\.\d+)?)\s*([A-Za-z]+)$/.exec(text.trim());
  if (m === null || units[m[2]] === undefined) return undefined;
  const value = Number(m[1]) * units[m[2]];
  return Number.isInteger(value) ? value : undefined;
}

/** `64MiB` in bytes; undefined when it is no size. */
export function parseSize(text: string): number | undefined {
  return quantity(text, SIZES);
}

/** `200us` in nanoseconds; undefined when it is no duration. */
export function parseDuration(text: string): number | undefined {
  return quantity(text, TIMES);
}

/** Nanoseconds as {@link parseDuration} reads them back, exactly: `812.5ms`, `1043ns`. */
export function durationText(ns: number): string {
  const unit = ns >= second ? "s" : ns >= ms ? "ms" : ns >= us ? "us" : "ns";
  const text = String(ns / TIMES[unit]);
  return parseDuration(text + unit) === ns ? text + unit : `${ns}ns`;
}

const SIZE = "expected a size such as 64MiB (B, KiB, MiB, GiB, TiB)";

/** A size in bytes, written with a unit. */
export const size = z.string(SIZE).transform((text, ctx) => {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  ctx.addIssue({
    code: "custom",
    message: "expected a size such as 64MiB (B, KiB, MiB, GiB, TiB)",
  });
  return z.NEVER;
});

/** A size that is a multiple of `unit` bytes and not 0. */
export function sizeOf(unit: number, name: string) {
  return size.refine((bytes) => bytes > 0 && bytes % unit === 0, {
    message: `expected a size that is a multiple of ${name}`,
  });
}

export const pages = sizeOf(PAGE_SIZE, "the page, 4KiB");

const DURATION = "expected a duration such as 200us (ns, us, ms, s)";

/** A duration in nanoseconds, written with a unit. */
export const duration = z.string(DURATION).transform((text, ctx) => {
  const ns = parseDuration(text);
  if (ns !== undefined) return ns;
  ctx.addIssue({ code: "custom", message: DURATION });
  return z.NEVER;
});

/** An address: 0x… as a number or in quotes, below 2^53. */
export const address = z.union([z.number().int().min(0), z.string()]).transform((value, ctx) => {
  const n = typeof value === "number" ? value : Number(value);
  if (Number.isSafeInteger(n) && n >= 0) return n;
  ctx.addIssue({ code: "custom", message: "expected an address such as 0x100000" });
  return z.NEVER;
});

/** A whole number from 0 on, in digits or as a number. */
export const whole = z.union([z.number(), z.string().regex(/^\d+$/)], "expected a whole number")
  .transform(Number).refine((n) => Number.isSafeInteger(n) && n >= 0, {
    message: "expected a whole number",
  });
