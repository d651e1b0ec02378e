/**
 * How a stream table entry or a context descriptor is changed under a unit that may read it at
 * any moment (FACTS 4.2). Hardware reads an entry as eight 64-bit words, each atomic and the
 * eight of them not.
 */

/** 32-bit words of an entry: eight 64-bit ones. */
export const ENTRY_WORDS = 16;
const QWORDS = ENTRY_WORDS / 2;

/** An entry, or a mask over one, as 32-bit words. */
export type Entry = Int32Array;

/** One entry in memory, and what is known of its kind. */
export interface EntrySlot {
  load(word: number): number;
  store(word: number, value: number): void;
  /** The bits hardware looks at in an entry of this content. */
  used(entry: Entry): Entry;
  /** CFGI and SYNC: from here on hardware reads the entry anew. */
  sync(): void;
}

/**
 * How a change went: nothing that hardware looks at changed, every request met the old entry or
 * the new one, or requests met an invalid entry in between.
 */
export type UpdateKind = "unused" | "hitless" | "disruptive";

/** Writes `target` over the entry, with as little harm as its content allows. */
export function writeEntry(slot: EntrySlot, target: Entry): UpdateKind {
  const current = new Int32Array(ENTRY_WORDS);
  for (let i = 0; i < ENTRY_WORDS; i++) current[i] = slot.load(i);
  const prepared = prepare(current, slot.used(current), target);
  const critical = differing(prepared, target, slot.used(target));
  if (critical.length === 0) {
    store(slot, current, target, 0, QWORDS);
    return "unused";
  }
  if (critical.length === 1) {
    const [q] = critical;
    // The one word that matters is written as a whole, by itself.
    for (const word of [q * 2, q * 2 + 1]) prepared[word] = current[word];
    store(slot, current, prepared, 0, QWORDS);
    store(slot, current, target, q, 1);
    store(slot, current, target, 0, QWORDS);
    return "hitless";
  }
  const invalid = current.slice();
  invalid[0] = invalid[1] = 0;
  store(slot, current, invalid, 0, 1);
  store(slot, current, target, 1, QWORDS - 1);
  store(slot, current, target, 0, 1);
  return "disruptive";
}

/** The target wherever hardware does not look now, the current entry wherever it does. */
function prepare(current: Entry, used: Entry, target: Entry): Entry {
  return current.map((word, i) => (word & used[i]) | (target[i] & ~used[i]));
}

/** 64-bit words in which the prepared entry would still not mean what the target means. */
function differing(prepared: Entry, target: Entry, used: Entry): number[] {
  const found: number[] = [];
  for (let q = 0; q < QWORDS; q++) {
    const low = (prepared[q * 2] ^ target[q * 2]) & used[q * 2];
    const high = (prepared[q * 2 + 1] ^ target[q * 2 + 1]) & used[q * 2 + 1];
    if ((low | high) !== 0) found.push(q);
  }
  return found;
}

/** Stores the 64-bit words that differ, and lets hardware see them. Keeps `current` in step. */
function store(slot: EntrySlot, current: Entry, wanted: Entry, from: number, count: number): void {
  let changed = false;
  for (let word = from * 2; word < (from + count) * 2; word += 2) {
    if (current[word] === wanted[word] && current[word + 1] === wanted[word + 1]) continue;
    changed = true;
    // One 64-bit store: no request comes between its halves.
    for (const half of [word, word + 1]) slot.store(half, current[half] = wanted[half]);
  }
  if (changed) slot.sync();
}
