import type { EventLine } from "../../platform/platform.ts";
import { type Line, list, putFitted, type Role } from "../../tui/mod.ts";
import type { Pane } from "./pane.ts";

/** Boots alternate in colour, so that the seam is seen while scrolling. */
const BOOT_ROLES: readonly Role[] = ["s1", "s2", "s3", "s4"];
const LEVEL_ROLE: Readonly<Record<EventLine["level"], Role>> = {
  info: "text",
  warn: "warn",
  err: "bad",
};

export const eventsPane: Pane = {
  id: "events",
  title: "Events",
  count: (s, model) => `${s.events.length}${model.follow ? "" : ", End follows"}`,
  draw(region, s, model) {
    if (s.events.length === 0) putFitted(region, 1, 0, "nothing yet", region.w - 2, "dim");
    const { top, left } = model.scroll.events;
    const shown = list(region, {
      count: s.events.length,
      line: (i) => eventLine(s.events[i]!),
      offset: top,
      follow: model.follow,
      left,
    });
    return { ...shown, total: s.events.length };
  },
};

/** As dmesg prints it, with the boot's number and who said it; virtual time in place of uptime. */
function eventLine({ time, boot, source, level, text }: EventLine): Line {
  const role = source === "operator" ? "accent" : source === "program" ? "info" : LEVEL_ROLE[level];
  const who = source === "operator" ? ">> " : source === "program" ? "-- " : "";
  const tag = level === "info" ? "" : `${level}: `;
  return [
    { text: `[${(time / 1e9).toFixed(6).padStart(11)}] `, style: "dim" },
    { text: `b${boot} `, style: BOOT_ROLES[(boot - 1) % BOOT_ROLES.length] ?? "s1" },
    { text: who + tag + text, style: role },
  ];
}
