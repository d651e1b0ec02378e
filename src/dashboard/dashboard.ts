/**
 * The dashboard: a platform on a terminal. Wall time drives virtual time, keys drive commands, and
 * every frame is a pure view of a model and a scene.
 */

import { check } from "../operations/arguments.ts";
import { complete } from "../operations/names.ts";
import { OPERATIONS } from "../operations/table.ts";
import { answer, argumentText, type StepResult, type Timeline } from "../operations/timeline.ts";
import {
  type App,
  type Grid,
  type LookOptions,
  pictureSvg,
  pictureText,
  type Region,
  run,
  type TerminalIo,
  type TerminalSize,
  type Ui,
  type UiEvent,
} from "../tui/mod.ts";
import {
  type Context,
  type Effect,
  initialModel,
  type Metrics,
  type Model,
  say,
  SPEEDS,
} from "./model.ts";
import { historyOf } from "./history.ts";
import { Pacer } from "./pacer.ts";
import { doLine } from "./prompt.ts";
import { Sight } from "./sight.ts";
import { saveSession } from "./save.ts";
import { NO_WORLD, type Session, type World } from "./session.ts";
import { type Journey, marksBehind, toMoment, toPhase, toTime, travelOf } from "./travel.ts";
import { type Happening, update } from "./update.ts";
import { view } from "./view.ts";

export interface DashboardOptions {
  readonly look?: LookOptions;
  /** Default true. */
  readonly mouse?: boolean;
  /** Time slows down while one kernel gives way to the next; default true. */
  readonly slowMotion?: boolean;
  /** Most frames in a second, default 30. */
  readonly fps?: number;
  readonly io?: TerminalIo;
  /** Real time in milliseconds, by which emulation gives way to the screen. */
  readonly clock?: () => number;
  readonly world?: World;
  /** Nothing can be done to the platform. */
  readonly readOnly?: boolean;
  /** Command lines to begin with. */
  readonly begin?: readonly string[];
}

const DEFAULT_FPS = 30;
/** Most real time that a journey takes of one frame. */
const BUDGET_MS = 25;

/** Runs the dashboard until its user quits; returns the exit status, the terminal restored. */
export function runDashboard(session: Session, options: DashboardOptions = {}): Promise<number> {
  const { look = {}, mouse = true, io, fps = DEFAULT_FPS } = options;
  return run(new Dashboard(session, options), {
    fps,
    look,
    mouse,
    keepCtrlZ: true,
    ...(io === undefined ? {} : { io }),
  });
}

/** An app for `run` of tui/loop.ts. */
export class Dashboard implements App {
  readonly #options: DashboardOptions;
  readonly #world: World;
  readonly #clock: () => number;
  readonly #frameMs: number;
  readonly #pacer: Pacer;
  readonly #sight = new Sight();
  #session: Session;
  #timeline: Timeline;
  #journey: Journey | undefined;
  #model: Model;
  #metrics: Metrics = { panes: {} };
  #grid: Grid | undefined;
  #now = 0;
  #events: UiEvent[] = [];
  /** Actions that were begun by hand and have not answered yet. */
  #open: StepResult[] = [];

