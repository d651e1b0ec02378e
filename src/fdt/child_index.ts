/**
 * A node's children by name: rows of the tree in chains, by a hash of the name's bytes. It is made
 * in time linear in the children. A look-up takes a few steps, or, of names that were picked to
 * fall together, as many as there are children: what it always takes in libfdt.
 */
export class ChildIndex {
  readonly #bytes: Uint8Array;
  /** Of an entry, the name's first byte and the one behind its last. */
  readonly #from: Int32Array;
  readonly #end: Int32Array;
  readonly #node: Int32Array;
  /** The next entry of the same chain, -1 at its end. */
  readonly #next: Int32Array;
  /** The first entry of a chain. */
  readonly #heads: Int32Array;
  #entries = 0;

  /** Room for so many children. `bytes`: what {@link add} finds names in. */
  constructor(bytes: Uint8Array, children: number) {
    this.#bytes = bytes;
    // A child may go by two names: with its unit address, and without.
    this.#from = new Int32Array(2 * children);
    this.#end = new Int32Array(2 * children);
    this.#node = new Int32Array(2 * children);
    this.#next = new Int32Array(2 * children);
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(2 * children + 1))).fill(-1);
  }

  /** Adds a child whose name, up to its NUL, is at `from`. From the last one to the first. */
  add(from: number, node: number): void {
    const bytes = this.#bytes;
    let hash = 0, at = from, hasUnit = false;
    for (let byte = bytes[at] as number; byte !== 0; byte = bytes[++at] as number) {
      if (byte === AT && !hasUnit) {
        this.#put(hash, from, at, node);
        hasUnit = true;
      }
      hash = step(hash, byte);
    }
    this.#put(hash, from, at, node);
  }

  /** Of equal names the one put last counts, the first of the tree. */
  #put(hash: number, from: number, end: number, node: number): void {
    const slot = this.#slotOf(hash), head = this.#heads[slot] as number;
    let entry = head;
    if (head < 0 || !this.#isSame(head, from, end)) {
      entry = this.#entries++;
      this.#next[entry] = head;
      this.#heads[slot] = entry;
    }
    this.#from[entry] = from;
    this.#end[entry] = end;
    this.#node[entry] = node;
  }

  #isSame(entry: number, from: number, end: number): boolean {
    const bytes = this.#bytes;
    let at = this.#from[entry] as number;
    if (end - from !== (this.#end[entry] as number) - at) return false;
    for (; from < end; at++, from++) if (bytes[at] !== bytes[from]) return false;
    return true;
  }

  /** The first child with this name (characters 0 to 255 are bytes), -1: none. */
  find(name: string): number {
    let hash = 0;
    for (let i = 0; i < name.length; i++) hash = step(hash, name.charCodeAt(i));
    let entry = this.#heads[this.#slotOf(hash)] as number;
    while (entry >= 0 && !this.#isNamed(entry, name)) entry = this.#next[entry] as number;
    return entry < 0 ? -1 : this.#node[entry] as number;
  }

  #isNamed(entry: number, name: string): boolean {
    const from = this.#from[entry] as number;
    return (this.#end[entry] as number) - from === name.length && begins(this.#bytes, from, name);
  }

  #slotOf(hash: number): number {
    return (hash ^ hash >>> 16) & (this.#heads.length - 1);
  }
}

/** What a unit address begins with. */
const AT = 0x40;

function step(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x9e3779b1) + 1 | 0;
}

/** The name at `at` is `name`, or that and a unit address where `name` has none. */
export function isNodeNamed(bytes: Uint8Array, at: number, name: string): boolean {
  if (!begins(bytes, at, name)) return false;
  const after = bytes[at + name.length];
  return after === 0 || (after === AT && !name.includes("@"));
}

/** What is at `at`, up to a NUL, begins with `name`. */
function begins(bytes: Uint8Array, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[at + i];
    if (byte === 0 || byte !== name.charCodeAt(i)) return false;
  }
  return true;
}
