import type { Script } from "../platform/director.ts";
import type { Platform } from "../platform/platform.ts";
import { errnoName } from "../uapi/errno.ts";
import { OPERATIONS } from "./table.ts";
import type { Outcome, Session } from "./types.ts";

/** Something an operator does, or means to do. */
export interface Action {
  /** Name of the operation. */
  readonly do: string;
  /** Its arguments as they were written, and as the operation wants them. */
  readonly with: Readonly<Record<string, unknown>>;
  readonly args: Record<string, unknown>;
  /** A name for reports, instead of the operation's. */
  readonly id?: string;
  /**
   * Virtual time it begins at, whatever else goes on, after everything else of that nanosecond.
   * Undefined: when the action before it that has no time of its own has ended.
   */
  readonly at?: number;
  /** What it is to answer: "0", the name of an errno, or "any". */
  readonly expected: string;
}

/** How one action went. */
export interface StepResult {
  /** Its place in the plan. */
  readonly index: number;
  readonly name: string;
  readonly action: Action;
  /** Just before it began. */
  readonly before: Moment;
  readonly startedAt: number;
  endedAt: number;
  /** undefined: it has not answered. */
  outcome: Outcome | undefined;
  readonly expected: string;
  ok: boolean;
}

/** A point in a run, exactly: several events may happen in one nanosecond. */
export interface Moment {
  /** Virtual nanoseconds; a time before the last event's means that event's. */
  readonly time: number;
  /** Events of the queue that have run. */
  readonly events: number;
  /** Actions with a time of their own that have begun. */
  readonly begun: number;
}

/** `vm=vm0 nth=2`: arguments as one writes them. */
export function argumentText(given: Readonly<Record<string, unknown>>): string {
  return Object.entries(given).map(([name, value]) => `${name}=${String(value)}`).join(" ");
}

/**
 * A platform and everything that is done to it, at which virtual time. The same plan on a platform
 * made anew comes to the same moment again: scenarios, going back in time and saved sessions are
 * all this.
 */
export class Timeline {
  readonly platform: Platform;
  readonly results: StepResult[] = [];
  readonly session: Session;
  readonly #plan: Action[];
  readonly #dropped = new Set<number>();
  /** Places in the plan of actions with a time, in the order of the times. */
  #timed: number[] = [];
  #begun = 0;
  #sequenceEnded: () => boolean;
  #failed = false;
  /** Actions that have begun and not ended. */
  #open = 0;

  /**
   * `make`: the platform as it is before anything is done. `image`: what an update boots.
   * `carryOn`: go on after an action that came to something else than was expected.
   */
  constructor(
    readonly make: () => Platform,
    readonly image: string,
    plan: readonly Action[],
    readonly options: { readonly carryOn?: boolean } = {},
  ) {
    this.platform = make();
    this.session = { platform: this.platform, image, descriptors: new Map() };
    this.#plan = [...plan];
    this.#sort();
    this.#sequenceEnded = this.platform.run(this.#sequence());
  }

  #sort(): void {
    const at = (i: number) => this.#plan[i].at ?? 0;
    this.#timed = [...this.#plan.keys()]
      .filter((i) => this.#plan[i].at !== undefined && !this.#dropped.has(i))
      .sort((a, b) => at(a) - at(b));
  }

  /** Everything that was done or will be. */
  get plan(): readonly Action[] {
    return this.#plan.filter((_, i) => !this.#dropped.has(i));
  }

  get now(): number {
    return this.platform.now;
  }

