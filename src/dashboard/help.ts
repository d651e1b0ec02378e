import { box, center, type Line, list, type Region } from "../tui/mod.ts";
import { keyText } from "./chrome.ts";
import { COMMANDS } from "./commands.ts";
import type { Context, Model, Shown } from "./model.ts";

const WIDTH = 80;
const KEYS = 12;

/** Every command with its keys, and why it cannot be done now where it cannot. */
export function help(screen: Region, model: Model, c: Context, top: number): Shown {
  const lines = helpLines(model, c);
  const panel = screen.sub(center(screen.area, WIDTH, lines.length + 2));
  panel.fill();
  const inside = box(panel, {
    title: "Keys",
    focused: true,
    note: "arrows scroll, Esc closes",
  });
  const shown = list(inside, { count: lines.length, line: (i) => lines[i]!, offset: top });
  return { ...shown, total: lines.length };
}

function helpLines(model: Model, c: Context): Line[] {
  return COMMANDS.flatMap((command): Line[] => {
    const reason = command.disabled?.(c, model) ?? null;
    const keys = command.keys.map(keyText).join(" ");
    const line: Line = [
      { text: ` ${keys.padEnd(KEYS)}`, style: reason === null ? "key" : "dim" },
      { text: command.title, style: reason === null ? "text" : "dim" },
    ];
    if (reason === null) return [line];
    return [line, { text: `${" ".repeat(KEYS + 3)}not now: ${reason}`, style: "warn" }];
  });
}
