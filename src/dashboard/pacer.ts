/** Most wall time that one frame may account for: a terminal that was stopped does not jump. */
const MAX_STEP_MS = 100;
/** Most real time spent on emulation per frame; virtual time lags behind rather than block. */
const BUDGET_MS = 25;
/** Virtual nanoseconds between two looks at the clock. */
const SLICE = 250_000;
/** How much wall time the pace is averaged over. */
const PACE_MS = 500;

/** What the pacer drives: a piece of virtual time. */
export interface Paced {
  runFor(ns: number): void;
}

/** Turns wall time into virtual time, at a speed, within a budget. */
export class Pacer {
  readonly #clock: () => number;
  #last: number | undefined;
  #wall = 0;
  #virtual = 0;
  #pace = 0;
  #speed = 0;

  /** `clock`: real time in milliseconds, which the budget is kept by. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Speed reached of late, as a multiple of wall time; 0 when not known yet. */
  get pace(): number {
    return this.#pace;
  }

  /** Time stands still: the next frame starts afresh. */
  rest(): void {
    this.#last = undefined;
    this.#wall = 0;
    this.#virtual = 0;
    this.#pace = 0;
  }

  /** A frame at wall time `now`: runs what has passed since the last one, times `speed`. */
  frame(paced: Paced, now: number, speed: number): void {
    // What was reached at another speed says nothing of this one.
    if (speed !== this.#speed) this.#wall = this.#virtual = this.#pace = 0;
    this.#speed = speed;
    const passed = Math.max(0, Math.min(MAX_STEP_MS, now - (this.#last ?? now)));
    this.#last = now;
    if (passed === 0) return;
    const done = this.run(paced, Math.round(passed * 1e6 * speed));
    this.#wall += passed;
    this.#virtual += done / 1e6;
    if (this.#wall < PACE_MS) return;
    this.#pace = this.#virtual / this.#wall;
    this.#wall = 0;
    this.#virtual = 0;
  }

  /** Runs up to `ns` of virtual time within the budget; returns how much it was. */
  run(paced: Paced, ns: number): number {
    const start = this.#clock();
    let done = 0;
    while (done < ns) {
      const slice = Math.min(SLICE, ns - done);
      paced.runFor(slice);
      done += slice;
      if (this.#clock() - start >= BUDGET_MS) break;
    }
    return done;
  }
}
