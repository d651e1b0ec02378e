import { ENODEV } from "../../uapi/errno.ts";
import { IOMMUFD_PAGE_RESP_INVALID } from "../../uapi/iommufd.ts";
import { asksForPages } from "../pci/ats.ts";
import type { PciDev } from "../pci/pci.ts";
import type { IommuOps } from "./ops.ts";
import type { PageRequestGroup, PageRequestListener } from "./page_requests.ts";

/**
 * The pages a group's device asks for, and who is told of them: by PASID, 0 for requests without one.
 * A device that nobody listens to gets no page; one that waits for its heir is not told no: what it
 * asks for waits with it.
 */
export class PageFaults {
  readonly #listeners = new Map<number, PageRequestListener>();
  #parked: PageRequestGroup[] = [];
  /** It asked before the last {@link enable}. */
  #asked = false;

  constructor(readonly dev: PciDev, readonly ops: IommuOps) {}

  /** The device may ask, before somebody listens. ENODEV where it or its unit cannot; ENOMEM. */
  enable(): number {
    this.#asked = asksForPages(this.dev);
    return this.ops.pageRequests?.(this.dev, true) ?? -ENODEV;
  }

  /** Who is told from here on; undefined: nobody, and without anybody the device may not ask. */
  listen(pasid: number, listener: PageRequestListener | undefined): void {
    if (listener !== undefined) this.#listeners.set(pasid, listener);
    else this.#listeners.delete(pasid);
    this.give(pasid);
    if (this.#listeners.size === 0 && asksForPages(this.dev)) this.disable();
  }

  /** What the last {@link enable} was for did not come about. */
  undo(): void {
    if (!this.#asked) this.disable();
  }

  /** It may not ask any more, unless somebody listens. */
  disable(): void {
    if (this.#listeners.size === 0) this.ops.pageRequests?.(this.dev, false);
  }

  /** What was parked for a PASID goes to its listener; undefined: all of it to whoever there is. */
  give(pasid: number | undefined): void {
    const mine = (group: PageRequestGroup) => pasid === undefined || (group.pasid ?? 0) === pasid;
    const given = this.#parked.filter(mine);
    this.#parked = this.#parked.filter((group) => !mine(group));
    for (const group of given) this.report(group, false);
  }

  /** `waits`: the device waits for its heir, or for what that will attach. */
  report(group: PageRequestGroup, waits: boolean): void {
    const listener = this.#listeners.get(group.pasid ?? 0);
    if (listener !== undefined) listener(group);
    else if (waits) this.#parked.push(group);
    else group.respond(IOMMUFD_PAGE_RESP_INVALID);
  }
}
