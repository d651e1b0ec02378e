import * as z from "zod/mini";
import { GiB, KiB, MiB, ms, PAGE_SIZE, second, TiB, us } from "../base/units.ts";

// What is wrong with a value is said in words.
z.config(z.locales.en());

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

/** What was written as a number, or an issue that says what was expected. */
function readBy<T>(read: (value: T) => number | undefined, message: string) {
  return z.transform((value: T, context): number => {
    const found = read(value);
    if (found !== undefined) return found;
    context.issues.push({ code: "custom", message, input: value });
    return z.NEVER;
  });
}

/** A size in bytes, written with a unit. */
export const size = z.pipe(z.string(SIZE), readBy(parseSize, SIZE));

/** A size that is a multiple of `unit` bytes and not 0. */
export function sizeOf(unit: number, name: string) {
  return size.with(z.refine((bytes) => bytes > 0 && bytes % unit === 0, {
    message: `expected a size that is a multiple of ${name}`,
  }));
}

export const pages = sizeOf(PAGE_SIZE, "the page, 4KiB");

const DURATION = "expected a duration such as 200us (ns, us, ms, s)";

/** A duration in nanoseconds, written with a unit. */
export const duration = z.pipe(z.string(DURATION), readBy(parseDuration, DURATION));

/** An address: 0x… as a number or in quotes, below 2^53. */
export const address = z.pipe(
  z.union([z.int().with(z.minimum(0)), z.string()]),
  readBy((value: number | string) => {
    const n = Number(value);
    return Number.isSafeInteger(n) && n >= 0 ? n : undefined;
  }, "expected an address such as 0x100000"),
);

/** A whole number from 0 on, in digits or as a number. */
export const whole = z.pipe(
  z.union([z.number(), z.string().with(z.regex(/^\d+$/))], "expected a whole number"),
  z.transform(Number),
).with(z.refine((n) => Number.isSafeInteger(n) && n >= 0, {
  message: "expected a whole number",
}));