  get moment(): Moment {
    const { queue } = this.platform.machine;
    return { time: queue.now, events: queue.ran, begun: this.#begun };
  }

  /** Actions with a time that have not begun: what a run that was gone back in will do again. */
  get ahead(): readonly Action[] {
    return this.#timed.slice(this.#begun).map((i) => this.#plan[i]);
  }

  /** Time of the next action, Infinity when there is none. */
  get nextAt(): number {
    if (this.#begun >= this.#timed.length) return Infinity;
    return this.#plan[this.#timed[this.#begun]].at ?? Infinity;
  }

  /** An action came to something else than was expected: there is nothing to build the next on. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Every action has ended, or one has failed. */
  get ended(): boolean {
    if (this.#failed) return true;
    return this.nextAt === Infinity && this.#open === 0 && this.#sequenceEnded();
  }

  /** Some action has begun and not ended. */
  get busy(): boolean {
    return this.#open > 0;
  }

  /** Does something now. What was ahead is given up: from here on the run is another one. */
  act(action: Omit<Action, "at" | "expected">): StepResult {
    this.settle();
    for (const i of this.#timed.slice(this.#begun)) this.#dropped.add(i);
    this.#plan.push({ ...action, at: this.now, expected: "any" });
    this.#sort();
    return this.#begin();
  }

  /** Runs the rest of this nanosecond. What is to be done by hand in it is not begun. */
  settle(): void {
    this.platform.machine.queue.runUntil(this.now);
  }

  runFor(ns: number): void {
    this.runTo(this.now + ns);
  }

  /** Runs everything up to and including a time. */
  runTo(time: number): void {
    const { queue } = this.platform.machine;
    while (this.nextAt <= time) {
      queue.runUntil(this.nextAt);
      this.#begin();
    }
    queue.runUntil(time);
  }

  /** The next event, or the beginning of an action where that comes first. False: nothing is left. */
  step(): boolean {
    const { queue } = this.platform.machine;
    if (this.nextAt >= queue.nextTime) return queue.step();
    queue.runUntil(this.nextAt);
    this.#begin();
    return true;
  }

  /** Runs at most `steps` events towards a moment that lies ahead; true when it is there. */
  towards(to: Moment, steps: number): boolean {
    const { queue } = this.platform.machine;
    for (let n = 0; queue.ran < to.events; n++) if (n >= steps || !this.step()) return false;
    while (this.#begun < to.begun) this.#begin();
    if (queue.nextTime > to.time) queue.runUntil(to.time);
    return true;
  }

  /** The same plan from the start. */
  again(): Timeline {
    return new Timeline(this.make, this.image, this.plan, this.options);
  }

  #begin(): StepResult {
    const result = this.#resultOf(this.#timed[this.#begun]);
    this.#begun++;
    this.platform.run(this.#perform(result));
    return result;
  }

  /** The actions without a time, one after the other. */
  *#sequence(): Script {
    yield () => this.platform.settled;
    for (const [index, action] of this.#plan.entries()) {
      if (action.at !== undefined) continue;
      const result = this.#resultOf(index);
      yield* this.#perform(result);
      if (this.#failed) return;
    }
  }

  #resultOf(index: number): StepResult {
    const action = this.#plan[index];
    const result: StepResult = {
      index,
      name: action.id ?? action.do,
      action,
      before: this.moment,
      startedAt: this.now,
      endedAt: -1,
      outcome: undefined,
      expected: action.expected,
      ok: false,
    };
    this.results.push(result);
    this.#open++;
    return result;
  }

  *#perform(result: StepResult): Script {
    const { platform } = this;
    const { action } = result;
    platform.note(`${action.do} ${argumentText(action.with)}`.trimEnd());
    const operation = OPERATIONS.get(action.do);
    if (operation === undefined) throw new Error(`no operation ${action.do}`);
    const outcome = yield* operation.run(this.session, action.args);
    this.#open--;
    result.outcome = outcome;
    result.endedAt = this.now;
    result.ok = action.expected === "any" || answer(outcome) === action.expected;
    platform.health.check(platform.kernel);
    if (!result.ok && !this.options.carryOn) this.#failed = true;
  }
}

/** "0" or the name of the errno. */
export function answer(outcome: Outcome): string {
  return outcome.errno === 0 ? "0" : errnoName(outcome.errno);
}
