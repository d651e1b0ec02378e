/**
 * The packet memory of a network card that can wait: packets in the order they came, by their sequence
 * numbers, which is all it takes to make them again. One that finds it full is dropped.
 */
export class PacketBuffer {
  readonly #sequences: Uint32Array;
  #first = 0;
  #count = 0;

  /** `packets`: how many it holds, at least 1. */
  constructor(packets: number) {
    this.#sequences = new Uint32Array(packets);
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  /** False when it is full. */
  push(sequence: number): boolean {
    const { length } = this.#sequences;
    if (this.#count === length) return false;
    this.#sequences[(this.#first + this.#count++) % length] = sequence;
    return true;
  }

  /** Sequence number of the oldest packet; there must be one. */
  get oldest(): number {
    return this.#sequences[this.#first];
  }

  /** The oldest packet goes. */
  shift(): void {
    this.#first = (this.#first + 1) % this.#sequences.length;
    this.#count--;
  }

  clear(): void {
    this.#count = 0;
  }
}
