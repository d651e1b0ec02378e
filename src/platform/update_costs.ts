import type { CostCounts } from "../kernel/costs.ts";
import { costsSince } from "./cost_model.ts";
import type { Platform } from "./platform.ts";
import type { UpdateRecord } from "./live_update.ts";

/** What one update took, beside the time of its phases. Times in virtual nanoseconds. */
export interface UpdateCosts {
  /** Of the old kernel, from the start to the jump. */
  handingOver: CostCounts | undefined;
  /** Of the new kernel, from its first program to the end. */
  takingOver: CostCounts | undefined;
  /** Pages of I/O page tables when the first program ran. */
  tablesBefore: number;
  /** Longest time each device was out of touch with memory meanwhile, by id. */
  readonly blackouts: Map<string, number>;
  /** Per VM: since when its guest ran without all of its address space, and until when (-1: still). */
  readonly degraded: Map<string, { from: number; to: number }>;
}

export function noCosts(): UpdateCosts {
  return {
    handingOver: undefined,
    takingOver: undefined,
    tablesBefore: 0,
    blackouts: new Map(),
    degraded: new Map(),
  };
}

/** Keeps the books of one update, at the points its script tells. */
export class UpdateBooks {
  #then: CostCounts;

  constructor(readonly platform: Platform, readonly update: UpdateRecord) {
    this.#then = platform.kernel.costs.copy();
    for (const meter of platform.health.meters.all) meter.startWindow(platform.now);
  }

  jumping(): void {
    this.update.costs.handingOver = costsSince(this.platform.kernel.costs.copy(), this.#then);
  }

  restoring(): void {
    this.#then = this.platform.kernel.costs.copy();
    this.update.costs.tablesBefore = this.#then.tables;
  }

  ended(): void {
    const { platform, update } = this;
    if (update.costs.handingOver !== undefined) {
      update.costs.takingOver = costsSince(platform.kernel.costs.copy(), this.#then);
    }
    platform.spec.machine.devices.forEach(({ id }, fn) => {
      update.costs.blackouts.set(id, platform.health.meters.get(fn).windowGapAt(platform.now));
    });
  }
}
