import { EBUSY } from "../../../uapi/errno.ts";
import type { Kernel } from "../../kernel.ts";
import type { DmarDomain } from "./domain.ts";

/** Persistent domains by id: what the next dump is made of (seed line 1222). */
export class PersistentDomains {
  readonly #byId = new Map<number, DmarDomain>();

  constructor(readonly kernel: Kernel) {}

  /** EBUSY where another domain has the id. */
  insert(id: number, domain: DmarDomain): number {
    if (this.#byId.has(id)) {
      if (!this.kernel.has("D52")) return -EBUSY;
      this.kernel.dmesg.warn(`Unable to track persistent domain ${id}`);
    } else this.#byId.set(id, domain);
    return 0;
  }

  /** The domain is no more. */
  erase(domain: DmarDomain): void {
    if (this.kernel.has("D51")) return;
    if (this.#byId.get(domain.persistentId) === domain) this.#byId.delete(domain.persistentId);
  }

  get(id: number): DmarDomain | undefined {
    return this.#byId.get(id);
  }

  /** By ascending id. */
  get all(): DmarDomain[] {
    return [...this.#byId].sort(([a], [b]) => a - b).map(([, domain]) => domain);
  }
}
