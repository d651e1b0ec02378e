import type { EventQueue } from "../base/event_queue.ts";

/**
 * What an operator does, step by step: a generator that yields either nanoseconds to wait or a
 * condition to wait for. Conditions are looked at whenever something told {@link Director.poke},
 * never by the clock, so that watching does not change a run.
 */
export type Script<T = void> = Generator<number | (() => boolean), T, void>;

interface Waiting {
  readonly script: Script;
  /** undefined while a timer runs. */
  condition: (() => boolean) | undefined;
  timer: number;
  done: boolean;
}

/** Runs scripts beside the emulation, on the emulation's own queue. */
export class Director {
  readonly #queue: EventQueue;
  readonly #wake: number;
  readonly #timer: number;
  #waiting: Waiting[] = [];
  #timers = 0;
  #poked = false;

  constructor(queue: EventQueue) {
    this.#queue = queue;
    this.#wake = queue.register(() => {
      this.#poked = false;
      this.#runReady();
    });
    this.#timer = queue.register((n) => {
      const w = this.#waiting.find((x) => x.timer === n);
      if (w !== undefined) this.#advance(w);
    });
  }

  /** Starts a script at the present moment. The returned function tells whether it has ended. */
  start(script: Script): () => boolean {
    const w: Waiting = { script, condition: undefined, timer: -1, done: false };
    this.#waiting.push(w);
    this.#advance(w);
    return () => w.done;
  }

  /** Something changed: conditions are looked at, from the queue. */
  poke(): void {
    if (this.#poked) return;
    this.#poked = true;
    this.#queue.after(0, this.#wake);
  }

  /** Scripts that have not ended. */
  get busy(): boolean {
    return this.#waiting.length > 0;
  }

  #runReady(): void {
    for (const w of [...this.#waiting]) {
      if (!w.done && w.condition !== undefined && w.condition()) this.#advance(w);
    }
  }

  #advance(w: Waiting): void {
    w.condition = undefined;
    w.timer = -1;
    for (;;) {
      const step = w.script.next();
      if (step.done) {
        w.done = true;
        this.#waiting = this.#waiting.filter((x) => x !== w);
        // Others may wait for exactly this.
        this.poke();
        return;
      }
      if (typeof step.value === "number") {
        w.timer = this.#timers++;
        this.#queue.after(step.value, this.#timer, w.timer);
        return;
      }
      w.condition = step.value;
      if (!step.value()) return;
    }
  }
}
