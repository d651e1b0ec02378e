import { Kind, Regime } from "./regime.ts";

/** One cached stream table entry or context descriptor, for whoever inspects the cache. */
export interface ConfigEntry {
  sid: number;
  /** Index of the context descriptor; 0 for a stream table entry. */
  ssid: number;
  kind: Kind;
  /** The event every request ends in; 0 unless `kind` is `fault`. */
  event: number;
  vmid: number;
  asid: number;
  /** Frame of the first table (`stage1`, `stage2`) or descriptor (`contexts`). */
  root: number;
  /** Level of the first table and bits of the addresses it translates. */
  startLevel: number;
  inputBits: number;
}

/**
 * A cache of configuration: stream table entries, or context descriptors. What was once read
 * keeps answering, whatever becomes of the tables or of STRTAB_BASE, until a CFGI command names
 * it. Entries that are not valid are kept just the same, as the architecture allows: so software
 * has to invalidate after each change that matters. Nothing is ever pushed out.
 */
export class ConfigCache {
  /** By 256 streams: four words for each entry. */
  #banks: (Int32Array | undefined)[];
  /** log2 of the words of a stream. */
  #shift: number;

  /** `streamBits`: of a StreamID; `substreamBits`: log2 of the entries of each. */
  constructor(streamBits: number, substreamBits: number) {
    this.#banks = new Array(Math.max(1, 2 ** (streamBits - 8))).fill(undefined);
    this.#shift = substreamBits + 2;
  }

  /** Fills `into` and returns true when the entry is cached. */
  load(sid: number, ssid: number, into: Regime): boolean {
    const words = this.#banks[sid >>> 8];
    if (words === undefined) return false;
    const at = ((sid & 255) << this.#shift) | (ssid << 2);
    const control = words[at];
    if (control === 0) return false;
    into.control = control;
    into.geometry = words[at | 1];
    into.root = words[at | 2];
    into.tag = words[at | 3];
    return true;
  }

  store(sid: number, ssid: number, from: Regime): void {
    const words = this.#banks[sid >>> 8] ??= new Int32Array(256 << this.#shift);
    const at = ((sid & 255) << this.#shift) | (ssid << 2);
    words[at] = from.control;
    words[at | 1] = from.geometry;
    words[at | 2] = from.root;
    words[at | 3] = from.tag;
  }

  /** Numbers that no stream has name nothing. */
  forget(sid: number, ssid: number): void {
    const words = this.#banks[sid >>> 8];
    if (words === undefined || ssid >>> (this.#shift - 2) !== 0) return;
    words[((sid & 255) << this.#shift) | (ssid << 2)] = Kind.none;
  }

  /** Forgets all entries of `count` streams from `first` on. */
  forgetStreams(first: number, count: number): void {
    const end = Math.min(first + count, this.#banks.length * 256);
    for (let sid = first; sid < end; sid++) {
      const words = this.#banks[sid >>> 8];
      if (words === undefined) sid |= 255;
      else words.fill(0, (sid & 255) << this.#shift, ((sid & 255) + 1) << this.#shift);
    }
  }

  /** All that is cached, by ascending StreamID and SubstreamID. */
  *entries(): Generator<ConfigEntry> {
    const scratch = new Regime();
    for (let sid = 0; sid < this.#banks.length * 256; sid++) {
      if (this.#banks[sid >>> 8] === undefined) {
        sid |= 255;
        continue;
      }
      for (let ssid = 0; ssid < 1 << (this.#shift - 2); ssid++) {
        if (!this.load(sid, ssid, scratch)) continue;
        yield {
          sid,
          ssid,
          kind: scratch.kind,
          event: scratch.event,
          vmid: scratch.vmid,
          asid: scratch.asid,
          root: scratch.root,
          startLevel: scratch.startLevel,
          inputBits: scratch.inputBits,
        };
      }
    }
  }
}
