import type { EventLine } from "../../platform/platform.ts";
import { type Line, list, putFitted, type Role } from "../../tui/mod.ts";
import { filterOf } from "../filter.ts";
import type { EventSource, Model, Scene } from "../model.ts";
import type { Pane } from "./pane.ts";

/** Boots alternate in colour, so that the seam is seen while scrolling. */
const BOOT_ROLES: readonly Role[] = ["s1", "s2", "s3", "s4"];
const LEVEL_ROLE: Readonly<Record<EventLine["level"], Role>> = {
  info: "text",
  warn: "warn",
  err: "bad",
};

/** What was let through of a log, and how far it has been looked at. */
interface Kept {
  readonly filter: string;
  readonly source: EventSource;
  upTo: number;
  readonly indexes: number[];
}
const kept = new WeakMap<readonly EventLine[], Kept>();

/** Indexes of the lines that are wanted; undefined for all. A log only grows. */
function wantedLines(s: Scene, model: Model): readonly number[] | undefined {
  const { source, filters: { events: filter } } = model;
  if (filter === "" && source === "all") return undefined;
  let known = kept.get(s.events);
  if (known?.filter !== filter || known.source !== source || known.upTo > s.events.length) {
    kept.set(s.events, known = { filter, source, upTo: 0, indexes: [] });
  }
  const wanted = filterOf(filter);
  for (; known.upTo < s.events.length; known.upTo++) {
    const line = s.events[known.upTo]!;
    if (source !== "all" && line.source !== source) continue;
    if (wanted(eventText(line))) known.indexes.push(known.upTo);
  }
  return known.indexes;
}

export const eventsPane: Pane = {
  id: "events",
  title: "Events",
  filters: true,
  count(s, model) {
    const wanted = wantedLines(s, model)?.length;
    const of = wanted === undefined ? `${s.events.length}` : `${wanted} of ${s.events.length}`;
    const only = model.source === "all" ? "" : `, ${model.source} only`;
    return `${of}${only}${model.follow ? "" : ", End follows"}`;
  },
  draw(region, s, model) {
    const wanted = wantedLines(s, model);
    const count = wanted?.length ?? s.events.length;
    if (count === 0) {
      const text = s.events.length === 0 ? "nothing yet" : "nothing like that";
      putFitted(region, 1, 0, text, region.w - 2, "dim");
    }
    const { top, left } = model.scroll.events;
    const shown = list(region, {
      count,
      line: (i) => eventLine(s.events[wanted?.[i] ?? i]!),
      offset: top,
      follow: model.follow,
      left,
    });
    return { ...shown, total: count };
  },
};

/** As dmesg prints it, with the boot's number and who said it; virtual time in place of uptime. */
function eventLine({ time, boot, source, level, text }: EventLine): Line {
  const role = source === "operator" ? "accent" : source === "program" ? "info" : LEVEL_ROLE[level];
  return [
    { text: `[${(time / 1e9).toFixed(6).padStart(11)}] `, style: "dim" },
    { text: `b${boot} `, style: BOOT_ROLES[(boot - 1) % BOOT_ROLES.length] ?? "s1" },
    { text: spoken(source, level) + text, style: role },
  ];
}

function spoken(source: EventLine["source"], level: EventLine["level"]): string {
  const who = source === "operator" ? ">> " : source === "program" ? "-- " : "";
  return who + (level === "info" ? "" : `${level}: `);
}

/** The same as plain text. */
export function eventText({ time, boot, source, level, text }: EventLine): string {
  return `[${(time / 1e9).toFixed(6).padStart(11)}] b${boot} ${spoken(source, level)}${text}`;
}
