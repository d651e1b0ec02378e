import { center } from "../layout.ts";
import type { Region } from "../region.ts";
import type { StyleLike } from "../style.ts";
import { wrap } from "../text.ts";
import { textWidth } from "../width.ts";
import { box } from "./box.ts";

export interface Button {
  readonly label: string;
  /** The way out: chosen at first, and by Esc. The last button if none is marked. */
  readonly cancel?: boolean;
  /** Drawn in the style of bad things. */
  readonly danger?: boolean;
}

export interface DialogOptions {
  readonly title: string;
  /** Wrapped to the width; "\n" starts a new line. */
  readonly text: string;
  readonly buttons: readonly Button[];
  /** Chosen button; default the one that cancels. */
  readonly selected?: number;
}

/** Widest text of a dialog, in cells. */
const MAX_TEXT = 60;

/** Index of the button that cancels; -1 when there are no buttons. */
export function cancelButton(buttons: readonly Button[]): number {
  const marked = buttons.findIndex((button) => button.cancel === true);
  return marked >= 0 ? marked : buttons.length - 1;
}

/** Draws a modal question in the middle of the region. */
export function dialog(region: Region, options: DialogOptions): void {
  const { title, buttons, selected = cancelButton(buttons) } = options;
  const labels = buttons.map((button) => `[ ${button.label} ]`);
  const buttonsWidth = labels.reduce((sum, label) => sum + textWidth(label) + 2, -2);
  const lines = wrap(options.text, Math.min(MAX_TEXT, region.w - 4));
  const textCols = Math.max(0, ...lines.map(textWidth));
  const wanted = Math.max(textCols, buttonsWidth, textWidth(title) + 2) + 4;
  const place = center(region.area, wanted, lines.length + 4);
  const panel = region.sub(place);
  panel.fill();
  const inside = box(panel, { title, focused: true });
  // When the height does not suffice, the text gives way: the buttons must be seen.
  const last = inside.h - 1;
  const shown = Math.min(lines.length, Math.max(0, last));
  for (let y = 0; y < shown; y++) inside.put(1, y, lines[y]!);

  let x = Math.max(0, inside.w - 1 - Math.max(0, buttonsWidth));
  labels.forEach((label, i) => {
    const base: StyleLike = buttons[i]!.danger === true ? "bad" : "text";
    const style = i === selected ? inside.table.over(base, "selection") : base;
    x += inside.put(x, last, label, style) + 2;
  });
}

/** What a key does to a dialog: another button, a decision, or nothing. */
export type DialogStep =
  | { readonly selected: number }
  | { readonly chosen: number }
  | null;

/** Left/right, Tab and h/l move; Enter and Space choose; Esc, q and ctrl-c cancel. */
export function dialogKey(
  key: string,
  buttons: readonly Button[],
  selected = cancelButton(buttons),
): DialogStep {
  const count = buttons.length;
  if (count === 0) return null;
  switch (key) {
    case "left":
    case "h":
    case "shift-tab":
      return { selected: (selected + count - 1) % count };
    case "right":
    case "l":
    case "tab":
      return { selected: (selected + 1) % count };
    case "enter":
    case " ":
      return { chosen: selected };
    case "esc":
    case "q":
    case "ctrl-c":
      return { chosen: cancelButton(buttons) };
    default:
      return null;
  }
}
