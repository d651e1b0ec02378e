import { imageComplaint } from "../../operations/image_name.ts";
import { inputOf } from "../../tui/mod.ts";
import { ask, quit } from "../actions.ts";
import { copyOf } from "../panes/copy.ts";
import { doing, just, type Model, say, type Settings } from "../model.ts";
import { kernelPicker } from "../overlays/kernel.ts";
import { argument, type Command, refuse } from "./types.ts";

const LOST = "Lost: what was done since it was saved last.";
const file = (what: string) => argument("file", what);

/** Something that can be set, and to what. */
const SETTINGS: Readonly<
  Record<string, { values: readonly string[]; set(s: Settings, value: string): Settings }>
> = {
  color: {
    values: ["auto", "none", "16", "256", "truecolor"],
    set: (s, depth) => ({ ...s, look: { ...s.look, depth: depth as "auto" } }),
  },
  background: {
    values: ["auto", "dark", "light", "unknown"],
    set: (s, background) => ({ ...s, look: { ...s.look, background: background as "auto" } }),
  },
  palette: {
    values: ["standard", "colorblind"],
    set: (s, palette) => ({ ...s, look: { ...s.look, palette: palette as "standard" } }),
  },
  ascii: {
    values: ["on", "off"],
    set: (s, value) => ({ ...s, look: { ...s.look, ascii: value === "on" } }),
  },
  mouse: { values: ["on", "off"], set: (s, value) => ({ ...s, mouse: value === "on" }) },
  "slow-motion": {
    values: ["on", "off"],
    set: (s, value) => ({ ...s, slowMotion: value === "on" }),
  },
};

/** What a setting can be set to; nothing for what is none. */
export function settingValues(what: string): readonly string[] {
  return SETTINGS[what]?.values ?? [];
}

/** The next of the values something can have. */
function next(model: Model, name: "background" | "palette" | "color"): string {
  const { depth = "auto", background = "auto", palette = "standard" } = model.settings.look;
  const now = { color: depth, background, palette }[name];
  const { values } = SETTINGS[name]!;
  return values[(values.indexOf(now) + 1) % values.length]!;
}

function change(model: Model, now: number, name: string, value: string) {
  const settings = SETTINGS[name]!.set(model.settings, value);
  const said = say({ ...model, settings }, now, `${name} ${value}`);
  return doing(said, { type: "settings", settings });
}

