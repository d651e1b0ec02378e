import { formatSize, hex } from "../../base/units.ts";
import {
  MEMORY_KINDS,
  MEMORY_WORDS,
  type MemoryKind,
  type MemoryMap,
} from "../../platform/look/memory_map.ts";
import { type Line, list, type Region, type StyleLike } from "../../tui/mod.ts";
import type { Scene } from "../model.ts";
import { type Pane, wholly } from "./pane.ts";

/** How each kind is drawn: a letter, so that it can be told without colour, and a style. */
const LOOK: Readonly<Record<MemoryKind, readonly [letter: string, style: StyleLike]>> = {
  hole: [" ", "dim"],
  unknown: ["?", "dim"],
  free: [".", "dim"],
  user: ["u", "info"],
  guestmemfs: ["m", "dim"],
  kernel: ["k", "s4"],
  preserved: ["p", "warn"],
  guest: ["1", "good"],
  scratch: ["s", "accent"],
  tables: ["t", "title"],
  taken: ["!", "bad"],
};

/** The same in a word or two; # is the number of the boot. */
const SHORT: Readonly<Record<MemoryKind, string>> = {
  ...MEMORY_WORDS,
  unknown: "unknown",
  user: "programs",
  guestmemfs: "memfs",
  kernel: "boot #",
  preserved: "kept",
  scratch: "scratch",
  tables: "tables",
  taken: "TAKEN",
};

/** Guests by their order, and kernels by their boot, alternate: a change of hands is seen. */
const GUESTS: readonly StyleLike[] = ["s6", "s3", "s2", "info"];
const KERNELS: readonly StyleLike[] = ["s4", "s5"];

/** A cell of the map stands for several pieces: what comes last in the list of kinds is shown. */
function drawMap(region: Region, map: MemoryMap, s: Scene): void {
  const cells = region.w * region.h;
  const { pieces, owners } = map;
  const perCell = Math.max(1, Math.ceil(pieces.length / cells));
  const count = Math.ceil(pieces.length / perCell);
  // Blocks of colour where there is any; the letter is in them all the same.
  const { table } = region;
  const block = table.theme.depth === "none" ? 0 : table.look({ reverse: true });
  // Cells of one row that are alike are drawn together.
  let from = 0, kind = -1, owner = -1;
  for (let cell = 0; cell <= count; cell++) {
    let best = cell * perCell;
    const end = Math.min(pieces.length, best + perCell);
    for (let i = best + 1; i < end; i++) if (pieces[i]! > pieces[best]!) best = i;
    const same = pieces[best] === kind && owners[best] === owner;
    if (same && cell < count && cell % region.w !== 0) continue;
    if (kind >= 0) {
      const look = lookOf(MEMORY_KINDS[kind]!, owner, s), w = cell - from;
      const style = look[1] === "dim" ? "dim" : table.over(look[1], block);
      region.fill(style, look[0], {
        x: from % region.w,
        y: Math.floor(from / region.w),
        w,
        h: 1,
      });
    }
    from = cell;
    kind = pieces[best] ?? -1;
    owner = owners[best] ?? -1;
  }
}

function lookOf(kind: MemoryKind, owner: number, s: Scene): readonly [string, StyleLike] {
  if (kind === "guest") {
    return [owner < 10 ? String(owner) : "+", GUESTS[(owner - 1) % GUESTS.length] ?? "good"];
  }
  const [letter, style] = LOOK[kind];
  return kind === "kernel"
    ? [letter, KERNELS[(s.boot - 1) % KERNELS.length] ?? style]
    : [letter, style];
}

/** A kind of memory in the legend: its letter, and what it is. */
interface Entry {
  readonly letter: string;
  readonly style: StyleLike;
  readonly text: string;
}

/** What each letter stands for and how much of it there is, the rarest kinds first. */
function legend(map: MemoryMap, s: Scene, words: Readonly<Record<MemoryKind, string>>): Entry[] {
  const terse = words === SHORT;
  const about = map.stride > 1 ? terse ? "~" : "about " : "";
  return MEMORY_KINDS.toReversed().flatMap((kind): Entry[] => {
    if (map.frames[kind] === 0 || kind === "hole") return [];
    const sizeOf = (frames: number) => {
      const full = about + formatSize(frames * 4096);
      return terse ? full.replace(/ (.)iB/, "$1") : full;
    };
    if (kind === "guest") {
      return map.guests.flatMap((name, i): Entry[] => {
        const [letter, style] = lookOf(kind, i + 1, s), frames = map.guestFrames[i] ?? 0;
        return frames === 0 ? [] : [{ letter, style, text: `${name} ${sizeOf(frames)}` }];
      });
    }
    const [letter, style] = lookOf(kind, 0, s);
    return [{
      letter,
      style,
      text: `${words[kind].replace("#", String(s.boot))} ${sizeOf(map.frames[kind])}`,
    }];
  });
}

