/** A name, and a number that goes with it. */
export interface NameEntry {
  readonly name: string;
  value: number;
  /** What was looked up after this one, the last time that was not what had been expected. */
  next: NameEntry | undefined;
}

/**
 * Names, each with a number. Trees repeat themselves, and so do those who write and read them:
 * mostly a name is the one that came after the last one before, and is not looked for.
 */
export class NameTable {
  readonly #entries = new Map<string, NameEntry>();
  /** What was looked up last. */
  #last: NameEntry | undefined;

  find(name: string): NameEntry | undefined {
    const next = this.#last?.next;
    if (next === undefined || next.name !== name) return this.#look(name);
    this.#last = next;
    return next;
  }

  #look(name: string): NameEntry | undefined {
    const entry = this.#entries.get(name);
    if (entry !== undefined) this.#follow(entry);
    return entry;
  }

  /** Adds a name that `find` did not find. */
  add(name: string, value: number): NameEntry {
    const entry = { name, value, next: undefined };
    this.#entries.set(name, entry);
    this.#follow(entry);
    return entry;
  }

  #follow(entry: NameEntry): void {
    if (this.#last !== undefined) this.#last.next = entry;
    this.#last = entry;
  }
}
