/** The dashboard on a terminal on paper: keys in, screens out, with a clock moved by hand. */

import { Dashboard, type DashboardOptions, type Session } from "../../src/dashboard/mod.ts";
import { type LookOptions, run } from "../../src/tui/mod.ts";
import { FakeIo, settle } from "../tui/fake_io.ts";
import { Screen } from "../tui/xterm.ts";

export interface RigOptions {
  readonly cols?: number;
  readonly rows?: number;
  readonly look?: LookOptions;
  readonly dashboard?: DashboardOptions;
}

export class Rig {
  readonly io = new FakeIo();
  readonly ended: Promise<number>;
  readonly dashboard: Dashboard;
  /** What was put on the terminal's clipboard last. */
  copied = "";
  readonly #screen: Screen;

  constructor(readonly session: Session, options: RigOptions = {}) {
    const { cols = 120, rows = 40, look = { depth: "none" } } = options;
    this.io.cols = cols;
    this.io.rows = rows;
    this.#screen = new Screen(cols, rows);
    // A real clock that stands still: the budget never runs out, and every run is the same.
    this.dashboard = new Dashboard(session, { look, clock: () => 0, ...options.dashboard });
    this.ended = run(this.dashboard, { io: this.io, look, keepCtrlZ: true, mouse: true });
  }

  get platform() {
    return this.dashboard.timeline.platform;
  }

  get model() {
    return this.dashboard.model;
  }

  /** A command line, entered. */
  async command(line: string): Promise<void> {
    await this.type(`:${line}\r`);
    await this.pass(40);
  }

  /** A click, or a turn of the wheel (64 up, 65 down), on a cell counted from 0. */
  async mouse(x: number, y: number, button = 0): Promise<void> {
    await this.type(`\x1b[<${button};${x + 1};${y + 1}M\x1b[<${button};${x + 1};${y + 1}m`);
    await this.pass(40);
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
    const output = this.io.output();
    // deno-lint-ignore no-control-regex
    const copy = /\x1b\]52;c;([A-Za-z0-9+/=]*)\x07/.exec(output)?.[1];
    if (copy !== undefined) {
      const bytes = Uint8Array.from(atob(copy), (c) => c.charCodeAt(0));
      this.copied = new TextDecoder().decode(bytes);
    }
    await this.#screen.write(output);
    return this.#screen.text();
  }

  /** The picture with the attributes of every cell. */
  async cells(): Promise<string[]> {
    await this.screen();
    return this.#screen.dump();
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
