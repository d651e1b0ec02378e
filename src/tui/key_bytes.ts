import { LETTER_KEYS, TILDE_KEYS } from "./key_names.ts";

/** Function keys F1 to F4 as most terminals send them. */
const SS3: Readonly<Record<string, string>> = { f1: "P", f2: "Q", f3: "R", f4: "S" };

const PLAIN: Readonly<Record<string, string>> = {
  enter: "\r",
  esc: "\x1b",
  tab: "\t",
  "shift-tab": "\x1b[Z",
  backspace: "\x7f",
  space: " ",
};

/** Bits of a modifier parameter. */
const MODIFIERS: readonly (readonly [name: string, bit: number])[] = [
  ["ctrl-", 4],
  ["alt-", 2],
  ["shift-", 1],
];

const letters = new Map(Object.entries(LETTER_KEYS).map(([letter, name]) => [name, letter]));
const numbers = new Map(Object.entries(TILDE_KEYS).map(([number, name]) => [name, number]));

/**
 * What a terminal sends for a key, by its name as in events.ts; undefined for no name of one. The
 * counterpart of the decoder in keys.ts.
 */
export function keyBytes(name: string): string | undefined {
  if (PLAIN[name] !== undefined) return PLAIN[name];
  let rest = name, bits = 0;
  for (const [prefix, bit] of MODIFIERS) {
    if (!rest.startsWith(prefix) || rest === prefix) continue;
    rest = rest.slice(prefix.length);
    bits |= bit;
  }
  if ([...rest].length === 1) return typed(rest, bits);
  if (rest === "space") return typed(" ", bits);
  if (bits === 0 && SS3[rest] !== undefined) return `\x1bO${SS3[rest]}`;
  const letter = letters.get(rest), number = numbers.get(rest);
  if (letter !== undefined) return bits === 0 ? `\x1b[${letter}` : `\x1b[1;${1 + bits}${letter}`;
  if (number === undefined) return undefined;
  return bits === 0 ? `\x1b[${number}~` : `\x1b[${number};${1 + bits}~`;
}

/** A character with modifiers; CSI u where no control character stands for it. */
function typed(text: string, bits: number): string | undefined {
  if (bits === 0) return text;
  if (bits === 2) return "\x1b" + text;
  const code = text.toLowerCase().charCodeAt(0);
  if (bits === 4 && code >= 0x61 && code <= 0x7a) return String.fromCharCode(code - 0x60);
  return `\x1b[${code};${1 + bits}u`;
}
