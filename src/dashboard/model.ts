import type { Snapshot } from "../platform/snapshot.ts";
import type { StyleLike, TerminalSize, View } from "../tui/mod.ts";

/** The panes in the order of their numbers: the first has key 1. */
export const PANE_IDS = [
  "update",
  "devices",
  "iommufd",
  "sysfs",
  "guestmemfs",
  "kho",
  "events",
  "invariants",
] as const;
export type PaneId = (typeof PANE_IDS)[number];

/** Speeds of virtual time, as multiples of wall time. */
export const SPEEDS = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32, 64] as const;
const NORMAL_SPEED = SPEEDS.indexOf(1);

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

/** A question that is asked before something cannot be taken back. */
export type QuestionId = "kexec" | "quit";

/** What lies over the panes and takes the keys. */
export type Overlay =
  | { readonly kind: "question"; readonly question: QuestionId; readonly selected: number }
  | { readonly kind: "device"; readonly top: number }
  | { readonly kind: "help"; readonly top: number };

/** Everything the screen shows that is not the platform's. */
export interface Model {
  readonly title: string;
  /** Image the next kexec boots. */
  readonly image: string;
  readonly focus: PaneId;
  /** The pane shown where several share one place. */
  readonly tab: PaneId;
  readonly zoomed: boolean;
  /** Index of the selected device. */
  readonly selected: number;
  readonly scroll: Readonly<Record<PaneId, Scroll>>;
  /** The events pane shows the newest line. */
  readonly follow: boolean;
  /** Index into {@link SPEEDS}. */
  readonly speed: number;
  /** Speed reached of late, as a multiple of wall time; 0 when not known. */
  readonly pace: number;
  readonly paused: boolean;
  readonly overlay: Overlay | undefined;
  readonly message: Message | undefined;
  /** What has been announced already. */
  readonly announced: { readonly violations: number; readonly outcome: string };
}

/** How much of a pane was on the screen when it was last drawn. */
export interface Shown extends View {
  readonly total: number;
}

/** What the view tells about the frame it drew, which scrolling goes by. */
export type Metrics = Readonly<Partial<Record<PaneId | "overlay", Shown>>>;

/** What a decision may look at beside the model. */
export interface Context {
  readonly snapshot: Snapshot;
  readonly metrics: Metrics;
  readonly size: TerminalSize;
  /** Wall time in milliseconds. */
  readonly now: number;
}

/** What is to be done outside of the model, as a value. */
export type Effect =
  | { readonly type: "start-update"; readonly image: string }
  | { readonly type: "abort-update" }
  | { readonly type: "step" }
  | { readonly type: "repaint" }
  | { readonly type: "suspend" }
  | { readonly type: "exit"; readonly code: number };

export interface Step {
  readonly model: Model;
  readonly effects: readonly Effect[];
}

export function initialModel(title: string, image: string): Model {
  const nowhere: Scroll = { top: 0, left: 0 };
  return {
    title,
    image,
    focus: "devices",
    tab: "iommufd",
    zoomed: false,
    selected: 0,
    scroll: Object.fromEntries(PANE_IDS.map((id) => [id, nowhere])) as Record<PaneId, Scroll>,
    follow: true,
    speed: NORMAL_SPEED,
    pace: 0,
    paused: false,
    overlay: undefined,
    message: undefined,
    announced: { violations: 0, outcome: "" },
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
