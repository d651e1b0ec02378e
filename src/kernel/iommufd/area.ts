import { PAGE_SIZE } from "../../base/units.ts";
import { IOMMU_READ, IOMMU_WRITE } from "../../uapi/iommufd.ts";
import type { PagingDomain } from "../iommu/domain.ts";
import type { Area } from "./io_pagetable.ts";
import type { Run } from "./pages.ts";

/** First page number of an area's IOVAs, and how many pages it has. */
export function areaSpan(area: Area): { page: number; count: number } {
  const page = Number(area.start / BigInt(PAGE_SIZE));
  const bytes = Number(area.last - area.start) + 1 + area.pageOffset;
  return { page, count: Math.ceil(bytes / PAGE_SIZE) };
}

/** The frames of an area as its storage domain has them, in contiguous runs. */
function readBack(area: Area, domain: PagingDomain): Run[] {
  const { page, count } = areaSpan(area);
  const runs: { pfn: number; count: number }[] = [];
  for (let i = 0; i < count; i++) {
    const pfn = domain.translate(page + i);
    const last = runs[runs.length - 1];
    if (last !== undefined && last.pfn + last.count === pfn) last.count++;
    else runs.push({ pfn, count: 1 });
  }
  return runs;
}

/**
 * Maps an area into a domain. The frames come from the storage domain when there is one; else the
 * pages are pinned now, and this domain becomes the storage. Nothing stays mapped on failure.
 */
export function fillDomain(area: Area, domain: PagingDomain): number {
  const { page, count } = areaSpan(area);
  const first = area.storage === undefined;
  const runs = area.storage ? readBack(area, area.storage) : area.pages.pin(0, count);
  if (typeof runs === "number") return runs;
  const prot = area.prot & (IOMMU_READ | IOMMU_WRITE);
  let at = page;
  for (const run of runs) {
    const rc = domain.map(at, run.pfn, run.count, prot);
    if (rc < 0) {
      domain.unmap(page, at + run.count - page);
      if (first) area.pages.unpin(runs);
      return rc;
    }
    at += run.count;
  }
  if (first) area.storage = domain;
  return 0;
}

/**
 * Takes an area out of a domain. `heir`: the domain that becomes storage when `domain` was it;
 * with no heir the frames are read back from the domain one last time and unpinned.
 */
export function unfillDomain(
  area: Area,
  domain: PagingDomain,
  heir: PagingDomain | undefined,
): void {
  const { page, count } = areaSpan(area);
  if (area.storage !== domain) {
    domain.unmap(page, count);
    return;
  }
  if (heir !== undefined) {
    area.storage = heir;
    domain.unmap(page, count);
    return;
  }
  const runs = readBack(area, domain);
  domain.unmap(page, count);
  area.storage = undefined;
  area.pages.unpin(runs);
}
