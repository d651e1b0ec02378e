/**
 * Whatever the emulation leaves open is decided here, by name: which free frame a boot writes on
 * first, which of two ready programs runs, whether a named fault point fires. Seeded chance,
 * "fail the n-th" and replay are small implementations of one interface.
 */
export interface Chooser {
  /**
   * An integer in 0..bound inclusive. `point` is a stable name; names that begin with `fault:`
   * are fault points, where 0 means "nothing goes wrong".
   */
  pick(point: string, bound: number): number;
}

const isFault = (point: string) => point.startsWith("fault:");

/** What is known of one point: whether it is a fault point, and how many decisions were made at it. */
interface Stream {
  readonly fault: boolean;
  readonly hash: number;
  count: number;
}

/** 32-bit FNV-1a of a name's UTF-16 code units. */
function hashName(name: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** A well-mixed 32-bit value of three words (the finaliser rounds of murmur3's shape). */
export function mix32(a: number, b: number, c: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b ^ 0x27d4eb2f, 0xc2b2ae35) ^ c;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Seeded choice. Every point draws from a stream of its own, so that a decision added in one
 * place leaves the decisions everywhere else as they were. Fault points stay quiet unless armed.
 */
export class SeededChooser implements Chooser {
  readonly seed: number;
  #streams = new Map<string, Stream>();
  #armed = new Map<string, number>();

  /** `seed`: any integer; its low 32 bits count. */
  constructor(seed: number) {
    this.seed = seed >>> 0;
  }

  /** Lets the fault point fire at its `nth` visit from now (1 = the next). */
  arm(point: string, nth = 1): void {
    this.#armed.set(point, nth);
  }

  /** Takes back {@link arm}. */
  disarm(point: string): void {
    this.#armed.delete(point);
  }

  /** Armed fault points, and at which visit from now each fires. */
  get armed(): readonly (readonly [point: string, nth: number])[] {
    return [...this.#armed];
  }

  pick(point: string, bound: number): number {
    const stream = this.#streams.get(point) ?? this.#begin(point);
    if (stream.fault) return this.#armed.size > 0 && this.#fires(point) ? Math.min(1, bound) : 0;
    if (bound <= 0) return 0;
    const word = mix32(this.seed, stream.hash, stream.count++);
    return Math.floor((word / 4294967296) * (bound + 1));
  }

  #begin(point: string): Stream {
    const stream = { fault: isFault(point), hash: hashName(point), count: 0 };
    this.#streams.set(point, stream);
    return stream;
  }

  #fires(point: string): boolean {
    const left = this.#armed.get(point);
    if (left === undefined) return false;
    if (left > 1) {
      this.#armed.set(point, left - 1);
      return false;
    }
    this.#armed.delete(point);
    return true;
  }
}

/** Fails the n-th visited fault point, whichever it is; every other decision is 0. */
export class FailNth implements Chooser {
  hits = 0;
  constructor(readonly nth: number) {}

  pick(point: string, bound: number): number {
    if (!isFault(point)) return 0;
    return ++this.hits === this.nth ? Math.min(1, bound) : 0;
  }

  get fired(): boolean {
    return this.nth > 0 && this.hits >= this.nth;
  }
}

/** Notes every decision of another chooser, so that {@link Replay} can make them again. */
export class Recorder implements Chooser {
  readonly decisions: { point: string; bound: number; value: number }[] = [];
  constructor(readonly inner: Chooser) {}

  pick(point: string, bound: number): number {
    const value = this.inner.pick(point, bound);
    this.decisions.push({ point, bound, value });
    return value;
  }
}

/** Makes recorded decisions again and throws where the run asks for different ones. */
export class Replay implements Chooser {
  #next = 0;
  constructor(readonly decisions: readonly { point: string; bound: number; value: number }[]) {}

  pick(point: string, bound: number): number {
    const decision = this.decisions[this.#next++];
    if (decision === undefined || decision.point !== point || decision.bound !== bound) {
      throw new Error(
        `replay diverged: asked for ${point} (0..${bound}), recorded ` +
          (decision ? `${decision.point} (0..${decision.bound})` : "nothing more"),
      );
    }
    return decision.value;
  }
}
