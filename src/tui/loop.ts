/**
 * Runs an app on a terminal: events in, frames out. A frame is drawn only after something
 * changed, at most `fps` times a second; when nothing happens, nothing runs.
 */

import { copySequence } from "./clipboard.ts";
import type { ColorDepth } from "./color.ts";
import type { TerminalEvent } from "./events.ts";
import { flush } from "./flush.ts";
import { Grid } from "./grid.ts";
import { denoIo, type TerminalIo, type TerminalSize } from "./io.ts";
import { KeyDecoder } from "./keys.ts";
import { ColorProbe, GUESS, PROBE, PROBE_LIMIT_MS } from "./probe.ts";
import { Region } from "./region.ts";
import { Session } from "./session.ts";
import { StyleTable } from "./style.ts";
import { type Background, makeTheme, type PaletteName } from "./theme.ts";

export interface ResizeEvent extends TerminalSize {
  readonly type: "resize";
}

export type UiEvent = TerminalEvent | ResizeEvent;

/** What an app can ask of the loop that runs it. */
export interface Ui {
  /** Draw again, at the next time a frame is due. Every event implies it; ticks do not. */
  invalidate(): void;
  /** Call `tick()` as soon as possible. Every event implies it. */
  wake(): void;
  /** Write every cell again at the next frame, for a screen that something has spoilt. */
  repaint(): void;
  /** End the loop: `run()` restores the terminal and returns `code`. */
  exit(code: number): void;
  /** Stop the process as ctrl-z does. */
  suspend(): void;
  /** Puts text on the terminal's clipboard, where the terminal allows it. */
  copy(text: string): void;
  /** Mouse reports, on or off. */
  mouse: boolean;
  /** Chosen colours; setting one of them repaints. */
  look: LookOptions;
  readonly size: TerminalSize;
}

export interface App {
  /** Called once, before the first event and frame. */
  start?(ui: Ui): void;
  onEvent(event: UiEvent, ui: Ui): void;
  /**
   * Called once at the start, after events, and when it is due. Returns the time in milliseconds, on
   * the clock of `nowMs`, at which it wants to be called again; undefined to wait for an event.
   */
  tick?(nowMs: number, ui: Ui): number | undefined;
  /** Draws the whole screen, which has been cleared. */
  draw(screen: Region, ui: Ui): void;
}

export interface LookOptions {
  /** Default "auto": ask the terminal, and no colour at all when NO_COLOR is set. */
  readonly depth?: ColorDepth | "auto";
  /** Default "auto": ask the terminal. */
  readonly background?: Background | "auto";
  readonly palette?: PaletteName;
  /** Widgets draw in ASCII only. */
  readonly ascii?: boolean;
}

export interface RunOptions {
  readonly io?: TerminalIo;
  /** Most frames in a second, default 30. */
  readonly fps?: number;
  readonly mouse?: boolean;
  readonly look?: LookOptions;
  /** Let ctrl-z through to the app as a key in place of suspending. Default false. */
  readonly keepCtrlZ?: boolean;
  /** Exit status after an uncaught error, default 70. */
  readonly errorExit?: number;
  readonly describe?: (error: unknown) => string;
}

/** How long an ESC waits for the rest of a sequence. */
const ESC_MS = 30;
/** Exit status when the terminal went away: as for SIGHUP. */
const HANGUP_EXIT = 129;

/**
 * Takes over the terminal and runs `app` until it asks to exit; returns its exit code with the
 * terminal restored. Returns 129 when the terminal is gone. Throws `NotATerminal` when there is
 * none. An error thrown by the app does not come back: it is printed after the terminal has
 * been restored, and the process exits with `errorExit`.
 */
export function run(app: App, options: RunOptions = {}): Promise<number> {
  return new Loop(app, options).run();
}

class Loop implements Ui {
  readonly #app: App;
  readonly #io: TerminalIo;
  readonly #session: Session;
  readonly #grid: Grid;
  readonly #decoder = new KeyDecoder();
  readonly #probe = new ColorProbe();
  readonly #frameMs: number;
  readonly #keepCtrlZ: boolean;
  #look: LookOptions;
  #dirty = true;
  #lastDraw = -Infinity;
  #tickAt: number;
  #escAt = Infinity;
  #probeEnd = Infinity;
  #asked = false;
  #timerAt = Infinity;
  #cancelTimer = () => {};
  #finish: (code: number) => void = () => {};
  #over = false;

