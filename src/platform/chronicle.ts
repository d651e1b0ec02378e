/** When a kernel had the machine. Times in virtual nanoseconds; -1: not so far. */
export interface Reign {
  /** It took over: power-on, or the jump of the one before. */
  readonly from: number;
  /** It ran its first program. */
  ready: number;
  /** reboot(2) was called: from then on there is none, until the next takes over. */
  left: number;
}

/** When a VM had a VMM. `to` -1: it has one. */
export interface Life {
  readonly from: number;
  to: number;
}

/** Who ran the machine, and which guests, from power-on until now: what a time line is drawn from. */
export class Chronicle {
  readonly reigns: Reign[] = [];
  readonly #lives = new Map<string, Life[]>();

  constructor(readonly now: () => number) {}

  /** A kernel takes over; no program of the one before outlives it. */
  begins(): void {
    this.lookAt(() => false);
    this.reigns.push({ from: this.now(), ready: -1, left: -1 });
  }

  isReady(): void {
    const last = this.reigns[this.reigns.length - 1];
    if (last.ready < 0) last.ready = this.now();
  }

  leaves(): void {
    this.reigns[this.reigns.length - 1].left = this.now();
  }

  starts(vm: string): void {
    const lives = this.#lives.get(vm) ?? [];
    lives.push({ from: this.now(), to: -1 });
    this.#lives.set(vm, lives);
  }

  /** Some program has ended, perhaps: those that do not run any more have ended now. */
  lookAt(runs: (vm: string) => boolean): void {
    for (const [vm, lives] of this.#lives) {
      const last = lives[lives.length - 1];
      if (last.to < 0 && !runs(vm)) last.to = this.now();
    }
  }

  livesOf(vm: string): readonly Life[] {
    return this.#lives.get(vm) ?? [];
  }
}
