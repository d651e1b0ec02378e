import type { Suggestion } from "../operations/types.ts";
import type { Moment } from "../operations/timeline.ts";
import type { Looks } from "../platform/look/looks.ts";
import type { Snapshot } from "../platform/snapshot.ts";
import type { LookOptions, StyleLike, TerminalSize, TextInput, View } from "../tui/mod.ts";
import type { Button } from "../tui/mod.ts";

/** The panes in the order of their numbers: the first has key 1. */
export const PANE_IDS = [
  "update",
  "devices",
  "iommufd",
  "files",
  "memory",
  "events",
  "invariants",
] as const;
export type PaneId = (typeof PANE_IDS)[number];

/** Speeds of virtual time, as multiples of wall time. */
export const SPEEDS = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32, 64] as const;
const NORMAL_SPEED = SPEEDS.indexOf(1);
/** Most while one kernel gives way to the next: what takes a third of a second is to be seen. */
export const SLOW_MOTION = SPEEDS.indexOf(1 / 8);

/** How long a message stays, in milliseconds of wall time. */
export const MESSAGE_MS = 5000;

export interface Scroll {
  /** First row shown, and columns scrolled to the right. */
  readonly top: number;
  readonly left: number;
}

export interface Message {
  readonly text: string;
  readonly style: StyleLike;
  /** Wall time it goes at. */
  readonly until: number;
}

/** A place on the timeline that somebody wants to find again. */
export interface Mark {
  readonly name: string;
  readonly moment: Moment;
}

/** Something that was done, or that will be done again. */
export interface Deed {
  /** Virtual time it began at. */
  readonly at: number;
  /** As it was typed. */
  readonly text: string;
  /** "0" or an errno's name; undefined while it has not answered. */
  readonly answer?: string;
  /** Just before it began, where that is known. */
  readonly before?: Moment;
}

/** What lies behind and, after going back, ahead. */
export interface History {
  readonly moment: Moment;
  readonly done: readonly Deed[];
  readonly ahead: readonly Deed[];
}

/** On the way to another moment, which takes a while: the run is made again from its start. */
export interface Travel {
  /** What it is to, in words. */
  readonly to: string;
  /** 0..1 */
  readonly ratio: number;
}

/** What is asked of a person before something is done. */
export interface Question {
  readonly title: string;
  readonly text: string;
  /** The first one is the way out. */
  readonly buttons: readonly [Button, Button];
  readonly yes: Effect;
  /** The command that asked: the moment for it may pass while the question stands. */
  readonly command: string;
}

/** What can stand at the place of the word that is being typed. */
export interface Completion {
  /** Where in the line that word begins. */
  readonly from: number;
  readonly options: readonly string[];
  /** The one that has been put in; -1: none yet. */
  readonly at: number;
}

/** A line being typed: a command, a filter for a pane, or an address to be translated. */
export interface Prompt {
  readonly purpose: "command" | "filter" | "iova";
  readonly input: TextInput;
  readonly completion?: Completion;
  /** How far back in the history of lines; 0: the line itself. */
  readonly recall: number;
  /** What was wrong with the line when it was last entered. */
  readonly wrong?: string;
}

/** What a look at a device shows. */
export const DEVICE_TABS = ["overview", "translation", "config", "rings", "faults"] as const;
export type DeviceTab = (typeof DEVICE_TABS)[number];

/** What lies over the panes and takes the keys. */
export type Overlay =
  | { readonly kind: "question"; readonly question: Question; readonly selected: number }
  | { readonly kind: "device"; readonly top: number; readonly tab: DeviceTab }
  | { readonly kind: "help"; readonly selected: number; readonly input: TextInput }
  | {
    readonly kind: "text";
    readonly title: string;
    readonly lines: readonly string[];
    readonly top: number;
    readonly left: number;
  }
  | {
    readonly kind: "kernel";
    readonly selected: number;
    readonly image: string;
    readonly input: TextInput;
  };

/** Whose lines the events pane shows. */
export const EVENT_SOURCES = ["all", "kernel", "program", "operator"] as const;
export type EventSource = (typeof EVENT_SOURCES)[number];

/** Which rows of the devices come first. */
export interface Sorting {
  /** Title of a column; "" leaves the machine's order. */
  readonly column: string;
  readonly reverse: boolean;
}

/** What the terminal is to show and tell. */
export interface Settings {
  readonly look: LookOptions;
  readonly mouse: boolean;
  /** Time is slowed down while one kernel gives way to the next. */
  readonly slowMotion: boolean;
}

