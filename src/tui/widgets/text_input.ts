import type { KeyEvent } from "../events.ts";
import type { Region } from "../region.ts";
import type { StyleLike } from "../style.ts";
import { textWidth } from "../width.ts";

/** A line that is being typed. */
export interface TextInput {
  readonly text: string;
  /** Where the next character goes: UTF-16 units from the start, never within a surrogate pair. */
  readonly cursor: number;
}

/** Longest line that can be typed or pasted, UTF-16 units. */
const MAX_LENGTH = 4096;

/** A line with the cursor at its end. */
export function inputOf(text: string): TextInput {
  return { text, cursor: text.length };
}

/** Puts text in at the cursor; line ends become blanks, other control characters go. */
export function insertText(input: TextInput, added: string): TextInput {
  // deno-lint-ignore no-control-regex
  const clean = added.replace(/[\t\n]+/g, " ").replace(/[\x00-\x1f\x7f]/g, "");
  if (input.text.length + clean.length > MAX_LENGTH) return input;
  const { text, cursor } = input;
  return {
    text: text.slice(0, cursor) + clean + text.slice(cursor),
    cursor: cursor + clean.length,
  };
}

/** What a key does to the line, as readline has it; null for a key that edits nothing. */
export function editInput(input: TextInput, event: KeyEvent): TextInput | null {
  const { text, cursor } = input;
  const cut = (from: number, to: number): TextInput => ({
    text: text.slice(0, from) + text.slice(to),
    cursor: from,
  });
  switch (event.key) {
    case "left":
    case "ctrl-b":
      return { text, cursor: before(text, cursor) };
    case "right":
    case "ctrl-f":
      return { text, cursor: after(text, cursor) };
    case "home":
    case "ctrl-a":
      return { text, cursor: 0 };
    case "end":
    case "ctrl-e":
      return { text, cursor: text.length };
    case "ctrl-left":
    case "alt-b":
      return { text, cursor: wordBefore(text, cursor) };
    case "ctrl-right":
    case "alt-f":
      return { text, cursor: wordAfter(text, cursor) };
    case "backspace":
      return cut(before(text, cursor), cursor);
    case "delete":
    case "ctrl-d":
      return cut(cursor, after(text, cursor));
    case "ctrl-w":
    case "alt-backspace":
      return cut(wordBefore(text, cursor), cursor);
    case "ctrl-u":
      return cut(0, cursor);
    case "ctrl-k":
      return cut(cursor, text.length);
    default:
      return event.text === undefined ? null : insertText(input, event.text);
  }
}

function before(text: string, at: number): number {
  const pair = at > 1 && isLow(text, at - 1) && isHigh(text, at - 2);
  return Math.max(0, at - (pair ? 2 : 1));
}

function after(text: string, at: number): number {
  const pair = at + 1 < text.length && isHigh(text, at) && isLow(text, at + 1);
  return Math.min(text.length, at + (pair ? 2 : 1));
}

const isHigh = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xd800;
const isLow = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

function wordBefore(text: string, at: number): number {
  return /\S*\s*$/.exec(text.slice(0, at))!.index;
}

function wordAfter(text: string, at: number): number {
  return at + /^\s*\S*/.exec(text.slice(at))![0].length;
}

/**
 * Draws the line in the first row of the region behind a prompt, and shows the terminal's cursor in
 * it. A line that is too long is shown around the cursor.
 */
export function drawInput(
  region: Region,
  prompt: string,
  input: TextInput,
  style: StyleLike = "text",
): void {
  const x = region.put(0, 0, prompt, region.table.over("key", style));
  const room = region.w - x - 1;
  let from = 0;
  while (from < input.cursor && textWidth(input.text.slice(from, input.cursor)) > room) {
    from = after(input.text, from);
  }
  region.put(x, 0, input.text.slice(from), style, region.w - x);
  region.showCursor(x + textWidth(input.text.slice(from, input.cursor)), 0);
}
