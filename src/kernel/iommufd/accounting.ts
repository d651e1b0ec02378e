import { PAGE_SIZE } from "../../base/units.ts";
import { ENOMEM } from "../../uapi/errno.ts";
import type { Task } from "../process/task.ts";
import { CAP_IPC_LOCK } from "../../uapi/capability.ts";
import type { User } from "../process/user.ts";

/** What pinned pages count as (FACTS 1.4, accounting modes). */
export type AccountMode = "none" | "user" | "mm";

/**
 * Whose limit the pins of a pages object count against: the process that mapped it, as it was then.
 * `none` for a process with CAP_IPC_LOCK, `user` as iommufd does it, `mm` as VFIO's type 1 did.
 */
export class Account {
  readonly user: User;

  constructor(readonly mode: AccountMode, readonly task: Task) {
    this.user = task.cred.user;
  }

  /** The account of what `task` maps through an iommufd that counts per user or per process. */
  static of(task: Task, perProcess: boolean): Account {
    if (task.cred.capable(CAP_IPC_LOCK)) return new Account("none", task);
    return new Account(perProcess ? "mm" : "user", task);
  }

  /**
   * The same account for another process, in the mode it was made with; undefined where nothing
   * changes hands: it is this process's already, or counts against nobody (FACTS 1.3,
   * IOAS_CHANGE_PROCESS).
   */
  movedTo(task: Task): Account | undefined {
    return this.mode === "none" || this.task === task ? undefined : new Account(this.mode, task);
  }

  /** ENOMEM: the pages would go beyond the process's RLIMIT_MEMLOCK; nothing is counted then. */
  charge(pages: number): number {
    const counter = this.#counter;
    const limit = Math.floor(this.task.memlock.soft / PAGE_SIZE);
    if (counter !== undefined && counter.lockedVm + pages > limit) return -ENOMEM;
    if (counter !== undefined) counter.lockedVm += pages;
    this.task.mm.pinnedVm += pages;
    return 0;
  }

  uncharge(pages: number): void {
    const counter = this.#counter;
    if (counter !== undefined) counter.lockedVm -= pages;
    this.task.mm.pinnedVm -= pages;
  }

  get #counter(): { lockedVm: number } | undefined {
    if (this.mode === "none") return undefined;
    return this.mode === "user" ? this.user : this.task.mm;
  }
}
