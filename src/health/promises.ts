/**
 * What was promised to whom: that a device's DMA goes on through a kexec. A promise is on the road
 * from the jump until the guest has its devices back; nobody may stop the device meanwhile.
 */
export class Promises {
  readonly #stands: boolean[] = [];
  /** Functions whose DMA was given up for a time: what it costs them is nobody's fault. */
  readonly #suspended = new Set<number>();
  readonly #excused: number[] = [];
  readonly #crossing = new Set<number>();
  /** Functions that were stopped under a paused guest, before the jump. */
  readonly #stopped = new Set<number>();

  /** The guest runs with the device (`stands`), or is given up. */
  set(fn: number, stands: boolean): void {
    this.#stands[fn] = stands;
    this.#suspended.delete(fn);
    this.#crossing.delete(fn);
    this.#stopped.delete(fn);
  }

  /** The guest goes on and its DMA does not, until {@link set}; `taken` false: nothing came of that. */
  suspend(fn: number, taken: boolean): void {
    if (taken) this.#suspended.add(fn);
    else this.#suspended.delete(fn);
  }

  /** A DMA failed: true where that breaks the promise. */
  failed(fn: number): boolean {
    if (this.#suspended.has(fn)) this.#excused[fn] = this.excused(fn) + 1;
    return this.stands(fn);
  }

  /** DMAs that failed while the function's DMA was given up for a time. */
  excused(fn: number): number {
    return this.#excused[fn] ?? 0;
  }

  stands(fn: number): boolean {
    return (this.#stands[fn] ?? false) && !this.#suspended.has(fn);
  }

  jumped(fn: number): void {
    if (this.stands(fn)) this.#crossing.add(fn);
  }

  crossing(fn: number): boolean {
    return this.#crossing.has(fn);
  }

  /** Whoever gives a paused guest up stops its devices first: it is broken once it still stands. */
  stopped(fn: number): void {
    this.#stopped.add(fn);
  }

  /** Functions that were stopped while their promise stands; each is told once. */
  takeStopped(): number[] {
    const broken = [...this.#stopped].filter((fn) => this.stands(fn));
    this.#stopped.clear();
    return broken;
  }
}
