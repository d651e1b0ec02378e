/** Everything this library asks of the outside world, so that tests can stand in for it. */

export const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
export type StopSignal = typeof STOP_SIGNALS[number];
export type SignalName = StopSignal | "SIGWINCH" | "SIGCONT" | "SIGTSTP";

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

export interface TerminalIo {
  /** True when the user asked for no colour by the NO_COLOR convention. */
  readonly noColor: boolean;
  /** True when both input and output are a terminal. */
  isTerminal(): boolean;
  /** Size in cells. Throws when there is no terminal (any more). */
  size(): TerminalSize;
  setRaw(on: boolean): void;
  /** The next bytes; null at the end of input. Rejects when the terminal is gone. */
  read(): Promise<Uint8Array | null>;
  /** Writes some bytes and returns how many, at least 1. Throws when the terminal is gone. */
  write(bytes: Uint8Array): number;
  /** Writes text for a person, outside of the full screen. */
  writeError(text: string): void;
  /** Calls `handler` on each signal; returns what removes it. Unknown signals are ignored. */
  onSignal(signal: SignalName, handler: () => void): () => void;
  /** Calls `handler` for errors nobody caught, in place of the default; returns the remover. */
  onUncaught(handler: (error: unknown) => void): () => void;
  /** Calls `handler` just before the program ends; returns the remover. */
  onUnload(handler: () => void): () => void;
  /** Stops the process as ctrl-z does. May return before the stop takes effect. */
  stop(): void;
  exit(code: number): void;
  /** A clock in milliseconds that never goes back. */
  now(): number;
  /** Calls `handler` once after `ms` milliseconds; returns what cancels it. */
  timer(ms: number, handler: () => void): () => void;
}

/** The real terminal. Needs no permission. */
export function denoIo(): TerminalIo {
  const input = new Uint8Array(65536);
  return {
    noColor: Deno.noColor,
    isTerminal: () => Deno.stdin.isTerminal() && Deno.stdout.isTerminal(),
    size() {
      const { columns, rows } = Deno.consoleSize();
      return { cols: columns, rows };
    },
    setRaw: (on) => Deno.stdin.setRaw(on),
    async read() {
      const count = await Deno.stdin.read(input);
      return count === null ? null : input.slice(0, count);
    },
    write: writeOut,
    writeError: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(text)),
    onSignal(signal, handler) {
      try {
        Deno.addSignalListener(signal, handler);
      } catch {
        return () => {}; // not a signal of this operating system
      }
      return () => Deno.removeSignalListener(signal, handler);
    },
    onUncaught,
    onUnload(handler) {
      globalThis.addEventListener("unload", handler);
      return () => globalThis.removeEventListener("unload", handler);
    },
    stop: () => Deno.kill(Deno.pid, "SIGSTOP"),
    exit: (code) => Deno.exit(code),
    now: () => performance.now(),
    timer(ms, handler) {
      const id = setTimeout(handler, ms);
      return () => clearTimeout(id);
    },
  };
}

/** Milliseconds between attempts, and attempts, when a non-blocking terminal is full. */
const RETRY_MS = 2;
const RETRIES = 2500;

function writeOut(bytes: Uint8Array): number {
  for (let attempt = 0;; attempt++) {
    try {
      return Deno.stdout.writeSync(bytes);
    } catch (error) {
      // Another program that shares the terminal may have made it non-blocking.
      if (!(error instanceof Deno.errors.WouldBlock) || attempt >= RETRIES) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

function onUncaught(handler: (error: unknown) => void): () => void {
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    handler(event.error);
  };
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    handler(event.reason);
  };
  globalThis.addEventListener("error", onError);
  globalThis.addEventListener("unhandledrejection", onRejection);
  return () => {
    globalThis.removeEventListener("error", onError);
    globalThis.removeEventListener("unhandledrejection", onRejection);
  };
}
