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
  #streams: (Int32Array | undefined)[];
  #words: number;

  /** `streams`: how many StreamIDs there are; `perStream`: entries of each, a power of two. */
  constructor(streams: number, perStream: number) {
    this.#streams = new Array(streams).fill(undefined);
    this.#words = perStream * 4;
  }

  /** Fills `into` and returns true when the entry is cached. */
  load(sid: number, ssid: number, into: Regime): boolean {
    const words = this.#streams[sid];
    if (words === undefined) return false;
    const at = ssid << 2;
    if (words[at] === 0) return false;
    into.control = words[at];
    into.geometry = words[at | 1];
    into.root = words[at | 2];
    into.tag = words[at | 3];
    return true;
  }

  store(sid: number, ssid: number, from: Regime): void {
    const words = this.#streams[sid] ??= new Int32Array(this.#words);
    const at = ssid << 2;
    words[at] = from.control;
    words[at | 1] = from.geometry;
    words[at | 2] = from.root;
    words[at | 3] = from.tag;
  }

  forget(sid: number, ssid: number): void {
    const words = this.#streams[sid];
    if (words !== undefined && ssid << 2 < words.length) words[ssid << 2] = Kind.none;
  }

  /** Forgets all entries of `count` streams from `first` on. */
  forgetStreams(first: number, count: number): void {
    const end = Math.min(first + count, this.#streams.length);
    for (let sid = first; sid < end; sid++) this.#streams[sid]?.fill(0);
  }

  forgetAll(): void {
    this.forgetStreams(0, this.#streams.length);
  }

  /** All that is cached, by ascending StreamID and SubstreamID. */
  *entries(): Generator<ConfigEntry> {
    const scratch = new Regime();
    for (let sid = 0; sid < this.#streams.length; sid++) {
      if (this.#streams[sid] === undefined) continue;
      for (let ssid = 0; ssid < this.#words >> 2; ssid++) {
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
