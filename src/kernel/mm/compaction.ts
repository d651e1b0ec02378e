import type { Dmesg } from "../dmesg.ts";
import type { PageAllocator } from "./page_alloc.ts";
import { FrameUse } from "./frames.ts";
import type { UserPages } from "./user_pages.ts";

/** Pages, from the top of free memory, among which one is chosen. */
const WINDOW = 64;

/**
 * Memory compaction: pages of programs that nobody has pinned go from the bottom of memory to free
 * places at its top, so that below there is room in one piece. A program does not notice, since its
 * page tables follow; whoever keeps a physical address of such a page does. mlock(2) is no pin:
 * locked pages stay in memory, not in place (vm.compact_unevictable_allowed is 1).
 */
export class Compaction {
  /** Pages moved since boot. */
  moved = 0;

  constructor(
    readonly pages: PageAllocator,
    readonly userPages: UserPages,
    readonly dmesg: Dmesg,
  ) {}

  /** Moves what can be moved until both ends meet. Number of pages. */
  run(): number {
    let moved = 0;
    for (const pfn of this.userPages.movable()) {
      const to = this.pages.allocAbove(pfn, FrameUse.user, WINDOW, "compact:target");
      if (to < 0) break;
      this.userPages.move(pfn, to);
      moved++;
    }
    this.moved += moved;
    if (moved > 0) this.dmesg.info(`compaction: ${moved} pages migrated`);
    return moved;
  }
}
