/** What the ledger lets a program's memory do. */
export interface Owners {
  /** The number frames of the program are owned under. */
  numberOf(program: string): number;
  ownerNumber(pfn: number): number;
  /** 0: nobody's. */
  setOwner(pfn: number, number: number): void;
}

/**
 * Frames that belong to programs which drive a device themselves: their processors reach them, so
 * they are theirs, whatever any kernel says. At a kexec the programs cease, and what their devices
 * are at work in stays theirs until they come back, or until a processor writes the frame over: then
 * whoever did that has taken it into use, and the device has no business there any more.
 */
export class ProgramMemory {
  /** By program and page; what processors go by now. */
  readonly #tables = new Map<string, Map<number, number>>();
  /** Owner by frame; those of a guest's own RAM are not in it. */
  readonly #frames = new Map<number, string>();

  constructor(readonly owners: Owners) {}

  /** Page `page` of the program is frame `pfn` from now on; -1: none. */
  set(program: string, page: number, pfn: number): void {
    let table = this.#tables.get(program);
    if (table === undefined) this.#tables.set(program, table = new Map());
    const before = table.get(page);
    if (pfn < 0) table.delete(page);
    else table.set(page, pfn);
    if (before !== undefined && before !== pfn) this.#left(before, table);
    if (pfn < 0) return;
    const number = this.owners.numberOf(program);
    // The same program's guest may have it already.
    if (this.owners.ownerNumber(pfn) === number) return;
    this.owners.setOwner(pfn, number);
    this.#frames.set(pfn, program);
  }

  /** A page of the program is not in this frame any more. */
  #left(pfn: number, table: ReadonlyMap<number, number>): void {
    if (!this.#frames.has(pfn) || [...table.values()].includes(pfn)) return;
    this.#frames.delete(pfn);
    this.owners.setOwner(pfn, 0);
  }

  /** The frames are a guest's RAM: they come and go with the guest. */
  areGuests(pfn: number, count: number): void {
    if (this.#frames.size === 0) return;
    for (let i = pfn; i < pfn + count; i++) this.#frames.delete(i);
  }

  /** A processor wrote whole frames over. */
  filled(pfn: number, count: number): void {
    if (this.#frames.size === 0) return;
    for (let i = pfn; i < pfn + count; i++) {
      if (this.#frames.delete(i)) this.owners.setOwner(i, 0);
    }
  }

  /** Every program has ceased, and no processor goes by their tables any more. */
  jumped(): void {
    this.#tables.clear();
  }

  /** The program is gone for good. */
  release(program: string): void {
    this.#tables.delete(program);
    for (const [pfn, owner] of this.#frames) {
      if (owner !== program) continue;
      this.#frames.delete(pfn);
      this.owners.setOwner(pfn, 0);
    }
  }
}
