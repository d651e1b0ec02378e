import { argumentUsage } from "../../operations/arguments.ts";
import { box, center, drawInput, type Line, list, type Region, wrap } from "../../tui/mod.ts";
import { keyText } from "../chrome.ts";
import { COMMANDS } from "../commands/table.ts";
import type { Command } from "../commands/types.ts";
import { filterOf } from "../filter.ts";
import type { Context, Model, Overlay, Shown } from "../model.ts";

type Help = Overlay & { readonly kind: "help" };

const WIDTH = 100;
const KEYS = 12;
/** Rows below the list, the first one blank. */
const FOOT = 5;
const NAME = 20;

/** The commands that the filter lets through. */
export function helpRows(filter: string): readonly Command[] {
  const wanted = filterOf(filter);
  return COMMANDS.filter((command) =>
    wanted([command.id, ...command.aliases ?? [], ...command.keys.map(keyText), command.title]
      .join(" "))
  );
}

/** Every command with its keys, and why it cannot be done now where it cannot. */
export function helpOverlay(screen: Region, open: Help, model: Model, c: Context): Shown {
  const rows = helpRows(open.input.text);
  const chosen = Math.min(open.selected, rows.length - 1);
  const panel = screen.sub(center(screen.area, WIDTH, Math.max(rows.length, 5) + 4 + FOOT));
  panel.fill();
  const inside = box(panel, {
    title: "Commands and keys",
    count: `${rows.length}`,
    focused: true,
    note: panel.w >= 50 ? "type to filter, Enter does it, Esc closes" : "Enter does it",
  });
  drawInput(inside.sub({ x: 1, y: 0, w: inside.w - 2, h: 1 }), "filter: ", open.input);
  const foot = inside.h >= 12 ? FOOT : 2;
  const h = Math.max(0, inside.h - 1 - foot);
  const shown = list(inside.sub({ x: 0, y: 1, w: inside.w, h }), {
    count: rows.length,
    selected: chosen,
    line: (i) => lineOf(rows[i]!, model, c, inside.w),
  });
  const command = rows[chosen];
  if (command === undefined) return { ...shown, total: rows.length };
  const area = { x: 1, y: inside.h - foot, w: inside.w - 2, h: foot };
  footnote(inside.sub(area), command, model, c);
  return { ...shown, total: rows.length };
}

function lineOf(command: Command, model: Model, c: Context, width: number): Line {
  const able = (command.disabled?.(c, model) ?? null) === null;
  const keys = command.keys.map(keyText).join(" ");
  const name = width < 60 ? "" : `${command.id.padEnd(NAME)} `;
  return [
    { text: ` ${keys.padEnd(width < 60 ? 6 : KEYS)} `, style: able ? "key" : "dim" },
    { text: name, style: able ? "title" : "dim" },
    { text: command.title, style: able ? "text" : "dim" },
  ];
}

/** All of what the chosen command does, how it is written, and why it cannot be done now. */
function footnote(region: Region, command: Command, model: Model, c: Context): void {
  const reason = command.disabled?.(c, model) ?? null;
  const usage = [`:${command.id}`, ...(command.arguments ?? []).map(argumentUsage)].join(" ");
  const also = command.aliases?.length ? `  (also :${command.aliases.join(", :")})` : "";
  const lines = [
    ...(region.h > 2 ? wrap(command.title, region.w).slice(0, region.h - 3) : []),
  ];
  lines.forEach((line, y) => region.put(0, y + 1, line, "text"));
  region.put(0, region.h - 2, usage + also, "dim", region.w);
  if (reason !== null) region.put(0, region.h - 1, `not now: ${reason}`, "warn", region.w);
}
