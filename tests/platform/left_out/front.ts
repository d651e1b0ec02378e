import type { AmdDriver } from "../../../src/kernel/iommu/amd/driver.ts";
import type { SmmuDriver } from "../../../src/kernel/iommu/arm/driver.ts";
import type { Kernel } from "../../../src/kernel/kernel.ts";

/**
 * Stands in front of what a kernel's IOMMU driver tells its units to forget, and swallows what it
 * is told to: a driver whose programmer left that out. The driver itself knows nothing of it.
 */
export class Front {
  #names: readonly string[] = [];
  /** Calls swallowed so far. */
  swallowed = 0;

  /** From here on, for units that the kernel has and for those it is yet to find. */
  install(kernel: Kernel): void {
    const driver = kernel.iommuDriver;
    if (kernel.intel !== undefined) this.#watch(kernel.intel.units, "invalidation");
    else if (driver?.name === "amd-vi") this.#watch((driver as AmdDriver).iommus, "commands");
    else this.#watch((driver as SmmuDriver).smmus, "commands");
  }

  /** Leaves these out while `run` lasts. */
  without<T>(names: readonly string[], run: () => T): T {
    this.#names = names;
    try {
      return run();
    } finally {
      this.#names = [];
    }
  }

  #watch(units: object[], property: string): void {
    for (const unit of units) this.#cover(unit, property);
    units.push = (...more: object[]) => {
      for (const unit of more) this.#cover(unit, property);
      return Array.prototype.push.apply(units, more);
    };
  }

  #cover(unit: object, property: string): void {
    let covered = this.#inFrontOf((unit as Record<string, object | undefined>)[property]);
    Object.defineProperty(unit, property, {
      get: () => covered,
      set: (real: object) => covered = this.#inFrontOf(real),
    });
  }

  #inFrontOf(real: object | undefined): object | undefined {
    if (real === undefined) return undefined;
    return new Proxy(real, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (!this.#names.includes(String(name))) return value.apply(target, args);
          this.swallowed++;
        };
      },
    });
  }
}
