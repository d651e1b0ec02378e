import { formatTime } from "../base/units.ts";
import {
  ask,
  focusOn,
  moveBy,
  moveTo,
  nextPane,
  quit,
  scrollSideways,
  setSpeed,
} from "./actions.ts";
import {
  type Context,
  doing,
  just,
  type Model,
  PANE_IDS,
  say,
  SPEEDS,
  type Step,
} from "./model.ts";
import { paneOf } from "./panes/mod.ts";
import { kernelState, speedText } from "./words.ts";

/** Something a key does. Keys, footer and help are all made from this one table. */
export interface Command {
  readonly id: string;
  /** Names as in tui/events.ts; the first one is shown. */
  readonly keys: readonly string[];
  /** A line of help. */
  readonly title: string;
  /** A word or two for the footer; commands without are not on it. */
  readonly onBar?: string;
  /** Cannot be taken back: asks first. */
  readonly destructive?: boolean;
  /** Works while a dialog is open, too. */
  readonly always?: boolean;
  /** Why it cannot be done now; null when it can. */
  readonly disabled?: (c: Context, model: Model) => string | null;
  readonly run: (model: Model, c: Context) => Step;
}

/** Pages overlap by a line. */
const page = (model: Model, c: Context) => Math.max(1, (c.metrics[model.focus]?.visible ?? 1) - 1);

