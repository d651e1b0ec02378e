/** Collects UTF-16 units in one reused buffer, so that a frame becomes a string only once. */

/** Arguments that one call of `String.fromCharCode` gets; engines limit them. */
const CHUNK = 8192;

export class Writer {
  #units = new Uint16Array(16384);
  #length = 0;

  /** Units collected so far. */
  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
  }

  text(text: string): void {
    this.#reserve(text.length);
    for (let i = 0; i < text.length; i++) this.#units[this.#length++] = text.charCodeAt(i);
  }

  /** One code point, which must not be a surrogate. */
  code(code: number): void {
    this.#reserve(2);
    if (code > 0xffff) {
      this.#units[this.#length++] = 0xd800 + ((code - 0x10000) >> 10);
      this.#units[this.#length++] = 0xdc00 + (code & 0x3ff);
    } else {
      this.#units[this.#length++] = code;
    }
  }

  /** A whole number from 0 on, in decimal digits. */
  int(value: number): void {
    if (value >= 10) this.int(Math.floor(value / 10));
    this.code(0x30 + value % 10);
  }

  /** Everything collected, as one string. */
  take(): string {
    const { buffer } = this.#units;
    let text = "";
    for (let at = 0; at < this.#length; at += CHUNK) {
      const units = new Uint16Array(buffer, at * 2, Math.min(CHUNK, this.#length - at));
      text += String.fromCharCode.apply(null, units as unknown as number[]);
    }
    return text;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#units.length) return;
    const larger = new Uint16Array(2 * (this.#units.length + more));
    larger.set(this.#units);
    this.#units = larger;
  }
}
