/**
 * What a program may expect of an iommufd, written down once more and in the plainest way: pages in
 * lists, one by one, no trees, no runs, no tables. The kernel is held against it call by call.
 */

/** Pages of IOVA the sequences play in. */
export const WINDOW = 24;

/** Memory of the process. Once `alive` is false only what is pinned can still be used. */
export interface Memory {
  readonly kind: "user" | "file";
  readonly writable: boolean;
  alive: boolean;
  /** Frame of page `index` as the process's own mapping has it. */
  frame(index: number): number;
}

/** What one MAP brought in: every copy shares it, and each of its pages is pinned once. */
export interface Pages {
  readonly memory: Memory;
  /** Page of the memory that page 0 shows. */
  readonly from: number;
  readonly writable: boolean;
  /** Frames of the pages that are pinned. */
  readonly pinned: Map<number, number>;
}

export interface Area {
  readonly start: number;
  readonly count: number;
  readonly write: boolean;
  readonly pages: Pages;
  readonly first: number;
}

export interface Hwpt {
  id: number;
  readonly ioas: Ioas;
  readonly auto: boolean;
  readonly users: Set<number>;
}

export interface Ioas {
  id: number;
  areas: Area[];
  hwpts: Hwpt[];
}

/** "ok", or the errno a call must fail with. */
export type Verdict = string;

export class Model {
  readonly ioases: Ioas[] = [0, 1].map(() => ({ id: 0, areas: [], hwpts: [] }));
  /** What each device is attached to. */
  readonly attached: (Hwpt | undefined)[] = [undefined, undefined];

  areaAt(ioas: Ioas, page: number): Area | undefined {
    return ioas.areas.find((a) => page >= a.start && page < a.start + a.count);
  }

  map(ioas: Ioas, area: Area): Verdict {
    return this.#enter(ioas, [area]);
  }

  copy(src: Ioas, start: number, count: number, dst: Ioas, to: number, write: boolean): Verdict {
    const areas: Area[] = [];
    for (let page = start; page < start + count;) {
      const area = this.areaAt(src, page);
      if (area === undefined) return "ENOENT";
      const end = Math.min(start + count, area.start + area.count);
      areas.push({
        start: to + page - start,
        count: end - page,
        write,
        pages: area.pages,
        first: area.first + page - area.start,
      });
      page = end;
    }
    return this.#enter(dst, areas);
  }

  #enter(ioas: Ioas, areas: Area[]): Verdict {
    const taken = areas.some((a) => ioas.areas.some((b) => overlap(a, b.start, b.count)));
    if (taken) return "EEXIST";
    if (areas.some((a) => a.write && !a.pages.writable)) return "EPERM";
    if (ioas.hwpts.length > 0 && !areas.every(pinnable)) return "EFAULT";
    ioas.areas.push(...areas);
    this.settle();
    return "ok";
  }

  unmap(ioas: Ioas, start: number, count: number): Verdict {
    const hit = ioas.areas.filter((a) => overlap(a, start, count)).sort((a, b) =>
      a.start - b.start
    );
    let verdict: Verdict = hit.length === 0 ? "ENOENT" : "ok";
    for (const area of hit) {
      if (area.start < start || area.start + area.count > start + count) {
        verdict = "ENOENT";
        break;
      }
      ioas.areas.splice(ioas.areas.indexOf(area), 1);
    }
    this.settle();
    return verdict;
  }

  /** A new HWPT of the IOAS: filled at once. */
  alloc(ioas: Ioas, auto: boolean): Hwpt | "EFAULT" {
    if (!ioas.areas.every(pinnable)) return "EFAULT";
    const hwpt: Hwpt = { id: 0, ioas, auto, users: new Set() };
    ioas.hwpts.push(hwpt);
    this.settle();
    return hwpt;
  }

  attachHwpt(device: number, hwpt: Hwpt): Verdict {
    const old = this.attached[device];
    if (old === hwpt) return "ok";
    hwpt.users.add(device);
    this.attached[device] = hwpt;
    this.#left(device, old);
    return "ok";
  }

  attachIoas(device: number, ioas: Ioas): Verdict {
    const hwpt = ioas.hwpts.find((h) => h.auto) ?? this.alloc(ioas, true);
    return typeof hwpt === "string" ? hwpt : this.attachHwpt(device, hwpt);
  }

  detach(device: number): Verdict {
    const old = this.attached[device];
    this.attached[device] = undefined;
    this.#left(device, old);
    return "ok";
  }

  destroyHwpt(hwpt: Hwpt): Verdict {
    if (hwpt.users.size > 0) return "EBUSY";
    hwpt.ioas.hwpts.splice(hwpt.ioas.hwpts.indexOf(hwpt), 1);
    this.settle();
    return "ok";
  }

  destroyIoas(ioas: Ioas): Verdict {
    if (ioas.hwpts.length > 0) return "EBUSY";
    ioas.areas = [];
    this.settle();
    return "ok";
  }

  #left(device: number, hwpt: Hwpt | undefined): void {
    hwpt?.users.delete(device);
    if (hwpt?.auto && hwpt.users.size === 0) this.destroyHwpt(hwpt);
  }

  /** Every pages object that some area shows. */
  get allPages(): Pages[] {
    return [...new Set(this.ioases.flatMap((ioas) => ioas.areas.map((a) => a.pages)))];
  }

  /** A page is pinned while an area shows it in an IOAS that has a HWPT: no more, no less. */
  settle(): void {
    const wanted = new Map<Pages, Set<number>>();
    for (const { areas, hwpts } of this.ioases) {
      if (hwpts.length === 0) continue;
      for (const { pages, first, count } of areas) {
        let set = wanted.get(pages);
        if (set === undefined) wanted.set(pages, set = new Set());
        for (let i = 0; i < count; i++) set.add(first + i);
      }
    }
    for (const pages of this.allPages) {
      const set = wanted.get(pages) ?? new Set();
      for (const i of pages.pinned.keys()) if (!set.has(i)) pages.pinned.delete(i);
      for (const i of set) {
        if (!pages.pinned.has(i)) pages.pinned.set(i, pages.memory.frame(pages.from + i));
      }
    }
  }
}

function overlap(area: Area, start: number, count: number): boolean {
  return area.start < start + count && start < area.start + area.count;
}

/** Can what is not pinned yet be pinned now? */
function pinnable({ pages, first, count }: Area): boolean {
  const { memory } = pages;
  const possible = memory.alive && (memory.writable || !pages.writable);
  for (let i = first; i < first + count; i++) {
    if (!pages.pinned.has(i) && !possible) return false;
  }
  return true;
}
