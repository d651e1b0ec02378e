import { GiB, KiB, MiB } from "../base/units.ts";
import { parseSize } from "../operations/values.ts";
import { type CompareCase, COMPARED, measureAll } from "../scenario/compare.ts";
import { compareJson, compareMarkdown, compareText } from "../scenario/compare_text.ts";
import { UsageError } from "../scenario/errors.ts";
import { survivals } from "../scenario/survival.ts";
import type { CompareForm } from "./programs.ts";

/** Page sizes there are, and the most memory of each that fits into a machine of 24 GiB. */
const PAGES: ReadonlyMap<number, number> = new Map([
  [4 * KiB, 64 * GiB],
  [2 * MiB, 1024 * GiB],
  [GiB, 1024 * GiB],
]);

/** `64GiB,1TiB` in bytes, each a multiple of `unit`. */
export function sizes(flag: string, text: string, unit: number): number[] {
  return text.split(",").map((word) => {
    const bytes = parseSize(word);
    if (bytes === undefined || bytes <= 0 || bytes % unit !== 0) {
      throw new UsageError(
        `--${flag} ${text}: ${JSON.stringify(word)} is no size, expected one such as ` +
          (unit === GiB ? "64GiB or 1TiB" : "4KiB, 2MiB or 1GiB"),
      );
    }
    return bytes;
  });
}

/** The cases asked for; those that would be too much for one machine are named, and left out. */
export function casesOf(guests: readonly number[], pages: readonly number[]): {
  cases: CompareCase[];
  left: CompareCase[];
} {
  for (const page of pages) {
    if (!PAGES.has(page)) {
      throw new UsageError(`--page: there are pages of 4KiB, 2MiB and 1GiB, not of ${page} bytes`);
    }
  }
  const all = guests.flatMap((guest) => pages.map((page) => ({ guest, page })));
  const fits = ({ guest, page }: CompareCase) => guest <= (PAGES.get(page) ?? 0);
  return { cases: all.filter(fits), left: all.filter((c) => !fits(c)) };
}

/** Measures and prints; `note` gets a line of progress before each case. */
export function compare(
  cases: readonly CompareCase[],
  form: CompareForm,
  note: Note,
): string {
  const rows = measureAll(COMPARED, cases, note);
  const survival = survivals(COMPARED);
  return form === "json"
    ? compareJson(rows, survival)
    : form === "markdown"
    ? compareMarkdown(rows, survival)
    : compareText(rows, survival);
}

/** Says how far something is: so many of so many, and what is next. */
export type Note = (done: number, of: number, what: string) => void;

/** Runs what takes long, with a bar on stderr where that is a terminal. */
export function withProgress<T>(run: (note: Note) => T): T {
  const bar = Deno.stderr.isTerminal();
  const write = (text: string) => bar && Deno.stderr.writeSync(new TextEncoder().encode(text));
  const result = run((done, of, what) => void write(progressBar(done, of, what)));
  write("\r\x1b[K");
  return result;
}

/** `[#####.....] 5/10 redrive, …` on one line of a terminal. */
export function progressBar(done: number, of: number, what: string): string {
  const width = 20, filled = Math.floor(done / of * width);
  return `\r\x1b[K[${"#".repeat(filled)}${".".repeat(width - filled)}] ${done}/${of} ${what}`;
}
