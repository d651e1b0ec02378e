/** Names of keys, from the numbers and letters that terminals send for them. */

import type { KeyEvent } from "./events.ts";

/** Final letters of `CSI letter` and `SS3 letter`. */
export const LETTER_KEYS: Readonly<Record<string, string>> = {
  A: "up",
  B: "down",
  C: "right",
  D: "left",
  E: "begin",
  F: "end",
  H: "home",
  P: "f1",
  Q: "f2",
  R: "f3",
  S: "f4",
};

/** The keypad in application mode: `SS3 letter`. */
export const KEYPAD_KEYS: Readonly<Record<string, string>> = {
  M: "enter",
  X: "=",
  j: "*",
  k: "+",
  l: ",",
  m: "-",
  n: ".",
  o: "/",
  p: "0",
  q: "1",
  r: "2",
  s: "3",
  t: "4",
  u: "5",
  v: "6",
  w: "7",
  x: "8",
  y: "9",
};

/** `CSI number ~`. The gaps in the function keys are those of the VT220. */
export const TILDE_KEYS: Readonly<Record<number, string>> = {
  1: "home",
  2: "insert",
  3: "delete",
  4: "end",
  5: "pageup",
  6: "pagedown",
  7: "home",
  8: "end",
  11: "f1",
  12: "f2",
  13: "f3",
  14: "f4",
  15: "f5",
  17: "f6",
  18: "f7",
  19: "f8",
  20: "f9",
  21: "f10",
  23: "f11",
  24: "f12",
  25: "f13",
  26: "f14",
  28: "f15",
  29: "f16",
  31: "f17",
  32: "f18",
  33: "f19",
  34: "f20",
};

/** The Linux console's `CSI [ letter`. */
export const LINUX_KEYS: Readonly<Record<string, string>> = {
  A: "f1",
  B: "f2",
  C: "f3",
  D: "f4",
  E: "f5",
};

const CODE_KEYS: Readonly<Record<number, string>> = {
  8: "backspace",
  9: "tab",
  13: "enter",
  27: "esc",
  127: "backspace",
};

/** The kitty protocol's private-use numbers for the keypad, from 57399 on. */
const KITTY_KEYPAD = [
  ..."0123456789./*-+",
  "enter",
  "=",
  ",",
  "left",
  "right",
  "up",
  "down",
  "pageup",
  "pagedown",
  "home",
  "end",
  "insert",
  "delete",
  "begin",
];

const SHIFT = 1;
const ALT = 2;
const CTRL = 4;
/** Super, hyper and meta are not told apart. Caps lock and num lock are not modifiers. */
const SUPER = 8 | 16 | 32;

/** Modifier bits of a parameter, which is 1 + bits; 0 when it is missing or nonsense. */
export function modifierBits(parameter: number | undefined): number {
  return parameter === undefined || parameter < 2 ? 0 : parameter - 1;
}

function prefix(bits: number): string {
  return (bits & CTRL ? "ctrl-" : "") + (bits & ALT ? "alt-" : "") +
    (bits & SHIFT ? "shift-" : "") + (bits & SUPER ? "super-" : "");
}

/** The event for a named key. */
export function namedKey(name: string, bits = 0): KeyEvent {
  const plain = [...name].length === 1 && (bits & (CTRL | ALT | SUPER)) === 0;
  return plain ? { type: "key", key: name, text: name } : { type: "key", key: prefix(bits) + name };
}

/** The event for a byte below 0x20, or 0x7f. */
export function controlKey(byte: number, alt: boolean): KeyEvent {
  const bits = alt ? ALT : 0;
  // Terminals are divided over which of the two Backspace sends.
  const name = CODE_KEYS[byte];
  if (name !== undefined) return namedKey(name, bits);
  if (byte === 0) return { type: "key", key: prefix(bits | CTRL) + "space" };
  return { type: "key", key: prefix(bits | CTRL) + String.fromCharCode(byte + 0x40).toLowerCase() };
}

/** The event for typed text, one code point. */
export function textKey(text: string, alt: boolean): KeyEvent {
  return alt ? { type: "key", key: `alt-${text === " " ? "space" : text}` } : namedKey(text);
}

/**
 * The event for a code point with modifiers, as in CSI u; null for keys without a name.
 * `shifted` is the code point that the layout gives with shift, when the terminal told it.
 */
export function codeKey(code: number, bits: number, shifted?: number): KeyEvent | null {
  const name = CODE_KEYS[code] ?? KITTY_KEYPAD[code - 57399];
  if (name !== undefined) return namedKey(name, bits);
  if (code >= 57376 && code <= 57387) return namedKey(`f${code - 57376 + 13}`, bits);
  const surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < 0x20 || (code >= 0x7f && code < 0xa0) || surrogate || code > 0x10ffff) return null;
  if (code >= 0xe000 && code <= 0xf8ff) return null;

  let text = String.fromCodePoint(code);
  const commanding = (bits & (CTRL | SUPER)) !== 0;
  if (commanding) {
    text = text.toLowerCase();
  } else if (bits & SHIFT) {
    text = shifted !== undefined && shifted >= 0x20 && shifted <= 0xd7ff
      ? String.fromCodePoint(shifted)
      : text.toUpperCase();
    bits &= ~SHIFT;
  }
  if (text === " " && (bits & ~SHIFT) !== 0) text = "space";
  return namedKey(text, text === "space" || commanding ? bits : bits & ~SHIFT);
}
