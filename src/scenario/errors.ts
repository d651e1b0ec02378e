export { didYouMean, nearest } from "../base/nearest.ts";

/** A place in a text, counted from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/**
 * Something a person got wrong: a flag, a file, a word in it. Ends the program with status 2 and
 * nothing half-written.
 */
export class UsageError extends Error {
  override name = "UsageError";

  constructor(message: string, readonly file?: string, readonly place?: Place) {
    super(message);
  }

  /** `file:line:column: message`, as far as the place is known. */
  get text(): string {
    const where = this.file === undefined
      ? ""
      : this.place === undefined
      ? `${this.file}: `
      : `${this.file}:${this.place.line}:${this.place.column}: `;
    return where + this.message;
  }
}