  constructor(app: App, options: RunOptions) {
    this.#app = app;
    this.#io = options.io ?? denoIo();
    this.#frameMs = 1000 / Math.max(1, options.fps ?? 30);
    this.#keepCtrlZ = options.keepCtrlZ ?? false;
    this.#look = options.look ?? {};
    this.#tickAt = app.tick === undefined ? Infinity : -Infinity;
    this.#session = new Session(this.#io, {
      mouse: options.mouse ?? false,
      errorExit: options.errorExit ?? 70,
      ...(options.describe === undefined ? {} : { describe: options.describe }),
      onResize: () => this.#guard(() => this.#resize()),
      onResume: () => this.#guard(() => this.#resize(true)),
    });
    const { cols, rows } = this.#session.size();
    this.#grid = new Grid(cols, rows, new StyleTable());
    this.#applyLook();
  }

  run(): Promise<number> {
    const ended = new Promise<number>((resolve) => this.#finish = resolve);
    this.#guard(() => {
      this.#ask();
      this.#app.start?.(this);
      this.#step();
    });
    void this.#readAll();
    return ended;
  }

  // What the app sees.

  get size(): TerminalSize {
    return { cols: this.#grid.cols, rows: this.#grid.rows };
  }

  get mouse(): boolean {
    return this.#session.mouse;
  }

  set mouse(on: boolean) {
    this.#session.mouse = on;
  }

  get look(): LookOptions {
    return this.#look;
  }

  set look(look: LookOptions) {
    this.#look = look;
    this.#ask();
    this.#applyLook();
    this.#schedule();
  }

  invalidate(): void {
    this.#dirty = true;
    this.#schedule();
  }

  wake(): void {
    if (this.#app.tick !== undefined) this.#tickAt = -Infinity;
    this.#schedule();
  }

  repaint(): void {
    this.#grid.stale = true;
    this.invalidate();
  }

  suspend(): void {
    this.#session.suspend();
  }

  copy(text: string): void {
    this.#session.write(copySequence(text));
  }

  exit(code: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimer();
    this.#session.restore();
    this.#finish(code);
  }

  // What drives it.

  async #readAll(): Promise<void> {
    while (!this.#over) {
      let bytes: Uint8Array | null;
      try {
        bytes = await this.#io.read();
      } catch {
        bytes = null;
      }
      if (bytes === null) return this.exit(HANGUP_EXIT);
      const input = bytes;
      this.#guard(() => {
        this.#handle(this.#decoder.feed(input));
        this.#escAt = this.#decoder.pending ? this.#io.now() + ESC_MS : Infinity;
        this.#step();
      });
    }
  }

  #handle(events: readonly UiEvent[]): void {
    for (const event of events) {
      if (this.#over) return;
      if (event.type === "report" && this.#probe.take(event)) {
        // Late answers are as good as timely ones.
        if (this.#probe.done) {
          this.#probeEnd = Infinity;
          this.#applyLook();
        }
        continue;
      }
      if (event.type === "key" && event.key === "ctrl-z" && !this.#keepCtrlZ) {
        this.suspend();
        continue;
      }
      this.#app.onEvent(event, this);
      this.#dirty = true;
      if (this.#app.tick !== undefined) this.#tickAt = -Infinity;
    }
  }

  /** Does all that is due, then sleeps until the next thing is. */
  #step(): void {
    let now = this.#io.now();
    if (now >= this.#escAt) {
      this.#escAt = Infinity;
      this.#handle(this.#decoder.timeout());
    }
    if (now >= this.#probeEnd) {
      this.#probeEnd = Infinity;
      this.#applyLook();
    }
    if (!this.#over && now >= this.#tickAt) {
      // Unset first, so that a wake() from within the tick is not lost.
      this.#tickAt = Infinity;
      const next = this.#app.tick?.(now, this);
      if (next !== undefined && this.#tickAt === Infinity) this.#tickAt = next;
    }
    if (this.#over) return;
    now = this.#io.now();
    if (this.#dirty && this.#session.active && now >= this.#lastDraw + this.#frameMs) {
      this.#lastDraw = now;
      this.#draw();
    }
    this.#schedule();
  }

  #draw(): void {
    this.#dirty = false;
    this.#grid.clear();
    this.#app.draw(Region.of(this.#grid), this);
    const frame = flush(this.#grid);
    try {
      this.#session.write(frame);
    } catch {
      this.exit(HANGUP_EXIT);
    }
  }

  #schedule(): void {
    if (this.#over) return;
    let due = Math.min(this.#escAt, this.#probeEnd);
    if (this.#session.active) {
      due = Math.min(due, this.#tickAt);
      if (this.#dirty) due = Math.min(due, this.#lastDraw + this.#frameMs);
    }
    if (due === this.#timerAt) return;
    this.#cancelTimer();
    this.#cancelTimer = () => {};
    this.#timerAt = due;
    if (due === Infinity) return;
    const delay = Math.min(Math.max(0, Math.ceil(due - this.#io.now())), 0x7fffffff);
    this.#cancelTimer = this.#io.timer(delay, () => {
      this.#timerAt = Infinity;
      this.#guard(() => this.#step());
    });
  }

  #resize(repaint = false): void {
    const size = this.#session.size();
    if (size.cols !== this.#grid.cols || size.rows !== this.#grid.rows) {
      this.#grid.resize(size.cols, size.rows);
      this.#handle([{ type: "resize", ...size }]);
    } else if (!repaint) {
      return;
    }
    this.#grid.stale = true;
    this.#dirty = true;
    this.#step();
  }

  /** Asks the terminal about its colours, once, and only if the answer is of use. */
  #ask(): void {
    const { depth = "auto", background = "auto" } = this.#look;
    if (this.#asked || depth === "none" || (depth === "auto" && this.#io.noColor)) return;
    if (depth !== "auto" && background !== "auto") return;
    this.#asked = true;
    this.#session.write(PROBE);
    this.#probeEnd = this.#io.now() + PROBE_LIMIT_MS;
  }

  #applyLook(): void {
    const { depth = "auto", background = "auto", palette = "standard", ascii = false } = this.#look;
    const known = this.#probe.done || this.#probeEnd === Infinity ? this.#probe : GUESS;
    this.#grid.table.theme = makeTheme({
      depth: depth !== "auto" ? depth : this.#io.noColor ? "none" : known.depth,
      background: background === "auto" ? known.background : background,
      palette,
    });
    this.#grid.ascii = ascii;
    this.#grid.stale = true;
    this.#dirty = true;
  }

  #guard(work: () => void): void {
    if (this.#over) return;
    try {
      work();
    } catch (error) {
      this.#over = true;
      this.#cancelTimer();
      this.#session.fail(error);
    }
  }
}
