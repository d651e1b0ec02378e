/**
 * Holds the terminal in full-screen raw mode, and gives it back whatever happens: return, exit,
 * uncaught error, signal, suspension. Restoring is idempotent, and every step of it is attempted
 * even when another one fails.
 */

import { STOP_SIGNALS, type StopSignal, type TerminalIo, type TerminalSize } from "./io.ts";

/** Exit statuses by shell convention: 128 + number of the signal. */
export const SIGNAL_EXIT: Readonly<Record<StopSignal, number>> = {
  SIGINT: 130,
  SIGTERM: 143,
  SIGHUP: 129,
  SIGQUIT: 131,
};

/** Alternate screen, no cursor, no automatic wrap, bracketed paste. */
export const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h";
export const MOUSE_ON = "\x1b[?1000h\x1b[?1002h\x1b[?1006h";
export const MOUSE_OFF = "\x1b[?1006l\x1b[?1002l\x1b[?1000l";
/** The reverse of `ENTER`; also ends a frame that was cut off in the middle. */
export const LEAVE = "\x1b[?2026l\x1b[m\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l";

/** Sizes that a terminal reports are held within these bounds; a grid is made from them. */
const MAX_COLS = 1000;
const MAX_ROWS = 500;
const FALLBACK: TerminalSize = { cols: 80, rows: 24 };

/** Thrown when a session is opened without a terminal on input and output. */
export class NotATerminal extends Error {
  override readonly name = "NotATerminal";
  constructor() {
    super("expected standard input and output to be a terminal");
  }
}

export interface SessionOptions {
  /** Report mouse buttons and the wheel. Default false: capture keeps users from selecting. */
  readonly mouse?: boolean;
  /** Exit status after an error that nobody caught. Default 70. */
  readonly errorExit?: number;
  /** Text printed for such an error, after the full screen has been left. */
  readonly describe?: (error: unknown) => string;
  readonly onResize?: () => void;
  /** The terminal shows nothing of ours any more: repaint in full. */
  readonly onResume?: () => void;
}

export class Session {
  readonly #io: TerminalIo;
  readonly #options: SessionOptions;
  readonly #removers: (() => void)[] = [];
  readonly #encoder = new TextEncoder();
  #buffer = new Uint8Array(65536);
  #mouse: boolean;
  #state: "active" | "suspended" | "closed" = "active";

  /** Takes the terminal over. Throws `NotATerminal`, or what the terminal refuses. */
  constructor(io: TerminalIo, options: SessionOptions = {}) {
    if (!io.isTerminal()) throw new NotATerminal();
    this.#io = io;
    this.#options = options;
    this.#mouse = options.mouse ?? false;
    this.#listen();
    try {
      this.#enter();
    } catch (error) {
      this.restore();
      throw error;
    }
  }

  /** False while suspended and after `restore()`: nothing may be drawn. */
  get active(): boolean {
    return this.#state === "active";
  }

  /** Size in cells; 80x24 when the terminal does not know. At most 1000x500. */
  size(): TerminalSize {
    try {
      const { cols, rows } = this.#io.size();
      if (cols > 0 && rows > 0) {
        return { cols: Math.min(cols, MAX_COLS), rows: Math.min(rows, MAX_ROWS) };
      }
    } catch {
      // A terminal that is going away; reading from it will end the session.
    }
    return FALLBACK;
  }

  /** Writes all of `text`. Does nothing unless active. Throws when the terminal is gone. */
  write(text: string): void {
    if (this.#state === "active" && text !== "") this.#send(text);
  }

  get mouse(): boolean {
    return this.#mouse;
  }

  /** Switches mouse reports on or off. */
  set mouse(on: boolean) {
    if (on === this.#mouse) return;
    this.#mouse = on;
    this.write(on ? MOUSE_ON : MOUSE_OFF);
  }

  /** Gives the terminal back and stops the process until the user brings it to the front. */
  suspend(): void {
    if (this.#state !== "active") return;
    this.#state = "suspended";
    this.#leave();
    try {
      // Resuming is left to SIGCONT: the stop may take effect only after this call returns.
      this.#io.stop();
    } catch {
      this.#resume(); // as process 1, or where processes cannot be stopped
    }
  }

  /** Gives the terminal back for good. May be called any number of times, from anywhere. */
  restore(): void {
    if (this.#state === "closed") return;
    const leave = this.#state === "active";
    this.#state = "closed";
    if (leave) this.#leave();
    for (const remove of this.#removers) attempt(remove);
  }

  /** Restores, prints what went wrong, and exits with `errorExit`. */
  fail(error: unknown): void {
    const { describe = describeError, errorExit = 70 } = this.#options;
    this.restore();
    attempt(() => {
      let text: string;
      try {
        text = describe(error);
      } catch {
        text = describeError(error);
      }
      this.#io.writeError(printable(text) + "\n");
    });
    this.#io.exit(errorExit);
  }

  #listen(): void {
    const io = this.#io;
    for (const signal of STOP_SIGNALS) {
      this.#removers.push(io.onSignal(signal, () => {
        this.restore();
        io.exit(SIGNAL_EXIT[signal]);
      }));
    }
    this.#removers.push(
      io.onSignal("SIGWINCH", () => this.#options.onResize?.()),
      io.onSignal("SIGTSTP", () => this.suspend()),
      io.onSignal("SIGCONT", () => this.#resume()),
      io.onUncaught((error) => this.fail(error)),
      io.onUnload(() => this.restore()),
    );
  }

  #enter(): void {
    this.#io.setRaw(true);
    this.#send(ENTER + (this.#mouse ? MOUSE_ON : ""));
  }

  #leave(): void {
    attempt(() => this.#send(this.#mouse ? MOUSE_OFF + LEAVE : LEAVE));
    attempt(() => this.#io.setRaw(false));
  }

  /** After ctrl-z and `fg`, and after a stop from outside, of which nothing was known before. */
  #resume(): void {
    if (this.#state === "closed") return;
    this.#state = "active";
    try {
      // The shell has set the terminal up for itself; turning raw mode off first makes sure
      // that turning it on is not taken for a repetition.
      attempt(() => this.#io.setRaw(false));
      this.#enter();
      this.#options.onResume?.();
    } catch (error) {
      this.fail(error);
    }
  }

  #send(text: string): void {
    // UTF-16 units become at most 3 bytes each.
    if (this.#buffer.length < text.length * 3) this.#buffer = new Uint8Array(text.length * 3);
    const { written } = this.#encoder.encodeInto(text, this.#buffer);
    for (let at = 0; at < written;) {
      const count = this.#io.write(this.#buffer.subarray(at, written));
      if (!(count > 0)) throw new Error("the terminal takes no more output");
      at += count;
    }
  }
}

function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // The other steps matter more than this one's failure.
  }
}

function describeError(error: unknown): string {
  if (error instanceof Error) return error.stack ?? `${error.name}: ${error.message}`;
  return `uncaught: ${String(error)}`;
}

/** An error's text may quote anything; control characters must not reach the terminal. */
function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "?");
}
