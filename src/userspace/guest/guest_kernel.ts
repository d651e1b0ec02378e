import { PAGE_SIZE } from "../../base/units.ts";
import { canaryGpa, findCanaryDamage, writeCanary } from "./canary.ts";
import type { GuestCpu } from "./cpu.ts";
import { type GuestLayout, type GuestOptions, MAX_CANARIES, MAX_DEVICES } from "./layout.ts";
import { StatePage } from "./state_page.ts";

const MAGIC = 0x4b524e30;

/** Words of the kernel page. Wide ones take two. */
const enum Word {
  free = 2,
  end = 4,
  damagedGpa = 6,
  id = 8,
  steps,
  canaries,
  canaryNext,
  canaryChecked,
  canaryDamaged,
  nics,
  nvmes,
  /** State pages of the NICs, then of the NVMe controllers; two words each. */
  devices = 64,
  /** One bit for each canary that was found damaged. */
  damaged = 256,
}

/** Canary pages looked at in each step. */
const CANARIES_PER_STEP = 2;

/** The page in which the guest as a whole keeps its books: its devices, its canaries, its steps. */
export class GuestKernel {
  readonly #cpu: GuestCpu;
  readonly #page: StatePage;

  constructor(cpu: GuestCpu, gpa: number) {
    this.#cpu = cpu;
    this.#page = new StatePage(cpu, gpa, MAGIC);
  }

  /** False when the guest never booted here or its kernel page was written over. */
  get intact(): boolean {
    return this.#page.intact;
  }

  /** Writes the page and all canaries. */
  boot(options: GuestOptions, layout: GuestLayout): void {
    const page = this.#page;
    const end = options.ramBase + options.ramBytes;
    const free = (end - layout.free) / PAGE_SIZE;
    const canaries = Math.min(options.canaryPages ?? 256, free, MAX_CANARIES);
    page.format();
    page.set(Word.id, options.id);
    page.setWide(Word.free, layout.free);
    page.setWide(Word.end, end);
    page.set(Word.canaries, canaries);
    page.set(Word.nics, layout.nics.length);
    page.set(Word.nvmes, layout.nvmes.length);
    const states = [...layout.nics, ...layout.nvmes].map((placement) => placement.state);
    states.forEach((state, i) => page.setWide(Word.devices + 2 * i, state));
    for (let i = 0; i < canaries; i++) writeCanary(this.#cpu, options.id, this.#canary(i));
  }

  get steps(): number {
    return this.#page.get(Word.steps);
  }

  /** Canary pages there are, checks made, pages found damaged, and the first wrong address. */
  get canaries(): number {
    return this.#page.get(Word.canaries);
  }

  get canaryChecked(): number {
    return this.#page.get(Word.canaryChecked);
  }

  get canaryDamaged(): number {
    return this.#page.get(Word.canaryDamaged);
  }

  get firstDamage(): number | undefined {
    return this.canaryDamaged === 0 ? undefined : this.#page.getWide(Word.damagedGpa);
  }

  /** State pages of the devices, as written at boot. */
  get nicStates(): number[] {
    return this.#states(0, this.#page.get(Word.nics));
  }

  get nvmeStates(): number[] {
    return this.#states(this.#page.get(Word.nics), this.#page.get(Word.nvmes));
  }

  /** Counts a step and looks at the next canaries. */
  step(): void {
    this.#page.add(Word.steps, 1);
    const canaries = this.canaries;
    if (canaries === 0) return;
    let next = this.#page.get(Word.canaryNext);
    const first = this.#page.getWide(Word.free), end = this.#page.getWide(Word.end);
    for (let i = 0; i < CANARIES_PER_STEP; i++) {
      this.#check(next, canaryGpa(next, canaries, first, end));
      next = next + 1 < canaries ? next + 1 : 0;
    }
    this.#page.set(Word.canaryNext, next);
  }

  /** Looks at every canary at once. */
  checkAll(): void {
    for (let i = 0; i < this.canaries; i++) this.#check(i, this.#canary(i));
  }

  /** A damaged page stays as it is and counts once. */
  #check(index: number, canary: number): void {
    const page = this.#page;
    page.add(Word.canaryChecked, 1);
    const gpa = findCanaryDamage(this.#cpu, page.get(Word.id), canary);
    if (gpa < 0) return;
    const word = Word.damaged + (index >> 5), bit = 1 << (index & 31);
    const known = page.get(word);
    if (known & bit) return;
    page.set(word, known | bit);
    if (this.canaryDamaged === 0) page.setWide(Word.damagedGpa, gpa);
    page.add(Word.canaryDamaged, 1);
  }

  #canary(index: number): number {
    const page = this.#page;
    return canaryGpa(index, this.canaries, page.getWide(Word.free), page.getWide(Word.end));
  }

  #states(first: number, count: number): number[] {
    const states: number[] = [];
    for (let i = first; i < Math.min(first + count, MAX_DEVICES); i++) {
      states.push(this.#page.getWide(Word.devices + 2 * i));
    }
    return states;
  }
}
