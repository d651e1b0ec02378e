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
 * address. Reads from nowhere give all ones and writes to nowhere vanish, as on a real one.
 */
export class Bus {
  #windows: Window[] = [];

  /** Adds a window. `start` and `size` in bytes. */
  map(start: number, size: number, target: Mmio): void {
    this.unmap(target);
    this.#windows.push({ start, size, target });
  }

  unmap(target: Mmio): void {
    this.#windows = this.#windows.filter((w) => w.target !== target);
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
    for (const w of this.#windows) {
      if (address >= w.start && address < w.start + w.size) return w;
    }
    return undefined;
  }
}
