/** What is measured against what, and how far apart the two may be. */

import { FRAMES } from "./frames/frames.ts";

export interface Pair {
  /** Name both sides know it by. */
  readonly name: string;
  readonly title: string;
  /** How much work one round does, and in what. */
  readonly work: number;
  readonly unit: string;
  /** The most that our time may be, as a multiple of the reference's. */
  readonly goal?: number;
}

/** Pairs whose two sides are one process each. */
export interface Group {
  readonly name: string;
  /** What the reference, c/NAME.c, is linked with. Undefined: it is a side of ours/main.ts. */
  readonly libraries: readonly string[] | undefined;
  readonly pairs: readonly Pair[];
}

const PAGES = 2 ** 22, LARGE_PAGES = 2 ** 19;

export const GROUPS: readonly Group[] = [
  {
    name: "tables",
    libraries: [],
    pairs: [
      {
        name: "map-runs",
        title: "map 16 GiB in 4 KiB pages, as one run",
        work: PAGES,
        unit: "pages",
        goal: 1.7,
      },
      {
        name: "map-pages",
        title: "map 16 GiB page by page (ours with a cursor, C from the root)",
        work: PAGES,
        unit: "pages",
        goal: 1.3,
      },
      {
        name: "map-2m",
        title: "map 1 TiB in 2 MiB pages, as one run, 8 times",
        work: 8 * LARGE_PAGES,
        unit: "pages",
        goal: 1.7,
      },
      {
        name: "unmap-runs",
        title: "unmap 16 GiB of 4 KiB pages, freeing tables",
        work: PAGES,
        unit: "pages",
        goal: 1.6,
      },
      {
        name: "unmap-2m",
        title: "unmap 1 TiB of 2 MiB pages, freeing tables, 8 times",
        work: 8 * LARGE_PAGES,
        unit: "pages",
        goal: 1.6,
      },
      {
        name: "walk-random",
        title: "the unit walks random pages of 16 GiB",
        work: PAGES,
        unit: "walks",
        goal: 1.9,
      },
      {
        name: "walk-sequential",
        title: "the unit walks page after page",
        work: PAGES,
        unit: "walks",
        goal: 2.1,
      },
      {
        name: "iotlb-hits",
        title: "IOTLB hits, 4096 entries in random order",
        work: 4 * PAGES,
        unit: "look-ups",
        goal: 1.9,
      },
      {
        name: "compare-equal",
        title: "compare two equal trees of 4 M leaves",
        work: PAGES,
        unit: "leaves",
        goal: 1.8,
      },
      {
        name: "compare-mixed",
        title: "compare two equal trees, 2 MiB in single pages and in one page by turns",
        work: PAGES,
        unit: "leaves",
        goal: 1.1,
      },
      {
        name: "collect",
        title: "collect the table pages of a tree, 200 times",
        work: 200 * 8210,
        unit: "tables",
        goal: 2.8,
      },
    ],
  },
  {
    name: "frames",
    libraries: undefined,
    pairs: [
      {
        name: "frame-tenth",
        title:
          "200x50, 40 devices, a tenth of the cells changes: the dashboard, and a grid by hand",
        work: FRAMES,
        unit: "frames",
        goal: 2,
      },
      {
        name: "frame-clock",
        title: "the same, only times change",
        work: FRAMES,
        unit: "frames",
      },
      {
        name: "frame-scroll",
        title: "5,000 devices are scrolled by a row",
        work: FRAMES,
        unit: "frames",
      },
      {
        name: "frame-sort",
        title: "5,000 devices by their rate, all of them new in every frame",
        work: FRAMES,
        unit: "frames",
      },
      {
        name: "frame-whole",
        title: "looking at a platform of 1 GiB and drawing it, and frame-tenth by hand",
        work: FRAMES,
        unit: "frames",
      },
    ],
  },
];
