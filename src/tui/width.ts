/**
 * How many cells text takes. The model is the one terminals share: a code point takes one or
 * two cells, and the zero-width marks after it join its cell. Sequences about which terminals
 * disagree (joined emoji, skin tones, flags, variation selectors) are reduced to something
 * they agree on, so that one odd log line cannot shift a whole screen. That is also why there
 * is no grapheme segmenter here: it would merge what most terminals place separately.
 */

import { eastAsianWidth } from "get-east-asian-width";

const REPLACEMENT = 0xfffd;
const SOFT_HYPHEN = 0xad;
const ZERO_WIDTH_JOINER = 0x200d;

/** More marks than this on one cell are decoration; the rest is dropped. */
const MAX_MARKS = 2;

/** 1 for UTF-16 units that are one cell wide everywhere and need no further thought. */
const PLAIN = new Uint8Array(0x2900);
for (
  const [first, last] of [
    [0x20, 0x7e],
    [0xa1, 0x2ff],
    [0x370, 0x482],
    [0x48a, 0x58f],
    [0x2010, 0x2027],
    [0x2190, 0x22ff],
    [0x2400, 0x2426],
    [0x2500, 0x25fc],
    [0x2800, 0x28ff],
  ] as const
) PLAIN.fill(1, first, last + 1);
PLAIN[SOFT_HYPHEN] = 0;

/** True for a UTF-16 unit (or code point) on the fast path: one cell, whatever follows. */
export function isPlain(code: number): boolean {
  return code < 0x2900 && PLAIN[code] === 1;
}

const WIDE_EVERYWHERE = [
  [0x2e80, 0x303e],
  [0x3041, 0x4dbf],
  [0x4e00, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xff01, 0xff60],
  [0x20000, 0x3fffd],
] as const;

/**
 * True when every terminal can be trusted to advance by `cellWidth(code)`. False asks the
 * writer to place the cursor afresh after the cell.
 */
export function isSettled(code: number): boolean {
  if (isPlain(code)) return true;
  return WIDE_EVERYWHERE.some(([first, last]) => code >= first && code <= last) &&
    eastAsianWidth(code) === 2;
}

const MARK = /^[\p{Mn}\p{Me}]$/u;
const PICTOGRAPH = /^\p{Extended_Pictographic}$/u;
const FORMAT = /^[\p{Cf}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]$/u;

function isMark(code: number): boolean {
  // Hangul vowels and finals draw into the cell of the initial before them.
  if ((code >= 0x1160 && code <= 0x11ff) || (code >= 0xd7b0 && code <= 0xd7fb)) return true;
  return code >= 0x300 && MARK.test(String.fromCodePoint(code));
}

function isVariationSelector(code: number): boolean {
  return (code >= 0xfe00 && code <= 0xfe0f) || (code >= 0xe0100 && code <= 0xe01ef);
}

function isSkinTone(code: number): boolean {
  return code >= 0x1f3fb && code <= 0x1f3ff;
}

function isPictograph(code: number): boolean {
  return code > 0xff && PICTOGRAPH.test(String.fromCodePoint(code));
}

/** Bidirectional overrides can make a screen lie about its order; they are shown, not obeyed. */
function isBidiControl(code: number): boolean {
  return (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/** What is drawn for a code point; 0 for one that is left out. */
function shown(code: number): number {
  if (code === 0x09 || code === 0xa0) return 0x20;
  if (code < 0x20) return 0x2400 + code;
  if (code === 0x7f) return 0x2421;
  if (code < 0xa0 || code === 0x2028 || code === 0x2029 || isBidiControl(code)) return REPLACEMENT;
  if (code === SOFT_HYPHEN) return 0x2d;
  if (code >= 0xd800 && code <= 0xdfff) return REPLACEMENT;
  // Two letters are what a flag is made of, and every terminal is sure how wide a letter is.
  if (code >= 0x1f1e6 && code <= 0x1f1ff) return 0x41 + code - 0x1f1e6;
  if (isVariationSelector(code) || FORMAT.test(String.fromCodePoint(code))) return 0;
  return code;
}

/** Cells that a code point takes when drawn: 0 (a mark or left out), 1 or 2. */
export function cellWidth(code: number): 0 | 1 | 2 {
  if (isPlain(code)) return 1;
  const drawn = shown(code);
  if (drawn === 0 || isMark(drawn)) return 0;
  return isPlain(drawn) ? 1 : eastAsianWidth(drawn) === 2 ? 2 : 1;
}

/** Splits text into cells, one `next()` at a time, without allocating for plain text. */
export class CellScanner {
  /** Code point of the current cell. Never a control character, never a lone surrogate. */
  code = 0;
  width: 1 | 2 = 1;
  /** Zero-width marks that join the cell; nearly always empty. */
  marks = "";
  #text = "";
  #at = 0;

  start(text: string, from = 0): void {
    // A composed letter is one code point, which spares the terminal a combining mark.
    this.#text = text.slice(from).normalize("NFC");
    this.#at = 0;
  }

  /** Moves to the next cell. False at the end of the text. */
  next(): boolean {
    this.marks = "";
    while (this.#at < this.#text.length) {
      const code = this.#take();
      const width = isPlain(code) ? 1 : cellWidth(code);
      if (width === 0) continue;
      this.width = width;
      this.code = isPlain(code) ? code : shown(code);
      if (this.#at < this.#text.length && !isPlain(this.#text.charCodeAt(this.#at))) this.#join();
      return true;
    }
    return false;
  }

  #take(): number {
    const code = this.#text.codePointAt(this.#at)!;
    this.#at += code > 0xffff ? 2 : 1;
    return code;
  }

  /** Collects the marks of the current cell and drops what cannot be drawn with it. */
  #join(): void {
    let kept = 0;
    while (this.#at < this.#text.length) {
      const before = this.#at;
      const code = this.#take();
      if (code === ZERO_WIDTH_JOINER) {
        const after = this.#at;
        if (after < this.#text.length && !isPictograph(this.#take())) this.#at = after;
      } else if (isSkinTone(code) && isPictograph(this.code)) {
        continue;
      } else if (isMark(code) && !isVariationSelector(code)) {
        if (kept++ < MAX_MARKS) this.marks += String.fromCodePoint(code);
      } else if (cellWidth(code) !== 0) {
        this.#at = before;
        return;
      }
    }
  }
}

const scanner = new CellScanner();

/** Cells that `text` takes when drawn on one line. */
export function textWidth(text: string): number {
  let at = 0;
  while (at < text.length && isPlain(text.charCodeAt(at))) at++;
  if (at === text.length) return at;
  // The last plain letter may be the base of a mark, so the slow path starts with it.
  const from = Math.max(0, at - 1);
  let width = from;
  scanner.start(text, from);
  while (scanner.next()) width += scanner.width;
  return width;
}
