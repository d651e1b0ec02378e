/**
 * A terminal that is only thought: its keys come from a script, its clock from its own timers. The
 * same script gives the same bytes at the same times, on any machine.
 */

import type { TerminalIo, TerminalSize } from "./io.ts";

/** What somebody does at a terminal. */
export type ScriptStep =
  /** Bytes as a terminal sends them. */
  | { readonly type: "input"; readonly bytes: string }
  /** Milliseconds go by. */
  | { readonly type: "wait"; readonly ms: number }
  | { readonly type: "resize"; readonly size: TerminalSize }
  /** Something else that is to be done at that moment. */
  | { readonly type: "call"; readonly run: () => void };

interface Timer {
  readonly due: number;
  readonly order: number;
  readonly handler: () => void;
}

export class ScriptedIo implements TerminalIo {
  readonly noColor: boolean;
  #size: TerminalSize;
  #now = 0;
  #order = 0;
  #timers: Timer[] = [];
  #reader: ((bytes: Uint8Array | null) => void) | undefined;
  #unread: Uint8Array[] = [];
  #closed = false;
  readonly #winch = new Set<() => void>();
  /** Errors for a person, and the exit status that was asked for. */
  readonly errors: string[] = [];
  exitCode: number | undefined;

  constructor(size: TerminalSize, options: { readonly noColor?: boolean } = {}) {
    this.#size = size;
    this.noColor = options.noColor ?? false;
  }

  isTerminal(): boolean {
    return true;
  }
  size(): TerminalSize {
    return this.#size;
  }
  setRaw(_on: boolean): void {}

  read(): Promise<Uint8Array | null> {
    const next = this.#unread.shift();
    if (next !== undefined) return Promise.resolve(next);
    if (this.#closed) return Promise.resolve(null);
    return new Promise((resolve) => this.#reader = resolve);
  }

  write(bytes: Uint8Array): number {
    return bytes.length;
  }
  writeError(text: string): void {
    this.errors.push(text);
  }

  onSignal(signal: string, handler: () => void): () => void {
    if (signal !== "SIGWINCH") return () => {};
    this.#winch.add(handler);
    return () => this.#winch.delete(handler);
  }
  onUncaught(): () => void {
    return () => {};
  }
  onUnload(): () => void {
    return () => {};
  }
  stop(): void {}
  exit(code: number): void {
    this.exitCode = code;
  }
  now(): number {
    return this.#now;
  }

  timer(ms: number, handler: () => void): () => void {
    const timer = { due: this.#now + ms, order: this.#order++, handler };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Does the steps one after the other; `over`: tells that nobody listens any more. */
  async play(steps: readonly ScriptStep[], over: () => boolean): Promise<void> {
    await settle();
    for (const step of steps) {
      if (over() || this.exitCode !== undefined) return;
      switch (step.type) {
        case "input":
          this.#give(new TextEncoder().encode(step.bytes));
          break;
        case "wait":
          await this.#pass(step.ms);
          break;
        case "resize":
          this.#size = step.size;
          for (const handler of [...this.#winch]) handler();
          break;
        case "call":
          step.run();
      }
      await settle();
    }
  }

  /** The end of the input. */
  close(): void {
    this.#closed = true;
    this.#reader?.(null);
  }

  #give(bytes: Uint8Array): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader === undefined) this.#unread.push(bytes);
    else reader(bytes);
  }

  /** Lets the clock run on, and every timer that falls due with it. */
  async #pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter((t) => t.due <= end)
        .sort((a, b) => a.due - b.due || a.order - b.order)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.#now = Math.max(this.#now, next.due);
      next.handler();
      await settle();
    }
    this.#now = end;
  }
}

/** Lets every promise that is ready run. */
async function settle(): Promise<void> {
  for (let n = 0; n < 5; n++) await Promise.resolve();
}
