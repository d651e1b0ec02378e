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
        title: "compare a tree of 4 M single pages with one that has 2 MiB pages for the same",
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
    name: "devices",
    libraries: [],
    pairs: [
      {
        name: "queue-heap",
        title: "the event queue: 10,000 devices, each event schedules the next",
        work: 2_000_000,
        unit: "events",
        goal: 1.5,
      },
      {
        name: "dma-packets",
        title: "10,000 cards receive packets of 256 bytes: 3 DMAs each, all of them miss the IOTLB",
        work: 1_000_000,
        unit: "packets",
        goal: 2,
      },
      {
        name: "dma-writes",
        title: "10,000 devices write, 16 times 64 bytes an event",
        work: 8_000_000,
        unit: "writes",
        goal: 2,
      },
    ],
  },
  {
    name: "fdt",
    libraries: ["fdt"],
    pairs: [
      {
        name: "fdt-write-1k",
        title: "write a tree of 1,000 nodes with 4 properties each, 20 times",
        work: 20_000,
        unit: "nodes",
        goal: 0.9,
      },
      {
        name: "fdt-write-100k",
        title: "write a tree of 100,000 nodes",
        work: 100_000,
        unit: "nodes",
        goal: 0.9,
      },
      {
        name: "fdt-write-1k-unique",
        title: "write 1,000 nodes whose 4,000 property names all differ, 5 times",
        work: 5_000,
        unit: "nodes",
        goal: 0.05,
      },
      {
        name: "fdt-write-3k-unique",
        title: "write 3,000 nodes whose 12,000 property names all differ",
        work: 3_000,
        unit: "nodes",
        goal: 0.05,
      },
      {
        name: "fdt-read-1k",
        title: "open it and read each property of each node by name, 20 times",
        work: 20_000,
        unit: "nodes",
        goal: 0.3,
      },
      {
        name: "fdt-read-100k",
        title: "the same of 100,000 nodes",
        work: 100_000,
        unit: "nodes",
        goal: 0.3,
      },
      {
        name: "fdt-pass-1k",
        title: "open it and read each property as it comes, 20 times; libfdt as before",
        work: 20_000,
        unit: "nodes",
        goal: 0.15,
      },
      {
        name: "fdt-pass-100k",
        title: "the same of 100,000 nodes",
        work: 100_000,
        unit: "nodes",
        goal: 0.15,
      },
      {
        name: "fdt-path-1k",
        title: "open it and look up 100 paths, 20 times",
        work: 2_000,
        unit: "paths",
        goal: 0.05,
      },
      {
        name: "fdt-path-100k",
        title: "open 100,000 nodes and look up 100 paths",
        work: 100,
        unit: "paths",
        goal: 0.05,
      },
    ],
  },
  {
    name: "guest",
    libraries: ["z"],
    pairs: [
      {
        name: "guest-check",
        title:
          "check 4 GiB of a paused guest's memory against its seal, by zlib's CRC of each page",
        work: 2 ** 32,
        unit: "bytes",
        goal: 0.5,
      },
    ],
  },
  {
    name: "handover",
    libraries: [],
    pairs: [
      {
        name: "handover-1g-4k",
        title:
          "a guest of 1 GiB in pages of 4 KiB: mapped, handed over, taken over, walked; C its table work only",
        work: 2 ** 18,
        unit: "leaves",
      },
      {
        name: "handover-8g-4k",
        title:
          "a guest of 8 GiB in pages of 4 KiB: mapped, handed over, taken over, walked; C its table work only",
        work: 2 ** 21,
        unit: "leaves",
      },
      {
        name: "handover-64g-4k",
        title:
          "a guest of 64 GiB in pages of 4 KiB: mapped, handed over, taken over, walked; C its table work only",
        work: 2 ** 24,
        unit: "leaves",
        goal: 2.5,
      },
      {
        name: "handover-64g-2m",
        title:
          "a guest of 64 GiB in pages of 2 MiB: mapped, handed over, taken over, walked; C its table work only",
        work: 2 ** 15,
        unit: "leaves",
      },
      {
        name: "handover-256g-2m",
        title:
          "a guest of 256 GiB in pages of 2 MiB: mapped, handed over, taken over, walked; C its table work only",
        work: 2 ** 17,
        unit: "leaves",
      },
      {
        name: "handover-1t-2m",
        title:
          "a guest of 1 TiB in pages of 2 MiB: mapped, handed over, taken over, walked; C its table work only",
        work: 2 ** 19,
        unit: "leaves",
        goal: 2.5,
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
