import { MAX_NAME_BYTES } from "./format.ts";
import { SuffixIndex } from "./suffix_index.ts";

/**
 * The strings block of a tree being written: each new name goes in FRONT of those already there,
 * as libfdt's sequential writer does it. Names are therefore addressed by their distance in
 * bytes from the end of the block, which later names do not change.
 *
 * A name that is the tail of a longer one is not stored again. Where several fit, libfdt's search
 * from the front takes the newest, even if an older one matches in full, and so do we.
 */
export class NamePool {
  #text = new Uint8Array(256);
  #size = 0;
  readonly #suffixes = new SuffixIndex();
  readonly #nodes = new Map<string, number>();

  /** Bytes in use, with a NUL for each name. */
  get size(): number {
    return this.#size;
  }

  /** Distance of `name` from the end of the block, or 0 if it is not there. */
  find(name: string): number {
    let node = this.#nodes.get(name);
    if (node === undefined) {
      checkName(name);
      node = this.#suffixes.find(name);
      if (node < 0) return 0;
      this.#nodes.set(name, node);
    }
    return this.#suffixes.position(node);
  }

  /** Adds a name that `find` did not find; returns its distance from the end. */
  add(name: string): number {
    const node = this.#suffixes.store(name, this.#size + 1);
    this.#nodes.set(name, node);
    this.#size += name.length + 1;
    this.#grow();
    writeLatin1(name, this.#text, this.#text.length - this.#size);
    return this.#size;
  }

  /** The block as it is now; a view, valid until the next `add`. */
  bytes(): Uint8Array {
    return this.#text.subarray(this.#text.length - this.#size);
  }

  #grow(): void {
    let capacity = this.#text.length;
    if (this.#size <= capacity) return;
    while (this.#size > capacity) capacity *= 2;
    const text = new Uint8Array(capacity);
    text.set(this.#text, capacity - this.#text.length);
    this.#text = text;
  }
}

/**
 * Throws RangeError for what cannot be a node or property name here: more than 255 characters,
 * a NUL, or a character that is not one byte (Latin-1).
 */
export function checkName(name: string): void {
  if (name.length > MAX_NAME_BYTES) {
    throw new RangeError(
      `a device tree name has at most ${MAX_NAME_BYTES} bytes, not ${name.length}`,
    );
  }
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code === 0 || code > 0xff) {
      throw new RangeError(`a device tree name cannot contain U+${code.toString(16)}`);
    }
  }
}

/** Writes one byte a character; no NUL (the callers' buffers are zero already). */
export function writeLatin1(text: string, to: Uint8Array, at: number): void {
  for (let i = 0; i < text.length; i++) to[at + i] = text.charCodeAt(i);
}