/** Everything the screen shows that is not the platform's. */
export interface Model {
  readonly title: string;
  /** Image the next kexec boots. */
  readonly image: string;
  readonly focus: PaneId;
  /** The pane shown where several share one place. */
  readonly tab: PaneId;
  readonly zoomed: boolean;
  /** Key of the chosen row, by pane; "" is the first. */
  readonly chosen: Readonly<Record<PaneId, string>>;
  readonly scroll: Readonly<Record<PaneId, Scroll>>;
  readonly filters: Readonly<Record<PaneId, string>>;
  readonly sorting: Sorting;
  /** Titles of columns that are not to be shown. */
  readonly hidden: readonly string[];
  /** Branches of trees that are not as they are at first, by key. */
  readonly toggled: ReadonlySet<string>;
  /** The address a device's translation is shown for; undefined: one that it uses. */
  readonly iova: number | undefined;
  /** The events pane shows the newest line. */
  readonly follow: boolean;
  /** Whose lines the events pane shows. */
  readonly source: EventSource;
  /** Index into {@link SPEEDS}. */
  readonly speed: number;
  /** The speed to go back to after the slow motion; undefined: time is as a person wanted it. */
  readonly fullSpeed: number | undefined;
  /** One kernel gives way to the next. */
  readonly changing: boolean;
  /** Speed reached of late, as a multiple of wall time; 0 when not known. */
  readonly pace: number;
  readonly paused: boolean;
  readonly travel: Travel | undefined;
  readonly history: History;
  readonly marks: readonly Mark[];
  readonly overlay: Overlay | undefined;
  readonly prompt: Prompt | undefined;
  /** Lines that were entered, the latest last. */
  readonly lines: readonly string[];
  /** Keys that were given another meaning, as command lines; "" for none. */
  readonly bindings: ReadonlyMap<string, string>;
  readonly readOnly: boolean;
  readonly settings: Settings;
  readonly message: Message | undefined;
  /** What has been announced already. */
  readonly announced: { readonly violations: number; readonly outcome: string };
}

/** How much of a pane was on the screen when it was last drawn. */
export interface Shown extends View {
  readonly total: number;
}

/** A pane as it was last drawn: where its rows are, and where on the screen. */
export interface Drawn extends Shown {
  /** Area of the pane with its border, in cells of the screen. */
  readonly area: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  /** Row of the screen in which the row `offset` is. */
  readonly firstRow: number;
}

/** What the view tells about the frame it drew, which scrolling and the mouse go by. */
export interface Metrics {
  readonly panes: Readonly<Partial<Record<PaneId, Drawn>>>;
  readonly overlay?: Shown;
}

/** What is seen of the platform in one moment. */
export type Scene = Snapshot & Looks;

/** What a decision may look at beside the model. */
export interface Context {
  readonly snapshot: Scene;
  readonly metrics: Metrics;
  readonly size: TerminalSize;
  /** Wall time in milliseconds. */
  readonly now: number;
  /** Words that begin as one does and can stand where a thing of this kind is wanted. */
  complete(kind: Suggestion, word: string): readonly string[];
  /** Scenarios that can be opened by name. */
  readonly scenarios: readonly string[];
}

/** What is to be done outside of the model, as a value. */
export type Effect =
  | {
    readonly type: "act";
    readonly operation: string;
    readonly given: Readonly<Record<string, unknown>>;
  }
  | { readonly type: "step"; readonly by: "event" | "phase" }
  | {
    readonly type: "travel";
    readonly to: Moment | { readonly time: number };
    readonly text: string;
  }
  | { readonly type: "stop-travel" }
  | { readonly type: "save"; readonly file: string }
  | { readonly type: "open"; readonly name: string }
  /** `image`: the kernel of the first boot; undefined: the same as before. */
  | { readonly type: "restart"; readonly image: string | undefined }
  | { readonly type: "screenshot"; readonly file: string }
  | { readonly type: "copy"; readonly text: string }
  | { readonly type: "settings"; readonly settings: Settings }
  | { readonly type: "repaint" }
  | { readonly type: "suspend" }
  | { readonly type: "exit"; readonly code: number };

export interface Step {
  readonly model: Model;
  readonly effects: readonly Effect[];
}

/** One value for every pane. */
export function everyPane<T>(value: T): Record<PaneId, T> {
  return Object.fromEntries(PANE_IDS.map((id) => [id, value])) as Record<PaneId, T>;
}

export const START: Moment = { time: 0, events: 0, begun: 0 };

export function initialModel(title: string, image: string, more: Partial<Model> = {}): Model {
  return {
    title,
    image,
    focus: "devices",
    tab: "iommufd",
    zoomed: false,
    chosen: everyPane(""),
    scroll: everyPane<Scroll>({ top: 0, left: 0 }),
    filters: everyPane(""),
    sorting: { column: "", reverse: false },
    hidden: [],
    toggled: new Set(),
    iova: undefined,
    follow: true,
    source: "all",
    speed: NORMAL_SPEED,
    fullSpeed: undefined,
    changing: false,
    pace: 0,
    paused: false,
    travel: undefined,
    history: { moment: START, done: [], ahead: [] },
    marks: [],
    overlay: undefined,
    prompt: undefined,
    lines: [],
    bindings: new Map(),
    readOnly: false,
    settings: { look: {}, mouse: true, slowMotion: true },
    message: undefined,
    announced: { violations: 0, outcome: "" },
    ...more,
  };
}

/** A step without effects. */
export function just(model: Model): Step {
  return { model, effects: [] };
}

/** A step with one effect. */
export function doing(model: Model, effect: Effect): Step {
  return { model, effects: [effect] };
}

export function say(model: Model, now: number, text: string, style: StyleLike = "text"): Model {
  return { ...model, message: { text, style, until: now + MESSAGE_MS } };
}
