/**
 * The dashboard: a platform on a terminal. Wall time drives virtual time, keys drive commands, and
 * every frame is a pure view of a model and a snapshot.
 */

import { requestAbort } from "../platform/live_update.ts";
import type { Platform } from "../platform/platform.ts";
import { type Snapshot, snapshot } from "../platform/snapshot.ts";
import {
  type App,
  type LookOptions,
  type Region,
  run,
  type TerminalIo,
  type Ui,
  type UiEvent,
} from "../tui/mod.ts";
import {
  type Context,
  type Effect,
  initialModel,
  type Metrics,
  type Model,
  SPEEDS,
} from "./model.ts";
import { Pacer } from "./pacer.ts";
import { type Happening, update } from "./update.ts";
import { view } from "./view.ts";

/** What a dashboard shows and drives. */
export interface Session {
  readonly platform: Platform;
  /** Shown in the header, e.g. the scenario's name. */
  readonly title: string;
  /** Image the next kexec boots. */
  readonly image: string;
}

export interface DashboardOptions {
  readonly look?: LookOptions;
  /** Most frames in a second, default 30. */
  readonly fps?: number;
  readonly io?: TerminalIo;
  /** Real time in milliseconds, by which emulation gives way to the screen. */
  readonly clock?: () => number;
}

const DEFAULT_FPS = 30;

/** Runs the dashboard until its user quits; returns the exit status, the terminal restored. */
export function runDashboard(session: Session, options: DashboardOptions = {}): Promise<number> {
  const { look, io, fps = DEFAULT_FPS, clock = () => performance.now() } = options;
  return run(new Dashboard(session, fps, new Pacer(clock)), {
    fps,
    keepCtrlZ: true,
    ...(look === undefined ? {} : { look }),
    ...(io === undefined ? {} : { io }),
  });
}

class Dashboard implements App {
  readonly #platform: Platform;
  readonly #frameMs: number;
  readonly #pacer: Pacer;
  #model: Model;
  #metrics: Metrics = {};
  #now = 0;
  #events: UiEvent[] = [];
  /** Of the present moment; undefined as soon as something ran. */
  #snapshot: Snapshot | undefined;

  constructor(session: Session, fps: number, pacer: Pacer) {
    this.#platform = session.platform;
    this.#frameMs = 1000 / fps;
    this.#pacer = pacer;
    this.#model = initialModel(session.title, session.image);
  }

  /** Events wait for the tick that follows them at once: that one knows the time. */
  onEvent(event: UiEvent): void {
    this.#events.push(event);
  }

  tick(now: number, ui: Ui): number | undefined {
    this.#now = now;
    for (const event of this.#events.splice(0)) this.#happen(event, ui);
    if (this.#model.paused) this.#pacer.rest();
    else {
      this.#pacer.frame(this.#platform, now, SPEEDS[this.#model.speed] ?? 1);
      this.#snapshot = undefined;
      ui.invalidate();
    }
    const { message } = this.#model;
    this.#happen({ type: "frame", pace: this.#pacer.pace }, ui);
    if (this.#model.message !== message) ui.invalidate();
    if (!this.#model.paused) return now + this.#frameMs;
    // Nothing moves but the message, which goes at its time.
    return this.#model.message?.until;
  }

  draw(screen: Region): void {
    this.#metrics = view(screen, this.#model, this.#look());
  }

  #look(): Snapshot {
    return this.#snapshot ??= snapshot(this.#platform);
  }

  #happen(event: Happening, ui: Ui): void {
    const context: Context = {
      snapshot: this.#look(),
      metrics: this.#metrics,
      size: ui.size,
      now: this.#now,
    };
    const { model, effects } = update(this.#model, event, context);
    this.#model = model;
    for (const effect of effects) this.#do(effect, ui);
  }

  #do(effect: Effect, ui: Ui): void {
    const platform = this.#platform;
    switch (effect.type) {
      case "start-update":
        platform.startUpdate(effect.image);
        break;
      case "abort-update":
        requestAbort(platform);
        break;
      case "step":
        this.#pacer.run(
          platform,
          Math.round(this.#frameMs * 1e6 * (SPEEDS[this.#model.speed] ?? 1)),
        );
        break;
      case "repaint":
        return ui.repaint();
      case "suspend":
        return ui.suspend();
      case "exit":
        return ui.exit(effect.code);
    }
    this.#snapshot = undefined;
  }
}
