import { formatSize, MiB } from "../base/units.ts";
import { findProfile, PROFILES } from "../machine/profile.ts";
import type { Scenario } from "./schema.ts";

/** What is wrong with memory that devices are to ask for: where, and why. */
export interface PagingComplaint {
  readonly message: string;
  readonly path: readonly PropertyKey[];
}

/**
 * A VM of which only a part is there needs devices that ask, all of them, behind a unit that can be
 * asked, and a VMM that answers.
 */
export function pagingComplaint({ machine }: Scenario): PagingComplaint | undefined {
  const able = PROFILES.filter((p) => p.vtd?.pageRequests).map((p) => p.name);
  const asked = findProfile(machine.profile)?.vtd?.pageRequests === true;
  for (const [i, vm] of machine.vms.entries()) {
    if (vm.resident === undefined) continue;
    const path = ["machine", "vms", i, "resident"];
    if (!asked) {
      return {
        message: `${machine.profile} takes no page requests, ${able.join(", ")} does`,
        path,
      };
    }
    const devices = machine.devices.filter((d) => vm.devices.includes(d.id));
    const mute = devices.find((d) => d.model !== "nic" || !d.page_requests);
    if (mute !== undefined) {
      const message = `${mute.id} does not ask for what it misses (page_requests of a nic): ` +
        `it needs all of ${vm.id}'s memory`;
      return { message, path };
    }
    if (vm.guest_iommu) return { message: "does not go with guest_iommu", path };
    // A card needs its ring and a buffer at a time.
    const least = devices.length * 4 * MiB;
    if (vm.resident < least) {
      return { message: `its devices need ${formatSize(least)} at a time to get on`, path };
    }
    if (vm.resident > vm.memory) return { message: "is more than its memory", path };
  }
  return undefined;
}
