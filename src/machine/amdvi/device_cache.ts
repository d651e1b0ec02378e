import { DeviceEntry, DeviceKind } from "./device_entry.ts";

/** One cached device table entry, for whoever inspects the cache. */
export interface DeviceCacheEntry {
  sid: number;
  kind: DeviceKind;
  domain: number;
  /** Levels of table, and frame of the first; mean nothing unless `kind` is `tables`. */
  mode: number;
  root: number;
  read: boolean;
  write: boolean;
}

/**
 * The cache of device table entries, by DeviceID. Whatever was read, valid or not, keeps
 * answering until INVALIDATE_DEVTAB_ENTRY names the device. Nothing is ever pushed out.
 */
export class DeviceCache {
  /** By bus: two words for each devfn. */
  #buses: (Int32Array | undefined)[] = new Array(256).fill(undefined);

  /** Fills `into` and returns true when the entry is cached. */
  load(sid: number, into: DeviceEntry): boolean {
    const bus = this.#buses[sid >>> 8];
    if (bus === undefined) return false;
    const control = bus[(sid & 255) << 1];
    if (control === 0) return false;
    into.control = control;
    into.root = bus[((sid & 255) << 1) | 1];
    return true;
  }

  store(sid: number, from: DeviceEntry): void {
    const bus = this.#buses[sid >>> 8] ??= new Int32Array(512);
    bus[(sid & 255) << 1] = from.control;
    bus[((sid & 255) << 1) | 1] = from.root;
  }

  /** SE: of this entry one page fault has been logged. */
  quieten(sid: number): void {
    const bus = this.#buses[sid >>> 8];
    if (bus !== undefined && bus[(sid & 255) << 1] !== 0) bus[(sid & 255) << 1] |= 0x1000;
  }

  invalidate(sid: number): void {
    const bus = this.#buses[sid >>> 8];
    if (bus !== undefined) bus[(sid & 255) << 1] = DeviceKind.none;
  }

  invalidateAll(): void {
    for (const bus of this.#buses) bus?.fill(0);
  }

  /** All that is cached, by ascending DeviceID. */
  *entries(): Generator<DeviceCacheEntry> {
    const entry = new DeviceEntry();
    for (let sid = 0; sid < 65536; sid++) {
      if (this.#buses[sid >>> 8] === undefined) {
        sid |= 255;
        continue;
      }
      if (!this.load(sid, entry)) continue;
      yield {
        sid,
        kind: entry.kind,
        domain: entry.domain,
        mode: entry.mode,
        root: entry.root,
        read: (entry.permission & 1) !== 0,
        write: (entry.permission & 2) !== 0,
      };
    }
  }
}
