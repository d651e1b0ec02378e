/**
 * Fills 64-bit places [from, to) of a chunk, as `Memory.writableWide` has them. Of memory that could be
 * shared the engine's own fill takes twice as long: it keeps to an order that nobody asked for.
 */
export function fillWide(wide: Float64Array, from: number, to: number, value: number): void {
  if (wide.buffer instanceof SharedArrayBuffer) fillShared(wide, from, to, value);
  else wide.fill(value, from, to);
}

function fillShared(wide: Float64Array, from: number, to: number, value: number): void {
  let at = from;
  for (; at + 4 <= to; at += 4) {
    wide[at] = value;
    wide[at + 1] = value;
    wide[at + 2] = value;
    wide[at + 3] = value;
  }
  for (; at < to; at++) wide[at] = value;
}

const PAIR = new Uint32Array(2), VALUE = new Float64Array(PAIR.buffer);

/** A word twice, as such a place has it; NaN: there is no number that would keep these bits. */
export function wideOf(word: number): number {
  PAIR.fill(word);
  return VALUE[0];
}
