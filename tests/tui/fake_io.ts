/** A terminal that only exists on paper, with a clock moved by hand. */

import type { SignalName, TerminalIo } from "../../src/tui/mod.ts";

export class FakeIo implements TerminalIo {
  noColor = false;
  terminal = true;
  cols = 20;
  rows = 4;
  /** Everything that happened, in order: "raw on", "write …", "exit 70" and so on. */
  readonly log: string[] = [];
  /** Most bytes taken by one write. */
  appetite = Infinity;
  /** When set, what an operation throws, by its name. */
  readonly broken = new Set<"write" | "setRaw" | "size" | "stop" | "writeError">();
  time = 0;
  readonly #decoder = new TextDecoder();
  readonly #signals = new Map<SignalName, Set<() => void>>();
  readonly #uncaught = new Set<(error: unknown) => void>();
  readonly #unload = new Set<() => void>();
  #timers: { due: number; handler: () => void }[] = [];
  #input: (Uint8Array | null)[] = [];
  #reader: ((bytes: Uint8Array | null) => void) | null = null;

  isTerminal() {
    return this.terminal;
  }

  size() {
    this.#fail("size");
    return { cols: this.cols, rows: this.rows };
  }

  setRaw(on: boolean) {
    this.#fail("setRaw");
    this.log.push(on ? "raw on" : "raw off");
  }

  read(): Promise<Uint8Array | null> {
    const next = this.#input.shift();
    if (next !== undefined) return Promise.resolve(next);
    return new Promise((resolve) => this.#reader = resolve);
  }

  write(bytes: Uint8Array): number {
    this.#fail("write");
    const taken = bytes.subarray(0, Math.min(bytes.length, this.appetite));
    this.log.push("write " + this.#decoder.decode(taken, { stream: true }));
    return taken.length;
  }

  writeError(text: string) {
    this.#fail("writeError");
    this.log.push("error " + text);
  }

  onSignal(signal: SignalName, handler: () => void) {
    const handlers = this.#signals.get(signal) ?? new Set();
    this.#signals.set(signal, handlers.add(handler));
    return () => void handlers.delete(handler);
  }

  onUncaught(handler: (error: unknown) => void) {
    this.#uncaught.add(handler);
    return () => void this.#uncaught.delete(handler);
  }

  onUnload(handler: () => void) {
    this.#unload.add(handler);
    return () => void this.#unload.delete(handler);
  }

  stop() {
    this.#fail("stop");
    this.log.push("stop");
  }

  exit(code: number) {
    this.log.push(`exit ${code}`);
  }

  now() {
    return this.time;
  }

  timer(ms: number, handler: () => void) {
    const timer = { due: this.time + ms, handler };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  // What tests do to it.

  get timers(): number {
    return this.#timers.length;
  }

  /** Number of listeners of every kind that are still there. */
  get listeners(): number {
    const signals = [...this.#signals.values()].reduce((sum, set) => sum + set.size, 0);
    return signals + this.#uncaught.size + this.#unload.size;
  }

  signal(name: SignalName) {
    for (const handler of [...this.#signals.get(name) ?? []]) handler();
  }

  throwUncaught(error: unknown) {
    for (const handler of [...this.#uncaught]) handler(error);
  }

  unload() {
    for (const handler of [...this.#unload]) handler();
  }

  /** Lets the app read bytes, or the end of input, and waits until it has. */
  async type(input: string | null) {
    const bytes = input === null ? null : new TextEncoder().encode(input);
    const reader = this.#reader;
    this.#reader = null;
    if (reader === null) this.#input.push(bytes);
    else reader(bytes);
    await settle();
  }

  /** Moves the clock, running what is due in order. Returns how many timers ran. */
  advance(ms: number): number {
    const end = this.time + ms;
    let ran = 0;
    while (true) {
      const next = this.#timers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.time = Math.max(this.time, next.due);
      next.handler();
      ran++;
    }
    this.time = end;
    return ran;
  }

  /** Everything written since the last call, joined. */
  output(): string {
    const written = this.log.filter((entry) => entry.startsWith("write "));
    this.log.splice(0, this.log.length, ...this.log.filter((e) => !e.startsWith("write ")));
    return written.map((entry) => entry.slice("write ".length)).join("");
  }

  #fail(operation: "write" | "setRaw" | "size" | "stop" | "writeError") {
    if (this.broken.has(operation)) throw new Error(`${operation}: the terminal is gone`);
  }
}

/** Lets every promise that is ready run. */
export async function settle(): Promise<void> {
  for (let n = 0; n < 5; n++) await Promise.resolve();
}
