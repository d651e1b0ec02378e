/**
 * The counterpart of c/handover.c, but for all that it leaves out: a machine whose kernel maps the
 * memory of a guest by the calls of a VMM, is replaced by another one, which takes over the tables
 * once it has compared them with those that the VMM's calls make (`redrive`), under the eyes of health.
 */
import { GiB, MiB, PAGE_SIZE } from "../../src/base/units.ts";
import type { HeritableDomain } from "../../src/kernel/iommu/succession.ts";
import type { VtdUnit } from "../../src/machine/vtd/unit.ts";
import { ACCESS_WRITE, Walker } from "../../src/machine/vtd/walker.ts";
import { BulkUpdate } from "../../src/scenario/compare.ts";
import { type Benchmark, mix, takeTime, timed } from "./side.ts";

/** Where the guest's memory begins as devices see it. A quotient is a double until it is told otherwise. */
const FIRST_PAGE = ((4 * GiB + 2 * MiB) / PAGE_SIZE) | 0;

/** As many updates make a process warm, before the ones that count: the compiler has done its work. */
const WARM = 20;

/** `divisor`: all sizes are divided by it. */
export function handover(divisor: number): Record<string, Benchmark> {
  const once = (guest: number, page: number) => {
    const made = new BulkUpdate("redrive", { guest: guest * GiB / divisor, page });
    const pages = (guest * GiB / divisor / PAGE_SIZE) | 0;
    return timed(() => tableWork(made, pages, (page / PAGE_SIZE) | 0));
  };
  for (let i = 0; i < WARM; i++) {
    once(1, PAGE_SIZE);
    once(256, 2 * MiB);
  }
  takeTime();
  const update = (guest: number, page: number) => () => once(guest, page);
  return {
    "handover-1g-4k": update(1, PAGE_SIZE),
    "handover-8g-4k": update(8, PAGE_SIZE),
    "handover-64g-4k": update(64, PAGE_SIZE),
    "handover-64g-2m": update(64, 2 * MiB),
    "handover-256g-2m": update(256, 2 * MiB),
    "handover-1t-2m": update(1024, 2 * MiB),
  };
}

function tableWork(update: BulkUpdate, pages: number, step: number): number {
  const { platform } = update, base = ((platform.kernel.guestRange?.base ?? 0) / PAGE_SIZE) | 0;
  update.start();
  update.handOver();
  update.jump();
  update.restore();
  const { machine, iommu, costs } = platform.kernel;
  const domain = iommu.groups[0]?.domain as HeritableDomain;
  const { length } = domain.pages, root = domain.radix.root;
  const { capability } = machine.units[0] as VtdUnit;
  const walker = new Walker(machine.memory, capability);
  let walked = 0;
  for (let page = 0; page < pages; page = (page + step) | 0) {
    const iova = (FIRST_PAGE + page) | 0;
    const pfn = walker.walk(root, 4, iova >>> 20, iova << 12, ACCESS_WRITE);
    walked += pfn === ((base + page) | 0) ? 1 : 0;
  }
  const pointers = length - 1, leaves = costs.ptesCompared - pointers;
  // The next machine gets the memory, cleared: that is part of what this one takes.
  platform.dispose();
  return mix(mix(mix(length, 1), leaves), walked);
}
