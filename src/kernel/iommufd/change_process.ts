import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import type { Account } from "./accounting.ts";
import { Ioas } from "./ioas.ts";
import type { Ucmd } from "./ioctls.ts";
import type { IoptPages } from "./pages.ts";

/**
 * IOMMU_IOAS_CHANGE_PROCESS: the pins of every IOAS count against the caller from now on. EINVAL:
 * some memory is a process's, not a file's; ENOMEM: the caller has no room for it all, and nothing
 * changed (FACTS 1.3).
 */
export function ioasChangeProcess({ task, ctx, payload }: Ucmd): number {
  const cmd = U.iommu_ioas_change_process.decode(payload);
  if (cmd.rsvd !== 0) return -E.EOPNOTSUPP;
  const ioases = ctx.objects.all.filter((o) => o instanceof Ioas);
  // Areas that share their pages are counted once.
  const all = new Set<IoptPages>();
  for (const area of ioases.flatMap((ioas) => ioas.iopt.areas.items)) {
    if (area.pages !== null) all.add(area.pages);
  }
  if ([...all].some((pages) => pages.source.kind !== "file")) return -E.EINVAL;
  const moved: [IoptPages, Account][] = [];
  for (const pages of all) {
    const account = pages.account?.movedTo(task);
    if (account === undefined) continue;
    const rc = account.charge(pages.pinned);
    if (rc < 0) {
      for (const [done, charged] of moved) charged.uncharge(done.pinned);
      return rc;
    }
    moved.push([pages, account]);
  }
  for (const [pages, account] of moved) {
    pages.account?.uncharge(pages.pinned);
    pages.account = account;
  }
  return 0;
}
