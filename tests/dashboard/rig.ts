/** The dashboard on a terminal on paper: keys in, screens out, with a clock moved by hand. */

import { runDashboard, type Session } from "../../src/dashboard/mod.ts";
import type { LookOptions } from "../../src/tui/mod.ts";
import { FakeIo, settle } from "../tui/fake_io.ts";
import { Screen } from "../tui/xterm.ts";

export interface RigOptions {
  readonly cols?: number;
  readonly rows?: number;
  readonly look?: LookOptions;
}

export class Rig {
  readonly io = new FakeIo();
  readonly ended: Promise<number>;
  readonly #screen: Screen;

  constructor(readonly session: Session, options: RigOptions = {}) {
    const { cols = 120, rows = 40, look = { depth: "none" } } = options;
    this.io.cols = cols;
    this.io.rows = rows;
    this.#screen = new Screen(cols, rows);
    // A real clock that stands still: the budget never runs out, and every run is the same.
    this.ended = runDashboard(session, { io: this.io, look, clock: () => 0 });
  }

  /** Types keys, e.g. "k", "\r" for Enter, "\x1b[A" for up. */
  async type(input: string): Promise<void> {
    await this.io.type(input);
    if (input.endsWith("\x1b")) this.io.advance(40);
  }

  /** Lets wall time pass. */
  async pass(ms: number): Promise<void> {
    this.io.advance(ms);
    await settle();
  }

  async resize(cols: number, rows: number): Promise<void> {
    this.io.cols = cols;
    this.io.rows = rows;
    this.#screen.resize(cols, rows);
    this.io.signal("SIGWINCH");
    await this.pass(100);
  }

  /** The picture, row by row. */
  async screen(): Promise<string[]> {
    await this.#screen.write(this.io.output());
    return this.#screen.text();
  }

  async text(): Promise<string> {
    return (await this.screen()).join("\n");
  }

  /** Quits whatever is going on. */
  async quit(): Promise<number> {
    await this.io.type("\x03");
    return await this.ended;
  }
}

export const UP = "\x1b[A";
export const DOWN = "\x1b[B";
export const TAB = "\t";
export const ENTER = "\r";
export const ESC = "\x1b";
