/**
 * Finds, among all strings stored so far, the newest that ends in a given one.
 *
 * The strings are kept as a trie read from their ends, so that each node stands for one suffix
 * and carries the position where that suffix was stored last. Storing and finding take one step
 * a byte whatever the number of strings. Edges live in one open-addressed table keyed by
 * (node, byte): an object or Map per node would cost several times as much.
 */
export class SuffixIndex {
  /** Per node. Node 0 is the empty suffix, the end of every string. */
  #parent = new Int32Array(64);
  #byte = new Uint8Array(64);
  #position = new Int32Array(64);
  #nodes = 1;
  /** Node numbers by hash; 0 is an empty slot, as node 0 is nobody's child. */
  #slots = new Int32Array(128);
  #shift = 32 - 7;

  /** The node of `text` if something stored ends in it, otherwise -1. */
  find(text: string): number {
    let node = 0;
    for (let i = text.length - 1; i >= 0; i--) {
      node = this.#slots[this.#slotOf(node, text.charCodeAt(i))] as number;
      if (node === 0) return -1;
    }
    return node;
  }

  /**
   * Records that `text` (character codes 0 to 255) was stored with its end at `endPosition`.
   * Positions grow by one a character towards its start. Returns its node.
   */
  store(text: string, endPosition: number): number {
    this.#growFor(text.length);
    let node = 0;
    this.#position[0] = endPosition;
    for (let i = text.length - 1; i >= 0; i--) {
      const slot = this.#slotOf(node, text.charCodeAt(i));
      let child = this.#slots[slot] as number;
      if (child === 0) {
        child = this.#nodes++;
        this.#parent[child] = node;
        this.#byte[child] = text.charCodeAt(i);
        this.#slots[slot] = child;
      }
      node = child;
      this.#position[node] = endPosition + text.length - i;
    }
    return node;
  }

  /** Where the newest string with this suffix has it; 0 when nothing is stored yet. */
  position(node: number): number {
    return this.#position[node] as number;
  }

  /** The slot of this edge, or the empty one where it would go. */
  #slotOf(parent: number, byte: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = Math.imul((parent << 8) + byte, 0x9e3779b1) >>> this.#shift;
    for (;;) {
      const node = slots[slot] as number;
      if (node === 0 || (this.#parent[node] === parent && this.#byte[node] === byte)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  /** Makes room for `more` nodes, keeping the table at most half full. */
  #growFor(more: number): void {
    let capacity = this.#parent.length;
    if (this.#nodes + more <= capacity) return;
    while (this.#nodes + more > capacity) capacity *= 2;
    this.#parent = grown(this.#parent, new Int32Array(capacity));
    this.#byte = grown(this.#byte, new Uint8Array(capacity));
    this.#position = grown(this.#position, new Int32Array(capacity));
    this.#slots = new Int32Array(2 * capacity);
    this.#shift = Math.clz32(this.#slots.length) + 1;
    for (let node = 1; node < this.#nodes; node++) {
      const slot = this.#slotOf(this.#parent[node] as number, this.#byte[node] as number);
      this.#slots[slot] = node;
    }
  }
}

function grown<T extends Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
