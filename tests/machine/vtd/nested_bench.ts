import type { VtdCapability } from "../../../src/machine/vtd/capability.ts";
import { indexAt, RW, SID } from "./bench.ts";
import { FL, type PasidFields, ScalableBench } from "./scalable_bench.ts";

/** First guest frame that is handed out: host frames have quite other numbers. */
const FIRST_GUEST = 0x40000;

/** A device whose PASID 0 is nested: a guest's first-level tables over second-level ones. */
export class NestedBench extends ScalableBench {
  readonly directory: number;
  /** Host frame of the second-level top table, guest frame of the first-level one. */
  readonly under: number;
  readonly top: number;
  /** Levels of the second-level tables. */
  readonly below: number;
  readonly #hosts = new Map<number, number>();
  #next = FIRST_GUEST;

  constructor(fields: PasidFields = {}, capability: Partial<VtdCapability> = {}) {
    super(capability);
    this.below = (fields.aw ?? 2) + 2;
    this.directory = this.device();
    this.under = this.frame();
    this.top = fields.guestTop ?? this.guest();
    this.nest(0, fields);
  }

  /** Puts a PASID under these tables. */
  nest(pasid: number, fields: PasidFields = {}): void {
    const { under: top, top: guestTop } = this;
    this.pasid(this.directory, pasid, { top, guestTop, ...fields, pgtt: 3 });
  }

  /** A page of the guest's memory: its guest frame. */
  guest(rights = RW): number {
    const guest = this.#next++, host = this.frame();
    this.#hosts.set(guest, host);
    this.allow(guest, rights);
    return guest;
  }

  /** What the second level lets be done with a page of the guest's memory. */
  allow(guest: number, rights: bigint): void {
    const leaf = BigInt(this.hostOf(guest)) << 12n | rights;
    this.map(this.under, BigInt(guest) << 12n, leaf, 1, this.below);
  }

  hostOf(guest: number): number {
    const host = this.#hosts.get(guest);
    if (host === undefined) throw new Error(`guest frame ${guest.toString(16)} is nowhere`);
    return host;
  }

  /** Stores a leaf of the guest's tables, which are made where they are missing. */
  mapGuest(iova: bigint, leaf: bigint, level = 1, levels = 4): void {
    this.store(this.tableAt(iova, level, levels), indexAt(iova, level), leaf);
  }

  /** Host frame of the guest's table of a level on the way of an address. */
  tableAt(iova: bigint, level: number, levels = 4): number {
    return this.hostOf(this.guestTable(iova, level, levels));
  }

  /** Guest frame of that table. */
  guestTable(iova: bigint, level: number, levels = 4): number {
    let table = this.top;
    for (let l = levels; l > level; l--) {
      const host = this.hostOf(table), index = indexAt(iova, l);
      let entry = this.load(host, index);
      if (entry === 0n) {
        entry = BigInt(this.guest()) << 12n | FL;
        this.store(host, index, entry);
      }
      table = Number(entry >> 12n & 0xfffffffffn);
    }
    return table;
  }

  /** A page of the guest's, mapped at an address; returns its host frame. */
  page(iova: bigint, bits = FL, rights = RW): number {
    const guest = this.guest(rights);
    this.mapGuest(iova, BigInt(guest) << 12n | bits);
    return this.hostOf(guest);
  }

  /** What is cached for the device's requests, as text. */
  get cached(): string[] {
    return [...this.unit.iotlb.entries()].map((e) =>
      `${e.did}/${e.pasid} ${e.page.toString(16)} ${e.size} ` +
      `${e.read ? "r" : ""}${e.write ? "w" : e.writeWalks ? "(w)" : ""}`
    );
  }

  readonly sid = SID;
}