/** The last legend of a map: the border wants to know it as well. */
const known = new WeakMap<MemoryMap, { w: number; h: number; boot: number; lines: Line[] }>();

function legendLines(map: MemoryMap, s: Scene, w: number, h: number): Line[] {
  const last = known.get(map);
  if (last?.w === w && last.h === h && last.boot === s.boot) return last.lines;
  const lines = makeLegend(map, s, w, h);
  known.set(map, { w, h, boot: s.boot, lines });
  return lines;
}

/** Entries side by side, in as many lines as it takes; one to a line in words where there is room. */
function makeLegend(map: MemoryMap, s: Scene, w: number, h: number): Line[] {
  const long = w >= 60 ? legend(map, s, MEMORY_WORDS) : [];
  if (long.length > 0 && long.length <= h / 3) {
    return long.map(({ letter, style, text }) => [
      { text: ` ${letter} `, style },
      { text: ` ${text}`, style: "text" },
    ]);
  }
  const lines: { text: string; style: StyleLike }[][] = [[]];
  let used = 0;
  for (const { letter, style, text } of legend(map, s, SHORT)) {
    const width = text.length + letter.length + 3;
    if (used > 0 && used + width > w) lines.push([]), used = 0;
    lines.at(-1)!.push({ text: ` ${letter}`, style }, { text: ` ${text} `, style: "text" });
    used += width;
  }
  return lines;
}

export const memoryPane: Pane = {
  id: "memory",
  title: "Memory",
  count: ({ memory: map }) => map === undefined ? "" : formatSize(total(map)),
  note(s, region) {
    const map = s.memory;
    if (map === undefined) return "";
    const lines = legendLines(map, s, region.w - 2, region.h - 2);
    const { w, h } = mapArea(region.w - 2, region.h - 2, lines.length);
    const perCell = Math.max(1, Math.ceil(map.pieces.length / (w * h)));
    return `a cell is ${formatSize(perCell * map.bytes)}`;
  },
  draw(region, s, model) {
    const map = s.memory;
    if (map === undefined) return wholly(region);
    const lines = legendLines(map, s, region.w, region.h);
    const { w, h } = mapArea(region.w, region.h, lines.length);
    drawMap(region.sub({ x: 0, y: 0, w, h }), map, s);
    const shown = list(region.sub({ x: 0, y: h, w: region.w, h: region.h - h }), {
      count: lines.length,
      line: (i) => lines[i]!,
      offset: model.scroll.memory.top,
    });
    return { ...shown, total: lines.length, firstRow: h };
  },
};

/** The map gets what the legend leaves, and at least half. */
function mapArea(w: number, h: number, lines: number): { w: number; h: number } {
  return { w: Math.max(1, w), h: Math.max(1, h - Math.min(lines, Math.floor(h / 2))) };
}

function total(map: MemoryMap): number {
  return MEMORY_KINDS.reduce((sum, kind) => sum + map.frames[kind], 0) * 4096;
}

/** Memory as text, for the line mode: ranges of one owner. */
export function memoryText({ memory: map, ...s }: Scene): string[] {
  if (map === undefined) return [];
  const out: string[] = [];
  let from = 0;
  for (let i = 1; i <= map.pieces.length; i++) {
    const same = map.pieces[i] === map.pieces[from] && map.owners[i] === map.owners[from];
    if (i < map.pieces.length && same) continue;
    const kind = MEMORY_KINDS[map.pieces[from]!]!;
    const whose = kind === "guest"
      ? `of ${map.guests[map.owners[from]! - 1]}`
      : kind === "kernel"
      ? `of the kernel, boot ${s.boot}`
      : MEMORY_WORDS[kind];
    if (kind !== "hole") {
      out.push(`${hex(from * map.bytes)}-${hex(i * map.bytes - 1)} ${whose}`);
    }
    from = i;
  }
  return out;
}
