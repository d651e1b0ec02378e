/** One side of a pair: a process that lives as long as its group is measured. */

export interface Answer {
  /** Nanoseconds of the part that counts. */
  readonly ns: number;
  readonly checksum: number;
}

/** Why a benchmark cannot be run: no compiler, no library, or a process that gave up. */
export class BenchError extends Error {
  override name = "BenchError";
}

/** A process that reads the name of a benchmark a line and answers "NANOSECONDS CHECKSUM". */
export class Contender {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(readonly name: string, command: string, args: string[]) {
    const options = { args, stdin: "piped", stdout: "piped", stderr: "inherit" } as const;
    this.#child = new Deno.Command(command, options).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async run(benchmark: string): Promise<Answer> {
    const [ns, checksum] = await this.ask(benchmark, 2);
    return { ns, checksum };
  }

  /** The numbers that come as an answer to a line. */
  async ask(question: string, count: number): Promise<number[]> {
    // One that has given up says so at the other end.
    await this.#writer.write(new TextEncoder().encode(question + "\n")).catch(() => {});
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#reader.read();
      if (done) throw new BenchError(`${this.name}: ended in ${question}`);
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const numbers = this.#rest.slice(0, end).split(" ").map(Number);
    this.#rest = this.#rest.slice(end + 1);
    if (numbers.length !== count || !numbers.every(Number.isInteger)) {
      throw new BenchError(`${this.name}: no answer to ${question}`);
    }
    return numbers;
  }

  async end(): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#reader.cancel().catch(() => {});
    await this.#child.status;
  }
}

/** Builds a reference from c/; its path in `folder`. Throws BenchError with what the compiler said. */
export async function buildReference(
  folder: string,
  source: string,
  libraries: readonly string[] = [],
): Promise<string> {
  const out = `${folder}/${source}`;
  const from = new URL(`c/${source}.c`, import.meta.url).pathname;
  const args = ["-O2", "-Wall", "-Wextra", from, "-o", out, ...libraries.map((l) => `-l${l}`)];
  let said: string;
  try {
    const { success, stderr } = await new Deno.Command("cc", { args }).output();
    if (success) return out;
    said = new TextDecoder().decode(stderr);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    said = "there is no cc";
  }
  throw new BenchError(`cannot build c/${source}.c: ${said}`);
}

/** Our side of a group. `divisor`: all sizes are divided by it. */
export function ours(group: string, divisor: number, name = "ours"): Contender {
  const side = new URL("ours/main.ts", import.meta.url).pathname;
  return new Contender(name, Deno.execPath(), ["run", "--allow-read", side, group, `${divisor}`]);
}
