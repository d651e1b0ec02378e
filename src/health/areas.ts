import type { IntervalTree } from "../base/interval_tree.ts";
import { hex, PAGE_SIZE } from "../base/units.ts";
import type { Area } from "../kernel/iommufd/area.ts";
import { HwptPaging } from "../kernel/iommufd/hwpt.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Frames } from "../machine/frame_runs.ts";
import { IOMMU_READ, IOMMU_WRITE } from "../uapi/iommufd.ts";
import type { Look } from "./checks.ts";
import type { Context, UnitReader } from "./translation.ts";

/** The tables that devices on an address space go by, against its areas: frame by frame, both ways. */
export function areasMapped(kernel: Kernel, units: readonly UnitReader[], look: Look): void {
  const hwpts = kernel.iommufd.contexts.flatMap((ctx) =>
    ctx.objects.all.filter((object) => object instanceof HwptPaging)
  );
  if (hwpts.length === 0) return;
  const byRoot = units.map((unit) => firstByRoot(unit.live.contexts));
  for (const hwpt of hwpts) {
    for (const [i, unit] of units.entries()) {
      const context = byRoot[i].get(hwpt.domain.pgd);
      if (context !== undefined) compare(kernel, unit, context, hwpt, look);
    }
  }
}

/** Of the contexts that lead to the same tables the first. */
function firstByRoot(contexts: readonly Context[]): Map<number, Context> {
  const found = new Map<number, Context>();
  for (const context of contexts) if (!found.has(context.root)) found.set(context.root, context);
  return found;
}

function compare(
  kernel: Kernel,
  unit: UnitReader,
  context: Context,
  { ioas: { iopt } }: HwptPaging,
  look: Look,
): void {
  const areas = iopt.areas.items;
  if (areas.length > 0) look.premises.add("areas-attached");
  for (const area of areas) {
    const wrong = missing(kernel, unit, context, area);
    if (wrong !== undefined) return report(look, context, wrong.page, wrong.detail);
  }
  let extra = -1;
  unit.eachLeaf(context, (page, _, span) => {
    const bare = uncovered(iopt.areas, page, page + span);
    if (bare >= 0 && extra < 0 && unit.lookUp(context, bare) !== undefined) extra = bare;
  });
  if (extra >= 0) report(look, context, extra, "is in the tables, and no area has it");
}

/** The first page of [page, end) that no area has, -1: none. */
function uncovered(areas: IntervalTree<bigint, Area>, page: number, end: number): number {
  while (page < end) {
    const iova = BigInt(page) * BigInt(PAGE_SIZE), area = areas.first(iova, iova);
    if (area === undefined) return page;
    page = area.page + area.count;
  }
  return -1;
}

/** The first page of an area that the tables have otherwise. */
function missing(
  kernel: Kernel,
  unit: UnitReader,
  context: Context,
  area: Area,
): { page: number; detail: string } | undefined {
  for (let i = 0; i < area.count;) {
    const page = area.page + i;
    const found = unit.lookUp(context, page);
    if (found === undefined) return { page, detail: "is in an area, and not in the tables" };
    const may = (bit: number) => (area.prot & bit) !== 0;
    if (found.read !== may(IOMMU_READ) || found.write !== may(IOMMU_WRITE)) {
      return { page, detail: "has other permissions in the tables than in its area" };
    }
    // Within like entries, and blocks of a file that lie side by side, one page tells of all.
    const alike = unit.run?.(context, page) ?? found.span - page % found.span;
    const file = framesOf(kernel, area, i, alike);
    if (file !== undefined && file.pfn !== found.pfn) {
      const is = hex(found.pfn * PAGE_SIZE);
      const of = file.count === 0
        ? "the file ends before"
        : `the file has ${hex(file.pfn * PAGE_SIZE)}`;
      return { page, detail: `leads to ${is}, where ${of}` };
    }
    i += file?.count ?? alike;
  }
  return undefined;
}

/**
 * Frames of an area's pages from `index` on by the file it shows, as many of `count` as lie side by side;
 * none beyond its end. Undefined for other memory.
 */
function framesOf(kernel: Kernel, area: Area, index: number, count: number): Frames | undefined {
  const file = area.pages?.source.persistent, fs = kernel.guestmemfs;
  if (file === undefined || fs === undefined) return undefined;
  return fs.runOfPages(fs.sb.inode(file.handle), pageOf(area, index), count);
}

/** Page of the file that an area's page shows. */
function pageOf(area: Area, index: number): number {
  const offset = area.pages?.source.persistent?.offset ?? 0;
  return Math.floor(offset / PAGE_SIZE) + area.first + index;
}

function report(look: Look, { sid }: Context, page: number, detail: string): void {
  look.findings.push({
    invariant: "areas-mapped",
    subject: look.nameOf(sid),
    address: page * PAGE_SIZE,
    detail: `IOVA ${hex(page * PAGE_SIZE)} ${detail}`,
  });
}
