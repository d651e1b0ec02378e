/** What a stream table entry or a context descriptor comes to. */
export const enum Kind {
  /** Nothing: an empty place in a cache. */
  none = 0,
  /** Every request ends in {@link Regime.event}. */
  fault = 1,
  /** Every request ends without an event. */
  abort = 2,
  bypass = 3,
  /** A stream table entry that leads to context descriptors. */
  contexts = 4,
  /** Translation by stage-1 tables (a context descriptor) or by stage-2 tables (an STE). */
  stage1 = 5,
  stage2 = 6,
}

/**
 * A stream table entry or a context descriptor as the unit keeps it, in four words:
 * - control: kind in bits 0-2, R (record faults) bit 3, AFFD bit 4, event in bits 8-15; of
 *   `contexts` also S1CDMax in bits 16-20 and S1DSS in bits 21-22
 * - geometry: bits of the input address 0-5 (0 = none is translated), of the output address
 *   6-11, level of the first table 12-13, its place in its page in 16-byte units 16-23
 * - root: frame of the first table; of `contexts`, of the first context descriptor
 * - tag: VMID in bits 0-15, ASID in bits 16-31
 *
 * One object serves for all requests; it is filled in place.
 */
export class Regime {
  control = 0;
  geometry = 0;
  root = 0;
  tag = 0;

  get kind(): Kind {
    return this.control & 7;
  }

  get records(): boolean {
    return (this.control & 8) !== 0;
  }

  /** AFFD: a clear access flag is no fault. */
  get ignoresAccessFlag(): boolean {
    return (this.control & 16) !== 0;
  }

  get event(): number {
    return (this.control >>> 8) & 0xff;
  }

  get contextBits(): number {
    return (this.control >>> 16) & 0x1f;
  }

  /** S1DSS. */
  get withoutSubstream(): number {
    return (this.control >>> 21) & 3;
  }

  get inputBits(): number {
    return this.geometry & 0x3f;
  }

  get startLevel(): number {
    return (this.geometry >>> 12) & 3;
  }

  /** Place of the first table or descriptor in its page, in 32-bit words. */
  get startWord(): number {
    return ((this.geometry >>> 16) & 0xff) << 2;
  }

  get vmid(): number {
    return this.tag & 0xffff;
  }

  get asid(): number {
    return this.tag >>> 16;
  }

  /** One of the kinds that need nothing further. */
  setPlain(kind: Kind.abort | Kind.bypass): void {
    this.control = kind;
    this.geometry = this.root = this.tag = 0;
  }

  setFault(event: number): void {
    this.control = Kind.fault | (event << 8);
    this.geometry = this.root = this.tag = 0;
  }

  /** `low`, `high`: the address of the first descriptor, 64-byte aligned. */
  setContexts(low: number, high: number, bits: number, dss: number, vmid: number): void {
    this.control = Kind.contexts | (bits << 16) | (dss << 21);
    this.#place(0, low, high);
    this.tag = vmid;
  }

  /** `geometry`: bits 0-15 as above; `low`, `high`: the address of the first table. */
  setTables(
    kind: Kind.stage1 | Kind.stage2,
    geometry: number,
    low: number,
    high: number,
    tag: number,
    records: boolean,
    ignoresAccessFlag: boolean,
  ): void {
    this.control = kind | (records ? 8 : 0) | (ignoresAccessFlag ? 16 : 0);
    this.#place(geometry, low, high);
    this.tag = tag;
  }

  #place(geometry: number, low: number, high: number): void {
    this.geometry = geometry | ((low & 0xff0) << 12);
    this.root = ((high & 0xfffff) << 20) | (low >>> 12);
  }
}

/** Geometry's bits 0-15. */
export function packGeometry(inputBits: number, outputBits: number, startLevel: number): number {
  return inputBits | (outputBits << 6) | (startLevel << 12);
}
