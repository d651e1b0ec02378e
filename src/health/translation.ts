/**
 * What hardware would translate, as health sees it on any machine: read from memory and from the
 * units' caches, believing no kernel. Each architecture has a reader of its own.
 */

/** A device's translation as it stands in memory. */
export interface Context {
  readonly sid: number;
  /** Of the requests it is for; missing: of those without a PASID. */
  readonly pasid?: number;
  /** The id that tags its cached translations: DID, VMID, DomainID. */
  readonly did: number;
  /** Frame of the first page table, a guest's where tables are nested; -1 for a context that passes everything through. */
  readonly root: number;
  /** The PASID in the tag of its cached translations, where that has one beside {@link did}. */
  readonly tag?: number;
}

/** Every page of tables hardware can reach, and every device's context. */
export interface Tables<C extends Context = Context> {
  readonly contexts: readonly C[];
  /** Frames of device tables and page tables, each once. */
  readonly tables: readonly number[];
  /** Those of them that lie in a guest's memory, and are the guest's own (nested translation). */
  readonly guests: ReadonlySet<number>;
  /** Frames that more than one entry leads to: no table has two places. */
  readonly doubled: readonly number[];
}

/** What the tables say of one 4 KiB page. */
export interface Found {
  readonly pfn: number;
  readonly read: boolean;
  readonly write: boolean;
  /** Pages under the entry: 1, 512, 512 * 512. */
  readonly span: number;
  /** Hardware notes writes in the entry, and has noted none. */
  readonly unwritten?: boolean;
}

/** A translation that a unit has cached. Neither read nor write: it remembers there was none. */
export interface CachedTranslation {
  readonly did: number;
  /** A PASID in its tag. */
  readonly tag?: number;
  readonly page: number;
  readonly pfn: number;
  /** Bytes. */
  readonly size: number;
  readonly read: boolean;
  readonly write: boolean;
  /** The next write will still be noted in the tables. */
  readonly unwritten?: boolean;
}

/** What the entries above a last table say of a page: the table, and what they grant. */
export interface FoundTable {
  readonly table: number;
  readonly read: boolean;
  readonly write: boolean;
}

/** The same as a unit has it in its paging-structure cache, of the 512 pages from one on. */
export interface CachedTable extends FoundTable {
  readonly did: number;
  readonly page: number;
}

/** A device's context that a unit has cached; undefined: it remembers that it is blocked. */
export interface CachedContext {
  readonly sid: number;
  /** As {@link Context.pasid}. */
  readonly pasid?: number;
  readonly context: { readonly did: number; readonly root: number } | undefined;
}

/**
 * Sees an entry that leads to memory: first page of IOVA it translates, first frame, pages. Or several
 * neighbours at once that say the same, frame after frame.
 */
export type LeafVisitor = (page: number, pfn: number, span: number) => void;

/** One unit, looked at now. */
export interface UnitReader<C extends Context = Context> {
  readonly name: string;
  /** What the architecture calls {@link Context.did}. */
  readonly idName: string;
  readonly translates: boolean;
  /** As far as hardware would walk; empty while the unit does not translate. */
  readonly live: Tables<C>;
  cachedContexts(): Iterable<CachedContext>;
  cachedTranslations(): Iterable<CachedTranslation>;
  /** Missing where a unit keeps finished translations only. */
  cachedTables?(): Iterable<CachedTable>;
  /** The last of a context's tables for a page; undefined where hardware would come to none. */
  tableOf?(context: C, page: number): FoundTable | undefined;
  /** What a context's tables say of a page; undefined where hardware would find no way. */
  lookUp(context: C, page: number): Found | undefined;
  /**
   * Every entry of a context's tables that leads to memory, each table walked once; also some that
   * hardware would refuse: {@link lookUp} knows. Nothing for a context that passes everything.
   */
  eachLeaf(context: C, visit: LeafVisitor): void;
  /**
   * Pages from one that {@link lookUp} finds on that lie in its entry or in neighbours that say the same,
   * frame after frame; missing where only its entry is known.
   */
  run?(context: C, page: number): number;
  /** Where the hole around a page ends; missing where nobody can say. */
  holeEnd?(context: C, page: number): number;
}

/** Tables that were walked, each with the level it was walked at. */
export class Walked {
  /** frame * 8 + level. */
  readonly #keys = new Set<number>();

  /** True the first time a table is walked at a level. */
  first(pfn: number, level: number): boolean {
    const key = pfn * 8 + level;
    if (this.#keys.has(key)) return false;
    this.#keys.add(key);
    return true;
  }
}

/** Collects table pages, and notices those that are reached twice. */
export class TableSet extends Walked {
  readonly tables = new Set<number>();
  readonly doubled = new Set<number>();
  readonly guests = new Set<number>();

  add(pfn: number): void {
    if (this.tables.has(pfn)) this.doubled.add(pfn);
    this.tables.add(pfn);
  }

  with<C extends Context>(contexts: readonly C[]): Tables<C> {
    const { tables, guests, doubled } = this;
    return { contexts, tables: [...tables], guests, doubled: [...doubled] };
  }
}

export const NO_TABLES: Tables<never> = {
  contexts: [],
  tables: [],
  guests: new Set(),
  doubled: [],
};
