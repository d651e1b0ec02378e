/** Sees which frames a program's loads and stores reach. */
export interface ProgramObserver {
  /** Somebody wants to know of the memory of programs of this name. */
  watches(program: string): boolean;
  /** Page `page` of the program is in this frame from now on; -1: in none any more. */
  programPage(program: string, page: number, pfn: number): void;
}

/**
 * First-stage translation of one program: what a processor finds at its virtual addresses. The
 * kernel writes it as pages come, move and go. Pages are numbers (virtual address >> 12).
 */
export class ProgramTables {
  readonly #entries = new Map<number, number>();

  constructor(readonly program: string, readonly observer: ProgramObserver) {}

  set(page: number, pfn: number): void {
    if (this.#entries.get(page) === pfn) return;
    this.#entries.set(page, pfn);
    this.observer.programPage(this.program, page, pfn);
  }

  clear(page: number, count: number): void {
    for (let i = page; i < page + count && this.#entries.size > 0; i++) {
      if (this.#entries.delete(i)) this.observer.programPage(this.program, i, -1);
    }
  }

  /** A page has moved: every entry that led to the old frame leads to the new one. */
  moved(from: number, to: number): void {
    for (const [page, pfn] of this.#entries) if (pfn === from) this.set(page, to);
  }
}
