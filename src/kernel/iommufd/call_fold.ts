import type { RecordedCall } from "./call_log.ts";

/** A range of IOVAs of an IOAS, both ends inside. */
export interface Range {
  readonly ioas: number;
  readonly start: bigint;
  readonly last: bigint;
}

/** A recorded call with what it means to the others. */
export interface Entry extends RecordedCall {
  /** A mapping. */
  readonly maps?: Range;
  /** It shows what lies there in another IOAS. */
  readonly copies?: Range;
  /** The object it is about, and nothing of it is left without. */
  readonly object?: number;
  /** Objects that must be there for it. */
  readonly needs?: readonly number[];
  /** It ends mappings, or an object. */
  readonly unmaps?: Range;
  readonly ends?: number;
}

/**
 * Drops what was undone, with what undid it, from a log of calls: mappings that are unmapped, objects
 * that are gone. What something else still comes from stays: a mapping that was copied before it was
 * unmapped, a device that a HWPT was made for. Then both stay, until that goes too.
 */
export function fold(entries: Entry[]): void {
  for (let at = 0; at < entries.length; at++) {
    const { unmaps, ends } = entries[at];
    const gone = unmaps !== undefined
      ? foldUnmap(entries, at, unmaps)
      : ends !== undefined && foldEnd(entries, at, ends);
    // What it had kept alive may be what an earlier one waited for.
    if (gone) at = -1;
  }
}

/** Where an object was made that goes by an id at this place of the log; -1: before it. */
function birth(entries: readonly Entry[], id: number, before: number): number {
  for (let i = before - 1; i >= 0; i--) if (entries[i].made === id) return i;
  return -1;
}

function inside(a: Range, b: Range): boolean {
  return a.ioas === b.ioas && b.start <= a.start && a.last <= b.last;
}

function meet(a: Range, b: Range): boolean {
  return a.ioas === b.ioas && a.start <= b.last && b.start <= a.last;
}

function foldUnmap(entries: Entry[], at: number, range: Range): boolean {
  const born = birth(entries, range.ioas, at);
  let kept = false;
  for (let i = at - 1; i > born; i--) {
    const { maps } = entries[i];
    if (maps === undefined || !inside(maps, range)) continue;
    const copied = entries.slice(i + 1, at).some(({ copies }) =>
      copies !== undefined && meet(copies, maps)
    );
    if (copied) kept = true;
    else {
      entries.splice(i, 1);
      at--;
    }
  }
  if (!kept) entries.splice(at, 1);
  return !kept;
}

function foldEnd(entries: Entry[], at: number, id: number): boolean {
  const born = birth(entries, id, at);
  if (born < 0) return false;
  const own = (entry: Entry, i: number) =>
    i >= born && i <= at &&
    (i === born || i === at || entry.object === id || entry.maps?.ioas === id ||
      entry.unmaps?.ioas === id);
  const needed = entries.some((entry, i) =>
    i > born && i < at && !own(entry, i) &&
    (entry.copies?.ioas === id || entry.needs?.includes(id))
  );
  if (needed) return false;
  const left = entries.filter((entry, i) => !own(entry, i));
  entries.splice(0, entries.length, ...left);
  return true;
}
