/** An odd number that spreads small ones over 32 bits. */
const SPREAD = 0x9e3779b1 | 0;

/** What is mixed of an access: three words, the second one with the low word of its address. */
export class AccessWords {
  x = 0;
  y = 0;
  z = 0;

  /** See {@link EventHash.mixAccess}. */
  set(time: number, who: number, hi: number, outcome: number): void {
    const late = (time / 4294967296) | 0;
    this.x = time ^ Math.imul(who, SPREAD);
    this.y = Math.imul(hi, SPREAD);
    this.z = outcome ^ Math.imul(late, SPREAD);
  }
}

/**
 * The running hash over everything that happened: two runs with equal hashes did the same. Two
 * 32-bit lanes, mixed word by word; nothing is stored, so it costs the same for hours of DMA.
 */
export class EventHash {
  #a = 0x6a09e667;
  #b = 0xbb67ae85 | 0;
  #count = 0;
  readonly #words = new AccessWords();

  /** Mixes one event of up to three 32-bit words. */
  mix(x: number, y: number, z: number): void {
    let a = this.#a, b = this.#b;
    a = Math.imul(a ^ x, 0x9e3779b1);
    a ^= a >>> 15;
    b = Math.imul(b ^ y ^ a, 0x85ebca77);
    b ^= b >>> 13;
    this.#a = Math.imul(a ^ z ^ b, 0xc2b2ae3d);
    this.#b = b;
    this.#count++;
  }

  /** Mixes a point of virtual time (nanoseconds) and what happened then. */
  mixAt(time: number, what: number): void {
    this.mix(time | 0, (time / 4294967296) | 0, what);
  }

  /** Mixes one access of somebody (`who`) at a point of virtual time: two words of address, an outcome. */
  mixAccess(time: number, who: number, hi: number, lo: number, outcome: number): void {
    const words = this.#words;
    words.set(time, who, hi, outcome);
    this.mix(words.x, lo ^ words.y, words.z);
  }

  /** Mixes a text, code unit by code unit. */
  mixText(text: string): void {
    for (let i = 0; i < text.length; i++) this.mix(text.charCodeAt(i), i, text.length);
  }

  /** Events mixed so far. */
  get count(): number {
    return this.#count;
  }

  /** 16 hex digits. */
  digest(): string {
    const word = (n: number) => (n >>> 0).toString(16).padStart(8, "0");
    return word(Math.imul(this.#a ^ (this.#a >>> 16), 0x45d9f3b)) + word(this.#b ^ this.#count);
  }
}