export const SESSION_COMMANDS: readonly Command[] = [
  {
    id: "kernel",
    aliases: ["image"],
    keys: ["K"],
    group: "update",
    title: "Choose the next kernel: its image, and defects of the posted series",
    onBar: "kernel",
    arguments: [
      argument("image", "image to boot next, such as rfc-v1+D55", {
        required: false,
        suggests: "images",
      }),
    ],
    disabled: (_c, model) => model.readOnly ? "this is a read-only session" : null,
    run(model, c, { image }) {
      if (image === undefined) return just(kernelPicker(model));
      const wrong = imageComplaint(image);
      if (wrong !== undefined) return refuse(model, c, wrong);
      return just(say({ ...model, image }, c.now, `the next kexec boots ${image}`));
    },
  },
  {
    id: "command",
    keys: [":"],
    group: "session",
    title: "Type a command; Tab completes, up and down bring earlier ones",
    onBar: "command",
    run: (model) =>
      just({ ...model, prompt: { purpose: "command", input: inputOf(""), recall: 0 } }),
  },
  {
    id: "help",
    keys: ["?", "f1"],
    group: "session",
    title: "All commands and keys, with why some cannot be done now",
    onBar: "help",
    run: (model) => just({ ...model, overlay: { kind: "help", selected: 0, input: inputOf("") } }),
  },
  {
    id: "save",
    aliases: ["w", "write"],
    keys: ["ctrl-s"],
    group: "session",
    title: "Save the session so far as a scenario that comes to the same hash",
    arguments: [file("file to write, ends in .yaml")],
    run: (model, _c, { file: name }) =>
      name === undefined
        ? just({ ...model, prompt: { purpose: "command", input: inputOf("save "), recall: 0 } })
        : doing(model, { type: "save", file: name }),
  },
  {
    id: "open",
    aliases: ["o", "e"],
    keys: [],
    group: "session",
    title: "Open a built-in scenario, or a file, in place of this session",
    destructive: true,
    arguments: [argument("name", "name of a built-in scenario, or a file that ends in .yaml")],
    run: (model, _c, { name = "" }) =>
      just(ask(model, {
        title: "Open",
        text: `Open ${name} in place of this session?\n\n${LOST}\n\ny open, n stay`,
        buttons: [{ label: "Stay", cancel: true }, { label: "Open", danger: true }],
        yes: { type: "open", name },
        command: "open",
      })),
  },
  {
    id: "restart",
    keys: [],
    group: "session",
    title: "Begin this session again from power-on, on another kernel if one is named",
    destructive: true,
    arguments: [
      argument("image", "image of the first boot", { required: false, suggests: "images" }),
    ],
    run(model, c, { image }) {
      const wrong = image === undefined ? undefined : imageComplaint(image);
      if (wrong !== undefined) return refuse(model, c, wrong);
      return just(ask(model, {
        title: "Restart",
        text: `Begin again from power-on${image === undefined ? "" : ` with ${image}`}?\n\n` +
          `${LOST}\n\ny restart, n stay`,
        buttons: [{ label: "Stay", cancel: true }, { label: "Restart", danger: true }],
        yes: { type: "restart", image },
        command: "restart",
      }));
    },
  },
  {
    id: "screenshot",
    keys: [],
    group: "session",
    title: "Write what is on the screen to a file: .svg or .txt",
    arguments: [file("file to write, ends in .svg or .txt")],
    run: (model, _c, { file: name = "" }) => doing(model, { type: "screenshot", file: name }),
  },
  {
    id: "copy",
    keys: ["y", "c"],
    group: "session",
    title: "Copy what is chosen to the terminal's clipboard (OSC 52)",
    disabled: (c, model) => copyOf(model, c) === "" ? "there is nothing to copy" : null,
    run(model, c) {
      const text = copyOf(model, c);
      const lines = text.split("\n").length;
      const said = say(model, c.now, lines > 1 ? `copied ${lines} lines` : `copied ${text}`);
      return doing(said, { type: "copy", text });
    },
  },
  {
    id: "set",
    keys: [],
    group: "session",
    title: "Set colours, background, palette, ascii, mouse, or slow motion in a live update",
    arguments: [
      argument("what", "what to set", { choices: Object.keys(SETTINGS) }),
      argument("to", "the value", {
        choices: [...new Set(Object.values(SETTINGS).flatMap((s) => s.values))],
      }),
    ],
    run(model, c, { what = "", to = "" }) {
      const setting = SETTINGS[what];
      if (setting === undefined) {
        return refuse(model, c, `set: expected one of ${Object.keys(SETTINGS).join(", ")}`);
      }
      return setting.values.includes(to)
        ? change(model, c.now, what, to)
        : refuse(model, c, `set ${what}: expected one of ${setting.values.join(", ")}`);
    },
  },
  {
    id: "mouse",
    keys: ["M"],
    group: "session",
    title: "Mouse on or off; off lets the terminal select text",
    run: (model, c) => change(model, c.now, "mouse", model.settings.mouse ? "off" : "on"),
  },
  {
    id: "background",
    keys: ["L"],
    group: "session",
    title: "Colours for a dark or a light background",
    run: (model, c) => change(model, c.now, "background", next(model, "background")),
  },
  {
    id: "palette",
    keys: ["B"],
    group: "session",
    title: "Colours that the colour-blind can tell apart, or the usual ones",
    run: (model, c) => change(model, c.now, "palette", next(model, "palette")),
  },
  {
    id: "color",
    keys: ["C"],
    group: "session",
    title: "More or fewer colours, or none",
    run: (model, c) => change(model, c.now, "color", next(model, "color")),
  },
  {
    id: "bind",
    keys: [],
    group: "session",
    title: "Give a key another meaning: bind j move.down; bind j takes it away",
    arguments: [
      argument("key", "a key as help shows it"),
      argument("command", "what it is to do, as a command line", { required: false }),
    ],
    run(model, _c, { key = "", command = "" }) {
      const bindings = new Map(model.bindings).set(key.toLowerCase() === key ? key : key, command);
      return just({ ...model, bindings });
    },
  },
  {
    id: "quit",
    aliases: ["q"],
    keys: ["q"],
    group: "session",
    title: "Quit; asks while a live update runs",
    onBar: "quit",
    run: (model, c) => quit(model, c),
  },
  {
    id: "quit.now",
    aliases: ["q!"],
    keys: ["ctrl-c"],
    group: "session",
    title: "Quit at once",
    always: true,
    run: (model) => doing(model, { type: "exit", code: 0 }),
  },
  {
    id: "redraw",
    keys: ["ctrl-l"],
    group: "session",
    title: "Draw the whole screen again",
    always: true,
    run: (model) => doing(model, { type: "repaint" }),
  },
  {
    id: "suspend",
    keys: ["ctrl-z"],
    group: "session",
    title: "Suspend to the shell; fg comes back",
    always: true,
    run: (model) => doing(model, { type: "suspend" }),
  },
];
