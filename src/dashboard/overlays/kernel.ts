import {
  DEFECT_LIST,
  defectsAdded,
  IMAGE_LIST,
  imageBase,
  isImage,
} from "../../operations/names.ts";
import {
  box,
  center,
  drawInput,
  inputOf,
  type Line,
  list,
  type Region,
  wrap,
} from "../../tui/mod.ts";
import { filterOf } from "../filter.ts";
import type { Model, Overlay, Shown } from "../model.ts";

type Picker = Overlay & { readonly kind: "kernel" };

/** A row of the picker: an image, or a defect that the image may be given, and what comes of it. */
export type KernelRow =
  | { readonly image: string; readonly text: string }
  | { readonly defect: string; readonly text: string; readonly seen: string };

const WIDTH = 96;
/** Rows below the list that explain the chosen one, a blank one before them. */
const FOOT = 4;

/** Opens the picker on what the next kexec boots now. */
export function kernelPicker(model: Model): Model {
  const at = kernelRows("").findIndex((r) => "image" in r && r.image === imageBase(model.image));
  return {
    ...model,
    overlay: { kind: "kernel", selected: Math.max(0, at), image: model.image, input: inputOf("") },
  };
}

/** Images first, then defects, as far as the filter lets them through. */
export function kernelRows(filter: string): readonly KernelRow[] {
  const wanted = filterOf(filter);
  const images = IMAGE_LIST.map(({ name, summary }) => ({ image: name, text: summary }));
  const defects = DEFECT_LIST.map(({ id, title, seen }) => ({ defect: id, text: title, seen }));
  return [...images, ...defects].filter((row) =>
    wanted(`${"image" in row ? row.image : row.defect} ${row.text}`)
  );
}

/** The image with the row's image in place of its own, or with its defect switched. */
export function choose(image: string, row: KernelRow): string {
  const base = imageBase(image) ?? image, added = defectsAdded(image);
  if ("image" in row) {
    const kept = added.filter((id) => isImage(`${row.image}+${id}`));
    return row.image + kept.map((id) => `+${id}`).join("");
  }
  const on = added.includes(row.defect);
  const next = on ? added.filter((id) => id !== row.defect) : [...added, row.defect];
  const order = DEFECT_LIST.map((d) => d.id).filter((id) => next.includes(id));
  return base + order.map((id) => `+${id}`).join("");
}

export function kernelOverlay(screen: Region, { selected, image, input }: Picker): Shown {
  const rows = kernelRows(input.text);
  const panel = screen.sub(center(screen.area, WIDTH, Math.max(rows.length, 5) + 4 + FOOT));
  panel.fill();
  const inside = box(panel, {
    title: "Next kernel",
    count: image,
    focused: true,
    note: panel.w >= 74
      ? "Space chooses, Enter: next kexec boots it, Ctrl-R: start over on it"
      : "Enter takes it",
  });
  drawInput(inside.sub({ x: 1, y: 0, w: inside.w - 2, h: 1 }), "filter: ", input);
  const foot = inside.h >= 14 ? FOOT : 0;
  const below = inside.sub({ x: 0, y: 1, w: inside.w, h: inside.h - 1 - foot });
  const added = defectsAdded(image), base = imageBase(image);
  const shown = list(below, {
    count: rows.length,
    selected: Math.min(selected, rows.length - 1),
    line: (i) => lineOf(rows[i]!, base, added, image),
  });
  const row = rows[Math.min(selected, rows.length - 1)];
  if (foot > 0 && row !== undefined) {
    explain(inside.sub({ x: 1, y: inside.h - foot, w: inside.w - 2, h: foot }), row);
  }
  return { ...shown, total: rows.length };
}

/** What the chosen row does. A kernel hands over in its own way, the next one takes over in its. */
function explain(region: Region, row: KernelRow): void {
  const text = "image" in row ? row.text : `${row.defect}, what is seen of it: ${row.seen}`;
  wrap(text, region.w).slice(0, region.h - 1)
    .forEach((line, y) => region.put(0, y + 1, line, "text"));
}

function lineOf(
  row: KernelRow,
  base: string | undefined,
  added: readonly string[],
  image: string,
): Line {
  if ("image" in row) {
    const on = row.image === base;
    return [
      { text: ` ${on ? "(x)" : "( )"} `, style: on ? "good" : "dim" },
      { text: row.image.padEnd(16), style: on ? "title" : "text" },
      { text: ` ${row.text}`, style: "dim" },
    ];
  }
  const on = added.includes(row.defect), fits = on || isImage(`${image}+${row.defect}`);
  return [
    { text: ` ${on ? "[x]" : "[ ]"} `, style: on ? "bad" : "dim" },
    { text: row.defect.padEnd(16), style: on ? "bad" : fits ? "text" : "dim" },
    { text: ` ${row.text}${fits ? "" : " (not in this image)"}`, style: "dim" },
  ];
}
