import { hex } from "../../base/units.ts";
import type { DeviceLook } from "../../platform/look/device_look.ts";
import type { TableStep } from "../../platform/look/translation.ts";
import { box, center, type Line, list, type Region, type Role } from "../../tui/mod.ts";
import { DEVICE_TABS, type DeviceTab, type Model, type Scene, type Shown } from "../model.ts";
import { chosenDevice } from "../panes/devices.ts";
import { detailLines } from "../panes/device_lines.ts";

const WIDTH = 100;
/** The same for all pages: nothing jumps when one is turned. */
const HEIGHT = 30;

type Open = { readonly top: number; readonly tab: DeviceTab };

/** Everything that is known of one device, over the panes; scrolls when the screen is small. */
export function deviceOverlay(screen: Region, s: Scene, model: Model, open: Open): Shown {
  const d = chosenDevice(model, s);
  if (d === undefined) return { offset: 0, visible: 0, total: 0 };
  const lines = deviceLines(s, model, open.tab, Math.min(WIDTH, screen.w) - 3);
  const panel = screen.sub(center(screen.area, WIDTH, HEIGHT));
  panel.fill();
  const inside = box(panel, {
    title: `Device ${d.id}`,
    count: `${DEVICE_TABS.indexOf(open.tab) + 1} of ${DEVICE_TABS.length}`,
    focused: true,
    note: note(open.tab, panel.w),
  });
  let x = 1;
  for (const tab of DEVICE_TABS) {
    const style = tab === open.tab ? inside.table.over("title", "selection") : "dim";
    x += inside.put(x, 0, ` ${tab} `, style);
  }
  const below = inside.sub({ x: 0, y: 1, w: inside.w, h: inside.h - 1 });
  const shown = list(below, { count: lines.length, offset: open.top, line: (i) => lines[i]! });
  return { ...shown, total: lines.length };
}

function note(tab: DeviceTab, width: number): string {
  const all = [
    "left/right turn the page",
    tab === "translation" ? "t another address" : "up/down another device",
    "Esc closes",
  ].join(", ");
  return all.length <= width - 6 ? all : "Esc closes";
}

/** The lines of one page about the chosen device. `width`: cells there are for a line. */
export function deviceLines(s: Scene, model: Model, tab: DeviceTab, width = WIDTH): Line[] {
  const d = chosenDevice(model, s);
  if (d === undefined) return [];
  if (tab === "overview") return detailLines(d, s);
  const look = s.device;
  if (look === undefined || look.id !== d.id) return [plain(" not looked into yet", "dim")];
  switch (tab) {
    case "translation":
      return translationLines(look, model, width);
    case "config":
      return configLines(look);
    case "rings":
      return ringLines(look);
    case "faults":
      return look.faults.length === 0
        ? [plain(" nothing was refused, nothing went astray", "dim")]
        : look.faults.map((line) => plain(` ${line}`));
  }
}

function plain(text: string, style: Role = "text"): Line {
  return [{ text, style }];
}

/** The way of an address through the tables, entry by entry, with the words that lie in memory. */
function translationLines(
  { translation, pasids, strangers }: DeviceLook,
  model: Model,
  width: number,
): Line[] {
  const { iova, write, steps, cached } = translation;
  const last = steps[steps.length - 1];
  const which = model.iova === undefined ? "an address it uses; t for another" : "t for another";
  const end: Line = last?.pfn !== undefined
    ? plain(` reaches physical ${hex(last.pfn * 4096 + iova % 4096)}`, "good")
    : plain(
      ` ${last?.meaning ?? "there is no IOMMU"}`,
      last?.reason === undefined ? "warn" : "bad",
    );
  return [
    plain(` ${write ? "write" : "read"} to IOVA ${hex(iova)}  (${which})`, "title"),
    ...(pasids.length > 0 ? [plain(` it has PASIDs ${pasids.join(", ")} as well`, "dim")] : []),
    plain(""),
    plain(
      ` ${"level".padEnd(9)}${"table at".padEnd(16)} index  ${"entry".padEnd(17)}  what it says`,
      "dim",
    ),
    ...steps.flatMap((step) => {
      const taken = strangers.get(step.table);
      const said = taken === "free"
        ? "this kernel takes the table for free memory"
        : "this kernel has something else in the table's page";
      const lines = stepLines(step, width);
      return taken === undefined ? lines : [...lines, plain(`${" ".repeat(10)}! ${said}`, "bad")];
    }),
    plain(""),
    end,
    plain(cached === "" ? " not in the IOTLB" : ` in the IOTLB: ${cached}`, "dim"),
  ];
}

/** An entry with its two words; what it says stands below them where there is no room beside. */
function stepLines(
  { level, table, index, low, high, meaning, reason }: TableStep,
  width: number,
): Line[] {
  const word = (n: number) => n.toString(16).padStart(8, "0");
  const style: Role = reason === undefined ? "text" : "bad";
  const where = level === "unit"
    ? ""
    : `${hex(table).padEnd(16)} ${String(index).padStart(5)}  ${word(high)} ${word(low)}`;
  const head = [{ text: ` ${level.padEnd(9)}`, style: "key" }, { text: where, style }] as const;
  const says = { text: meaning, style };
  if (where !== "" && 10 + where.length + 2 + meaning.length > width) {
    return [head, [{ text: " ".repeat(10), style: "dim" as const }, says]];
  }
  return [[...head, { text: where === "" ? "" : "  ", style }, says]];
}

function configLines({ config, dump }: DeviceLook): Line[] {
  return [
    ...config.map(({ at, name, value }): Line => [
      { text: ` ${at.toString(16).padStart(3, "0")}  `, style: "dim" },
      { text: name.padEnd(26), style: "text" },
      { text: value, style: "title" },
    ]),
    plain(""),
    ...dump.map((row) => plain(` ${row}`, "dim")),
  ];
}

function ringLines({ registers, rings }: DeviceLook): Line[] {
  return [
    ...registers.map(([name, value]): Line => [
      { text: ` ${name.padEnd(12)}`, style: "dim" },
      { text: value, style: "text" },
    ]),
    ...rings.flatMap((ring) => [
      plain(""),
      plain(
        ` ${ring.name}: ${ring.entries} entries at IOVA ${hex(ring.base)}, head ${ring.head}, ` +
          `tail ${ring.tail}`,
        "title",
      ),
      ...ring.rows.map((row) => plain(`   ${row}`)),
    ]),
  ];
}