  constructor(session: Session, options: DashboardOptions = {}) {
    const { look = {}, mouse = true, slowMotion = true, fps = DEFAULT_FPS } = options;
    const { clock = () => performance.now() } = options;
    this.#options = options;
    this.#world = options.world ?? NO_WORLD;
    this.#clock = clock;
    this.#frameMs = 1000 / fps;
    this.#pacer = new Pacer(clock);
    this.#session = session;
    this.#timeline = session.timeline;
    this.#model = initialModel(session.title, session.image, {
      settings: { look, mouse, slowMotion },
      readOnly: options.readOnly ?? false,
    });
    this.#begin(session);
  }

  /** The model as it is now, for who watches. */
  get model(): Model {
    return this.#model;
  }
  get timeline(): Timeline {
    return this.#timeline;
  }

  #begin(session: Session): void {
    this.#session = session;
    this.#timeline = session.timeline;
    this.#open = [];
    this.#journey = undefined;
    this.#sight.stale();
    if (session.until === undefined) return;
    this.#model = { ...this.#model, paused: true };
    this.#journey = toTime(session.timeline, session.until, "where it was saved");
  }

  /** The lines to begin with are done as if they had been typed. */
  start(ui: Ui): void {
    for (const line of this.#options.begin ?? []) {
      if (line.trim() === "" || line.trim().startsWith("#")) continue;
      const { model, effects } = doLine(line.trim(), this.#model, this.#context(ui.size));
      this.#model = model;
      for (const effect of effects) this.#do(effect, ui);
    }
  }

  /** Events wait for the tick that follows them at once: that one knows the time. */
  onEvent(event: UiEvent): void {
    this.#events.push(event);
  }

  tick(now: number, ui: Ui): number | undefined {
    this.#now = now;
    const events = this.#events.splice(0);
    for (const event of events) {
      // Several keys may come at once, and each may do something.
      this.#model = { ...this.#model, history: historyOf(this.#timeline) };
      this.#happen(event, ui);
    }
    // What was begun may change how fast time goes on.
    if (events.length > 0) this.#frame(ui);
    if (this.#journey !== undefined) this.#travel(this.#journey, ui);
    else if (this.#model.paused) this.#pacer.rest();
    else {
      this.#pacer.frame(this.#timeline, now, SPEEDS[this.#model.speed] ?? 1);
      this.#sight.stale();
      ui.invalidate();
    }
    this.#hear(ui);
    this.#frame(ui);
    if (this.#journey !== undefined) return now;
    if (!this.#model.paused) return now + this.#frameMs;
    // Nothing moves but the message, which goes at its time.
    return this.#model.message?.until;
  }

  #frame(ui: Ui): void {
    const { message } = this.#model;
    this.#happen({
      type: "frame",
      pace: this.#pacer.pace,
      history: historyOf(this.#timeline),
      travel: this.#journey === undefined ? undefined : travelOf(this.#journey),
    }, ui);
    if (this.#model.message !== message) ui.invalidate();
  }

  draw(screen: Region): void {
    const size = { cols: screen.w, rows: screen.h };
    this.#metrics = view(screen, this.#model, this.#sight.of(this.#timeline, this.#model, size));
    this.#grid = screen.grid;
  }

  #travel(journey: Journey, ui: Ui): void {
    this.#pacer.rest();
    const start = this.#clock();
    let arrived = journey.advance();
    while (!arrived && this.#clock() - start < BUDGET_MS) arrived = journey.advance();
    ui.invalidate();
    if (journey.timeline === this.#timeline) this.#sight.stale();
    if (!arrived) return;
    this.#journey = undefined;
    if (journey.timeline === this.#timeline) return;
    this.#timeline = journey.timeline;
    this.#open = [];
    this.#sight.stale();
  }

  /** Tells what has answered since. */
  #hear(ui: Ui): void {
    for (const result of this.#open) {
      const { outcome, action } = result;
      if (outcome === undefined) continue;
      this.#happen({
        type: "answered",
        text: `${action.do} ${argumentText(action.with)}`.trimEnd(),
        answer: answer(outcome),
        detail: outcome.detail ?? "",
        output: outcome.output ?? "",
      }, ui);
      ui.invalidate();
    }
    this.#open = this.#open.filter((result) => result.outcome === undefined);
  }

  #context(size: TerminalSize): Context {
    return {
      snapshot: this.#sight.of(this.#timeline, this.#model, size),
      metrics: this.#metrics,
      size,
      now: this.#now,
      complete: (kind, word) => complete(this.#timeline, kind, word),
      scenarios: this.#world.scenarios,
    };
  }

  #happen(event: Happening, ui: Ui): void {
    const { model, effects } = update(this.#model, event, this.#context(ui.size));
    this.#model = model;
    for (const effect of effects) this.#do(effect, ui);
  }

  #do(effect: Effect, ui: Ui): void {
    switch (effect.type) {
      case "act":
      case "step":
      case "travel":
        if (this.#journey !== undefined) {
          return this.#say(`on the way to ${this.#journey.to}: Esc stays here`, ui);
        }
        return this.#drive(effect, ui);
      case "stop-travel":
        this.#journey = undefined;
        return;
      case "save":
        this.#sight.stale();
        return this.#outside(
          ui,
          () => saveSession(this.#session, this.#timeline, this.#world, effect.file),
        );
      case "open":
        return this.#outside(ui, () => this.#take(this.#world.open(effect.name), "opened"));
      case "restart":
        return this.#outside(ui, () => {
          const { again } = this.#session;
          if (again === undefined) throw new Error("this session cannot be begun again");
          return this.#take(again(effect.image), "begun again:");
        });
      case "screenshot":
        return this.#outside(ui, () => this.screenshot(effect.file));
      case "copy":
        return ui.copy(effect.text);
      case "settings":
        ui.mouse = effect.settings.mouse;
        ui.look = effect.settings.look;
        return;
      case "repaint":
        return ui.repaint();
      case "suspend":
        return ui.suspend();
      case "exit":
        return ui.exit(effect.code);
    }
  }

  #drive(effect: Effect & { readonly type: "act" | "step" | "travel" }, ui: Ui): void {
    this.#sight.stale();
    const timeline = this.#timeline;
    if (effect.type === "step") {
      if (effect.by === "event") timeline.step();
      else this.#journey = toPhase(timeline);
    } else if (effect.type === "travel") {
      const { to, text } = effect;
      this.#journey = "events" in to
        ? toMoment(timeline, to, text)
        : toTime(timeline, to.time, text);
    } else {
      const operation = OPERATIONS.get(effect.operation);
      const parsed = operation && check(operation, { ...effect.given });
      if (parsed === undefined || "wrong" in parsed) {
        return this.#say(parsed?.wrong ?? `there is no operation ${effect.operation}`, ui);
      }
      const { given, args } = parsed;
      this.#model = { ...this.#model, marks: marksBehind(this.#model.marks, timeline) };
      this.#open.push(timeline.act({ do: effect.operation, with: given, args }));
    }
  }

  #say(text: string, ui: Ui): void {
    this.#model = say(this.#model, this.#now, text, "warn");
    ui.invalidate();
  }

  /** Does something outside of the platform, and tells how it went. */
  #outside(ui: Ui, what: () => string): void {
    let text: string, bad = false;
    try {
      text = what();
    } catch (error) {
      text = error instanceof Error ? error.message : String(error);
      bad = true;
    }
    this.#happen({ type: "told", text, bad }, ui);
    ui.invalidate();
  }

  /** Goes on with another session; settings and bindings stay. */
  #take(session: Session, what: string): string {
    const { settings, readOnly, lines, bindings } = this.#model;
    const kept = { settings, readOnly, lines, bindings };
    this.#model = initialModel(session.title, session.image, kept);
    this.#begin(session);
    return `${what} ${session.title}`;
  }

  /** Writes the screen as it was drawn last to a file; what to tell of it. An Error says why not. */
  screenshot(file: string): string {
    const form = /\.(svg|txt)$/.exec(file)?.[1];
    if (form === undefined) throw new Error(`${file}: expected a name that ends in .svg or .txt`);
    if (this.#grid === undefined) throw new Error("nothing was drawn yet");
    this.#world.write(file, form === "svg" ? pictureSvg(this.#grid) : pictureText(this.#grid));
    return `screenshot in ${file}`;
  }
}
