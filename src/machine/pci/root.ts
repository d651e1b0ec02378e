import type { PciFunction } from "./function.ts";

/**
 * The PCI host bridge of segment 0: configuration accesses by source id (bus << 8 | devfn).
 * Functions may be plugged and unplugged while the machine runs.
 */
export class PciRoot {
  #functions = new Map<number, PciFunction>();

  plug(fn: PciFunction): void {
    this.#functions.set(fn.port.sid, fn);
  }

  unplug(fn: PciFunction): void {
    // A function without power issues no requests, not even ones that fail.
    fn.powerOff();
    this.#functions.delete(fn.port.sid);
  }

  /** All ones where no function answers, as on a real bus. */
  configRead(sid: number, offset: number, size: 1 | 2 | 4): number {
    const fn = this.#functions.get(sid);
    if (fn === undefined) return size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff;
    return fn.configRead(offset, size);
  }

  configWrite(sid: number, offset: number, size: 1 | 2 | 4, value: number): void {
    this.#functions.get(sid)?.configWrite(offset, size, value);
  }

  /** The function in a slot. For the machine, not for kernels. */
  at(sid: number): PciFunction | undefined {
    return this.#functions.get(sid);
  }

  /** Functions present, in the order they were plugged in. For the machine, not for kernels. */
  get functions(): PciFunction[] {
    return [...this.#functions.values()];
  }
}
