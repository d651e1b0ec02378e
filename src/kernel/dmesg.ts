import type { EventHash } from "../base/event_log.ts";
import type { EventQueue } from "../base/event_queue.ts";

/** How loud a line of the kernel log is. */
export type LogLevel = "info" | "warn" | "err";

export interface LogLine {
  /** Virtual nanoseconds of the machine. */
  readonly time: number;
  /** Nanoseconds since this kernel booted, as the kernel prints them. */
  readonly uptime: number;
  readonly boot: number;
  readonly level: LogLevel;
  readonly text: string;
  /** It begins a report of this kernel about itself: a BUG, a WARNING, a panic. */
  readonly splat?: true;
}

/** The kernel log of one boot. A pstore-like sink keeps what earlier kernels said, for people. */
export class Dmesg {
  readonly lines: LogLine[] = [];
  readonly #start: number;

  constructor(
    readonly boot: number,
    readonly queue: EventQueue,
    readonly hash: EventHash,
    readonly sink: (line: LogLine) => void,
  ) {
    this.#start = queue.now;
  }

  info(text: string): void {
    this.#log("info", text);
  }

  warn(text: string): void {
    this.#log("warn", text);
  }

  err(text: string): void {
    this.#log("err", text);
  }

  /** The kernel finds that it has gone wrong: what it is, then what belongs to it. */
  splat(what: string, ...details: string[]): void {
    this.#log("err", what, true);
    for (const detail of details) this.#log("err", detail);
  }

  #log(level: LogLevel, text: string, splat = false): void {
    const time = this.queue.now;
    const plain = { time, uptime: time - this.#start, boot: this.boot, level, text };
    const line: LogLine = splat ? { ...plain, splat } : plain;
    this.hash.mixAt(time, this.boot);
    this.hash.mixText(text);
    this.lines.push(line);
    this.sink(line);
  }
}

/** `[    1.234567] text`, as dmesg prints it. */
export function formatLogLine(line: LogLine): string {
  const seconds = (line.uptime / 1e9).toFixed(6);
  return `[${seconds.padStart(12)}] ${line.text}`;
}
