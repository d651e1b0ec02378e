/** Recordings of a terminal session in the form asciicast v2: a header, then an event a line. */

import type { TerminalIo, TerminalSize } from "./io.ts";

export interface RecordingOptions {
  readonly title?: string;
}

/** Collects what is written to a terminal and when, in seconds since the start. */
export class Recording {
  readonly #lines: string[] = [];
  #size: TerminalSize;
  #start: number | undefined;

  /** `size`: of the terminal at the start. */
  constructor(size: TerminalSize, readonly options: RecordingOptions = {}) {
    this.#size = size;
    const { title } = options;
    this.#lines.push(JSON.stringify({
      version: 2,
      width: size.cols,
      height: size.rows,
      ...(title === undefined ? {} : { title }),
    }));
  }

  /** `now`: milliseconds on any clock. */
  output(now: number, text: string): void {
    this.#event(now, "o", text);
  }

  /** Something worth finding again. */
  marker(now: number, label: string): void {
    this.#event(now, "m", label);
  }

  resize(now: number, size: TerminalSize): void {
    if (size.cols === this.#size.cols && size.rows === this.#size.rows) return;
    this.#size = size;
    this.#event(now, "r", `${size.cols}x${size.rows}`);
  }

  #event(now: number, code: string, text: string): void {
    this.#start ??= now;
    // Microseconds: players want no more, and a sum of fractions has no other digits then.
    const seconds = Math.round((now - this.#start) * 1000) / 1e6;
    this.#lines.push(JSON.stringify([seconds, code, text]));
  }

  /** The whole recording so far. */
  get text(): string {
    return this.#lines.join("\n") + "\n";
  }
}

/** The same terminal, with everything that is written to it recorded. */
export function recorded(io: TerminalIo, recording: Recording): TerminalIo {
  const decoder = new TextDecoder();
  const write = (bytes: Uint8Array) => {
    const written = io.write(bytes);
    const text = decoder.decode(bytes.subarray(0, written), { stream: true });
    try {
      recording.resize(io.now(), io.size());
    } catch {
      // A terminal that is going away.
    }
    if (text !== "") recording.output(io.now(), text);
    return written;
  };
  return new Proxy(io, {
    get(target, name) {
      if (name === "write") return write;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
