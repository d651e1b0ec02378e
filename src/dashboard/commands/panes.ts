import { focusOn, moveBy, moveTo, nextPane, scrollSideways, toggleBranch } from "../actions.ts";
import { inputOf } from "../../tui/mod.ts";
import {
  type Context,
  DEVICE_TABS,
  doing,
  EVENT_SOURCES,
  everyPane,
  just,
  type Model,
  PANE_IDS,
  say,
} from "../model.ts";
import { showText } from "../overlays/text.ts";
import { paneLines } from "../panes/lines.ts";
import { chosenDevice, DEVICE_COLUMNS, deviceRows } from "../panes/devices.ts";
import { openChosen } from "../panes/open.ts";
import { paneOf } from "../panes/mod.ts";
import { argument, type Command, refuse } from "./types.ts";

/** Pages overlap by a line. */
const page = (model: Model, c: Context) =>
  Math.max(1, (c.metrics.panes[model.focus]?.visible ?? 1) - 1);

function move(
  id: string,
  keys: string[],
  title: string,
  by: (model: Model, c: Context) => number,
): Command {
  return {
    id: `move.${id}`,
    keys,
    group: "moving",
    title,
    run: (m, c) => just(moveBy(m, c, by(m, c))),
  };
}

export const MOVE_COMMANDS: readonly Command[] = [
  move("up", ["up"], "Up: choose or scroll", () => -1),
  move("down", ["down", "j"], "Down: choose or scroll", () => 1),
  move("page-up", ["pageup", "ctrl-b"], "A page up", (model, c) => -page(model, c)),
  move("page-down", ["pagedown", "ctrl-f"], "A page down", (model, c) => page(model, c)),
  move("half-up", ["ctrl-u"], "Half a page up", (model, c) => -Math.ceil(page(model, c) / 2)),
  move("half-down", ["ctrl-d"], "Half a page down", (model, c) => Math.ceil(page(model, c) / 2)),
  {
    id: "move.top",
    keys: ["g", "home"],
    group: "moving",
    title: "To the top",
    run: (model, c) => just(moveTo(model, c, 0)),
  },
  {
    id: "move.bottom",
    keys: ["G", "end"],
    group: "moving",
    title: "To the end; the Events pane follows again",
    run: (model, c) => just(moveTo(model, c, Infinity)),
  },
  {
    id: "move.left",
    keys: ["left", "h"],
    group: "moving",
    title: "Close the branch, or scroll long lines back",
    run: (model, c) => just(toggleBranch(model, c, false) ?? scrollSideways(model, -8)),
  },
  {
    id: "move.right",
    keys: ["right", "l"],
    group: "moving",
    title: "Open the branch, or scroll long lines to the right",
    run: (model, c) => just(toggleBranch(model, c, true) ?? scrollSideways(model, 8)),
  },
];