export const COMMANDS: readonly Command[] = [
  {
    id: "update.start",
    keys: ["k"],
    title: "Live update: kexec into the next kernel under the running guests",
    onBar: "kexec",
    destructive: true,
    disabled: whyNoKexec,
    run: (model) => just(ask(model, "kexec")),
  },
  {
    id: "update.abort",
    keys: ["a"],
    title: "Abort the live update, as long as the old kernel runs",
    onBar: "abort",
    disabled: whyNoAbort,
    run: (model, c) =>
      doing(say(model, c.now, "asked to call the live update off"), { type: "abort-update" }),
  },
  {
    id: "time.pause",
    keys: ["space"],
    title: "Pause or run virtual time",
    onBar: "pause/run",
    run: (model) => just({ ...model, paused: !model.paused, pace: 0 }),
  },
  {
    id: "time.step",
    keys: ["."],
    title: "One frame of virtual time at the chosen speed, while paused",
    onBar: "step",
    disabled: (_c, model) => model.paused ? null : "time runs: pause it first (space)",
    run: (model) => doing(model, { type: "step" }),
  },
  {
    id: "time.faster",
    keys: ["+", "="],
    title: "Faster: double the speed of virtual time, up to 64x",
    onBar: "faster",
    disabled: (_c, model) =>
      model.speed < SPEEDS.length - 1 ? null : `${speedText(SPEEDS.at(-1)!)} is the highest speed`,
    run: (model, c) => just(setSpeed(model, c, model.speed + 1)),
  },
  {
    id: "time.slower",
    keys: ["-", "_"],
    title: "Slower: halve the speed of virtual time, down to 1/16x",
    onBar: "slower",
    disabled: (_c, model) => model.speed > 0 ? null : `${speedText(SPEEDS[0])} is the lowest speed`,
    run: (model, c) => just(setSpeed(model, c, model.speed - 1)),
  },
  {
    id: "device.details",
    keys: ["enter"],
    title: "Details of the selected device",
    onBar: "details",
    disabled: (c, model) =>
      model.focus !== "devices"
        ? "only in the Devices pane (2)"
        : c.snapshot.devices.length === 0
        ? "there is no device"
        : null,
    run: (model) => just({ ...model, overlay: { kind: "device", top: 0 } }),
  },
  {
    id: "pane.zoom",
    keys: ["z"],
    title: "Zoom the focused pane, or back",
    onBar: "zoom",
    run: (model) => just({ ...model, zoomed: !model.zoomed }),
  },
  {
    id: "pane.next",
    keys: ["tab"],
    title: "Focus the next pane",
    onBar: "next pane",
    run: (model) => just(nextPane(model, 1)),
  },
  {
    id: "pane.previous",
    keys: ["shift-tab"],
    title: "Focus the previous pane",
    run: (model) => just(nextPane(model, -1)),
  },
  ...PANE_IDS.map((id, i): Command => ({
    id: `pane.${id}`,
    keys: [String(i + 1)],
    title: `Focus ${paneOf(id).title}`,
    run: (model) => just(focusOn(model, id)),
  })),
  move("up", ["up"], "Up: select or scroll", () => -1),
  move("down", ["down"], "Down: select or scroll", () => 1),
  move("page-up", ["pageup"], "A page up", (model, c) => -page(model, c)),
  move("page-down", ["pagedown"], "A page down", (model, c) => page(model, c)),
  {
    id: "move.top",
    keys: ["g", "home"],
    title: "To the top",
    run: (model, c) => just(moveTo(model, c, 0)),
  },
  {
    id: "move.bottom",
    keys: ["G", "end"],
    title: "To the end; the Events pane follows again",
    run: (model, c) => just(moveTo(model, c, Infinity)),
  },
  {
    id: "move.left",
    keys: ["left"],
    title: "Scroll long lines back",
    run: (model) => just(scrollSideways(model, -8)),
  },
  {
    id: "move.right",
    keys: ["right"],
    title: "Scroll long lines to the right",
    run: (model) => just(scrollSideways(model, 8)),
  },
  {
    id: "help",
    keys: ["?", "f1"],
    title: "This list",
    onBar: "help",
    run: (model) => just({ ...model, overlay: { kind: "help", top: 0 } }),
  },
  {
    id: "close",
    keys: ["esc"],
    title: "Close what is open, leave the zoom; never quits",
    run: (model) => just({ ...model, zoomed: false }),
  },
  {
    id: "quit",
    keys: ["q"],
    title: "Quit; asks while a live update runs",
    onBar: "quit",
    run: (model, c) => quit(model, c),
  },
  {
    id: "quit.now",
    keys: ["ctrl-c"],
    title: "Quit at once",
    always: true,
    run: (model) => doing(model, { type: "exit", code: 0 }),
  },
  {
    id: "redraw",
    keys: ["ctrl-l"],
    title: "Draw the whole screen again",
    always: true,
    run: (model) => doing(model, { type: "repaint" }),
  },
  {
    id: "suspend",
    keys: ["ctrl-z"],
    title: "Suspend to the shell; fg comes back",
    always: true,
    run: (model) => doing(model, { type: "suspend" }),
  },
];

function move(
  id: string,
  keys: string[],
  title: string,
  by: (model: Model, c: Context) => number,
): Command {
  return { id: `move.${id}`, keys, title, run: (m, c) => just(moveBy(m, c, by(m, c))) };
}

function whyNoKexec({ snapshot: s }: Context): string | null {
  const { update } = s;
  if (update?.outcome === "running") return `a live update runs (phase ${update.phase})`;
  if (kernelState(s) !== "up") return `boot ${s.boot} is not up yet`;
  const late = s.vms.find((vm) => vm.status === "starting" || vm.status === "busy");
  return late === undefined ? null : `${late.id} is still starting`;
}

function whyNoAbort({ snapshot: s }: Context): string | null {
  const { update } = s;
  if (update?.outcome !== "running") return "no live update runs";
  if (update.abortRequested) return "it is being called off";
  if (update.phase === "prepare" || update.phase === "pause") return null;
  const since = formatTime(s.time - (update.began.kexec ?? s.time));
  return `too late: the old kernel went ${since} ago (phase ${update.phase})`;
}

/** Key names as this table has them: a space would be hard to read. */
export function commandKey(key: string): string {
  return key === " " ? "space" : key;
}

export function commandFor(key: string): Command | undefined {
  return COMMANDS.find((command) => command.keys.includes(commandKey(key)));
}
