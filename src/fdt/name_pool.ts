import { MAX_NAME_BYTES } from "./format.ts";
import { NameTable } from "./name_table.ts";
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
  /** Of each name, its node among the suffixes. */
  readonly #nodes = new NameTable();

  /** Bytes in use, with a NUL for each name. */
  get size(): number {
    return this.#size;
  }

  /** Distance of `name` from the end of the block, or 0 if it is not there. */
  find(name: string): number {
    const node = this.#nodes.find(name)?.value ?? this.#findSuffix(name);
    return node < 0 ? 0 : this.#suffixes.position(node);
  }

  #findSuffix(name: string): number {
    checkName(name);
    const node = this.#suffixes.find(name);
    if (node >= 0) this.#nodes.add(name, node);
    return node;
  }

  /** Adds a name that `find` did not find; returns its distance from the end. */
  add(name: string): number {
    this.#nodes.add(name, this.#suffixes.store(name, this.#size + 1));
    this.#size += name.length + 1;
    this.#grow();
    writeName(name, this.#text, this.#text.length - this.#size);
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

/** Writes one byte a character and no NUL, up to one that cannot be in a name: then false. */
export function writeName(name: string, to: Uint8Array, at: number): boolean {
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code === 0 || code > 0xff) return false;
    to[at + i] = code;
  }
  return true;
}