export const PANE_COMMANDS: readonly Command[] = [
  {
    id: "open.row",
    keys: ["enter"],
    group: "panes",
    title: "Look into what is chosen: device, branch, file; take a persisted iommufd",
    onBar: "details",
    disabled: (c, model) => openChosen(model, c).why ?? null,
    run: (model, c) => openChosen(model, c).step ?? just(model),
  },
  {
    id: "zoom",
    keys: ["z"],
    group: "panes",
    title: "Zoom the focused pane, or back",
    onBar: "zoom",
    run: (model) => just({ ...model, zoomed: !model.zoomed }),
  },
  {
    id: "pane.next",
    keys: ["tab"],
    group: "panes",
    title: "Focus the next pane",
    onBar: "next pane",
    run: (model) => just(nextPane(model, 1)),
  },
  {
    id: "pane.previous",
    keys: ["shift-tab"],
    group: "panes",
    title: "Focus the previous pane",
    run: (model) => just(nextPane(model, -1)),
  },
  ...PANE_IDS.map((id, i): Command => ({
    id: `pane.${id}`,
    keys: [String(i + 1)],
    group: "panes",
    title: `Focus ${paneOf(id).title}`,
    run: (model) => just(focusOn(model, id)),
  })),
  {
    id: "filter",
    keys: ["/"],
    group: "panes",
    title: "Show only rows with a text; !text without, /regex/, ~letters in order",
    onBar: "filter",
    arguments: [argument("text", "what rows must have; nothing shows all", { required: false })],
    disabled: (_c, model) =>
      paneOf(model.focus).filters === true ? null : `${paneOf(model.focus).title} has no rows`,
    run(model, _c, { text }) {
      const { focus, filters } = model;
      if (text !== undefined) return just({ ...model, filters: { ...filters, [focus]: text } });
      const input = inputOf(filters[focus]);
      return just({ ...model, prompt: { purpose: "filter", input, recall: 0 } });
    },
  },
  {
    id: "filter.clear",
    keys: ["\\"],
    group: "panes",
    title: "Show all rows of all panes again",
    disabled: (_c, model) =>
      Object.values(model.filters).some((f) => f !== "") ? null : "nothing is left out",
    run: (model) => just({ ...model, filters: everyPane("") }),
  },
  {
    id: "sort",
    keys: ["o"],
    panes: ["devices"],
    group: "devices",
    title: "Order the devices by the next column, or by the one named",
    onBar: "sort",
    arguments: [
      argument("column", "title of a column; none for the machine's order", {
        required: false,
        choices: ["none", ...DEVICE_COLUMNS],
      }),
    ],
    run(model, c, { column }) {
      const all = ["", ...DEVICE_COLUMNS];
      const at = all.indexOf(model.sorting.column);
      const next = column === undefined
        ? all[(at + 1) % all.length]!
        : column === "none"
        ? ""
        : column;
      if (!all.includes(next)) {
        return refuse(
          model,
          c,
          `there is no column ${next}, there are ${DEVICE_COLUMNS.join(", ")}`,
        );
      }
      const sorting = { ...model.sorting, column: next };
      return just(
        say({ ...model, sorting }, c.now, next === "" ? "machine's order" : `by ${next}`),
      );
    },
  },
  {
    id: "sort.reverse",
    keys: ["r"],
    panes: ["devices"],
    group: "devices",
    title: "Turn the order of the devices round",
    run(model) {
      const { column, reverse } = model.sorting;
      return just({ ...model, sorting: { column, reverse: !reverse } });
    },
  },
  {
    id: "column",
    keys: [],
    group: "devices",
    title: "Show or leave out a column of the devices",
    arguments: [argument("name", "title of a column", { choices: DEVICE_COLUMNS })],
    run(model, c, { name = "" }) {
      if (!DEVICE_COLUMNS.includes(name)) {
        return refuse(
          model,
          c,
          `there is no column ${name}, there are ${DEVICE_COLUMNS.join(", ")}`,
        );
      }
      const shown = model.hidden.includes(name);
      const hidden = shown ? model.hidden.filter((n) => n !== name) : [...model.hidden, name];
      return just({ ...model, hidden });
    },
  },
  {
    id: "translate",
    keys: ["t"],
    group: "devices",
    title: "Walk an address of the chosen device through the tables",
    arguments: [argument("iova", "address, such as 0x8870", { required: false })],
    disabled: (c, model) =>
      chosenDevice(model, c.snapshot) === undefined ? "there is no device" : null,
    run(model, c, { iova }) {
      const looking: Model = {
        ...model,
        overlay: { kind: "device", top: 0, tab: "translation" },
      };
      if (iova === undefined) {
        return just({ ...looking, prompt: { purpose: "iova", input: inputOf("0x"), recall: 0 } });
      }
      const address = Number(iova);
      if (!Number.isSafeInteger(address) || address < 0) {
        return refuse(model, c, `translate: found ${JSON.stringify(iova)}, expected 0x8870`);
      }
      return just({ ...looking, iova: address });
    },
  },
  {
    id: "device",
    aliases: ["find"],
    keys: [],
    group: "devices",
    title: "Look into a device: overview, translation, config, rings or faults",
    arguments: [
      argument("device", "id of a device", { suggests: "devices" }),
      argument("page", "what of it", { required: false, choices: DEVICE_TABS }),
    ],
    run(model, c, { device = "", page = "overview" }) {
      const tab = DEVICE_TABS.find((t) => t === page);
      if (tab === undefined) return refuse(model, c, `device: expected ${DEVICE_TABS.join(", ")}`);
      const known = deviceRows(model, c.snapshot).some((d) => d.id === device);
      if (!known) return refuse(model, c, `there is no device ${device} among the rows shown`);
      const chosen = { ...model.chosen, devices: device };
      const overlay = { kind: "device", top: 0, tab } as const;
      return just(focusOn({ ...model, chosen, overlay }, "devices"));
    },
  },
  {
    id: "show",
    keys: [],
    group: "panes",
    title: "All there is in a pane, as text",
    arguments: [argument("pane", "a pane", { choices: PANE_IDS })],
    run(model, c, { pane = "" }) {
      const id = PANE_IDS.find((p) => p === pane);
      if (id === undefined) return refuse(model, c, `show: expected one of ${PANE_IDS.join(", ")}`);
      const lines = paneLines(id, c.snapshot, model);
      const overlay = showText(paneOf(id).title, lines.length === 0 ? ["nothing"] : lines, 400);
      return just({ ...model, overlay });
    },
  },
  {
    id: "follow",
    keys: ["F"],
    group: "panes",
    title: "Let the Events pane follow the newest line, or not",
    run: (model) => just({ ...model, follow: !model.follow }),
  },
  {
    id: "source",
    keys: ["d"],
    panes: ["events"],
    group: "panes",
    title: "Show the lines of all, of the kernel (dmesg), of programs, or of yourself",
    onBar: "whose",
    arguments: [argument("whose", "whose lines", { required: false, choices: EVENT_SOURCES })],
    run(model, c, { whose }) {
      const at = EVENT_SOURCES.indexOf(model.source);
      const source = whose === undefined
        ? EVENT_SOURCES[(at + 1) % EVENT_SOURCES.length]!
        : EVENT_SOURCES.find((s) => s === whose);
      if (source === undefined) {
        return refuse(model, c, `source: expected one of ${EVENT_SOURCES.join(", ")}`);
      }
      return just({ ...model, source });
    },
  },
  {
    id: "close",
    keys: ["esc"],
    group: "panes",
    title: "Close what is open, leave the zoom; never quits",
    run(model) {
      if (model.travel !== undefined) return doing(model, { type: "stop-travel" });
      return just({ ...model, zoomed: false });
    },
  },
];
