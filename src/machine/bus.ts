/** A block of memory-mapped registers, accessed in aligned 32-bit words. */
export interface Mmio {
  /** `offset`: bytes from the start of the block, a multiple of 4. */
  read32(offset: number): number;
  write32(offset: number, value: number): void;
}

interface Window {
  start: number;
  size: number;
  target: Mmio;
}

/**
 * The system bus as a CPU sees it beside RAM: windows of memory-mapped registers by physical
 * address. Reads from nowhere give all ones and writes to nowhere vanish, as on a real one. Where
 * windows overlap, the one that begins last answers.
 */
export class Bus {
  /** By ascending start. */
  readonly #windows: Window[] = [];
  readonly #of = new Map<Mmio, Window>();
  /** Size of the largest window there ever was. */
  #largest = 0;

  /** Adds a window, the only one of its target. `start` and `size` in bytes. */
  map(start: number, size: number, target: Mmio): void {
    this.unmap(target);
    const window = { start, size, target };
    this.#windows.splice(this.#after(start), 0, window);
    this.#of.set(target, window);
    this.#largest = Math.max(this.#largest, size);
  }

  unmap(target: Mmio): void {
    const window = this.#of.get(target);
    if (window === undefined) return;
    this.#of.delete(target);
    this.#windows.splice(this.#windows.lastIndexOf(window, this.#after(window.start) - 1), 1);
  }

  read32(address: number): number {
    const w = this.#find(address);
    return w === undefined ? 0xffffffff : w.target.read32(address - w.start) >>> 0;
  }

  write32(address: number, value: number): void {
    const w = this.#find(address);
    if (w !== undefined) w.target.write32(address - w.start, value >>> 0);
  }

  /** Two 32-bit reads, low word first: [low, high]. */
  read64(address: number): [number, number] {
    return [this.read32(address), this.read32(address + 4)];
  }

  /** Two 32-bit writes, low word first. */
  write64(address: number, low: number, high: number): void {
    this.write32(address, low);
    this.write32(address + 4, high);
  }

  #find(address: number): Window | undefined {
    for (let i = this.#after(address) - 1; i >= 0; i--) {
      const w = this.#windows[i], offset = address - w.start;
      if (offset < w.size) return w;
      // Only an overlapping window that begins still earlier could reach as far.
      if (offset >= this.#largest) return undefined;
    }
    return undefined;
  }

  /** Index of the first window that begins after the address. */
  #after(address: number): number {
    const windows = this.#windows;
    let low = 0, high = windows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (windows[middle].start <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
