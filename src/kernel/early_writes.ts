import { MiB, PAGE_SIZE } from "../base/units.ts";
import { FrameUse } from "./mm/frames.ts";
import type { PageAllocator } from "./mm/page_alloc.ts";

/** Pages at random places that boot writes to, beside the ones from the bottom of free memory. */
const SCATTERED = 192;
const PLACE = { extent: "boot:page:extent", page: "boot:page" };
/** What boot leaves in pages it used: zeros, slab poison, words that look like pointers. */
const CONTENTS = [0, 0x6b6b6b6b, 0x5a5a5a5a, 0x00200063];

/**
 * Early boot uses memory: page structures, per-CPU areas, the unpacked initrd, the page cache of
 * init. All of it is written over, most of it is given back afterwards. Whatever of an earlier
 * kernel lay there without being preserved is lost.
 *
 * `total`: bytes of RAM. Returns the pages kept.
 */
export function earlyWrites(pages: PageAllocator, total: number): number {
  const { memory, chooser } = pages;
  const bytes = Math.min(64 * MiB, Math.max(4 * MiB, total / 64));
  const low = new Int32Array(Math.ceil(bytes / PAGE_SIZE));
  const taken = pages.allocPages(low, FrameUse.kernel);
  const scattered: number[] = [];
  for (let i = 0; i < SCATTERED; i++) {
    const pfn = pages.allocPageAnywhere(FrameUse.kernel, PLACE);
    if (pfn < 0) break;
    memory.fillFrames(pfn, 1, CONTENTS[chooser.pick("boot:content", CONTENTS.length - 1)]);
    scattered.push(pfn);
  }
  for (const pfn of scattered) pages.freeRange(pfn, 1);
  // The first three quarters go back: initrd and init sections. The rest is the kernel's own.
  const back = Math.floor(taken * 3 / 4);
  for (let i = 0; i < back;) {
    let end = i + 1;
    while (end < back && low[end] === low[end - 1] + 1) end++;
    pages.freeRange(low[i], end - i);
    i = end;
  }
  return taken - back;
}
