import type { Scenario } from "./schema.ts";
import { findProfile } from "../machine/profile.ts";

/** What is wrong with who drives what. */
export interface ProgramComplaint {
  readonly message: string;
  readonly vm: number;
  readonly key: "program" | "devices" | "dma";
}

/**
 * A paravisor drives one disk that no IOMMU covers. A VMM passes devices through, to a guest that
 * knows nothing of physical addresses: it takes none of those.
 */
export function programComplaint({ machine }: Scenario): ProgramComplaint | undefined {
  const profile = findProfile(machine.profile);
  const none = profile?.vtd === undefined && profile?.smmu === undefined &&
    profile?.amdvi === undefined;
  const byId = new Map(machine.devices.map((d) => [d.id, d]));
  const complaints = machine.vms.map((vm, i): ProgramComplaint | undefined => {
    const devices = vm.devices.flatMap((id) => byId.get(id) ?? []);
    const firmwares = devices.find((d) => d.model === "bmc");
    if (firmwares !== undefined) {
      return { message: `${firmwares.id} is firmware's own`, vm: i, key: "devices" };
    }
    const open = devices.find((d) => none || d.iommu === "none");
    if (vm.program === "vmm") {
      if (vm.dma !== "iommufd") return { message: "dma is a paravisor's", vm: i, key: "dma" };
      if (open === undefined) return undefined;
      const message = `a guest cannot drive ${open.id} itself: no IOMMU translates for it ` +
        "(program: paravisor can)";
      return { message, vm: i, key: "devices" };
    }
    if (devices.length === 1 && devices[0].model === "nvme" && open !== undefined) return undefined;
    const message = "a paravisor drives one disk (nvme) that no IOMMU covers (iommu: none)";
    return { message, vm: i, key: "program" };
  });
  return complaints.find((c) => c !== undefined);
}
