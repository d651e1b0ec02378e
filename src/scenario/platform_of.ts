import { findProfile, PROFILES } from "../machine/profile.ts";
import type { PlatformSpec } from "../platform/spec.ts";
import { NIC_PASID_BITS, type Scenario } from "./schema.ts";

/** What the platform is to be made of. `image` overrides the scenario's first kernel. */
export function platformSpec(scenario: Scenario, seed: number, image?: string): PlatformSpec {
  const { machine, kernel } = scenario;
  return {
    machine: {
      profile: findProfile(machine.profile) ?? PROFILES[0],
      memory: machine.memory,
      devices: machine.devices.map((d) => {
        const where = {
          id: d.id,
          bdf: d.bdf,
          ...(d.iommu !== undefined && { iommu: d.iommu }),
          ...(d.rmrr !== undefined && { rmrr: d.rmrr }),
        };
        return d.model === "nic"
          ? {
            ...where,
            model: d.model,
            interval: d.interval,
            packetBytes: d.packet,
            pasidBits: d.pasid === undefined ? 0 : NIC_PASID_BITS,
            aliased: d.aliased,
            pageRequests: d.page_requests,
          }
          : d.model === "bmc"
          ? { ...where, model: d.model, interval: d.interval }
          : { ...where, model: d.model, latency: d.latency };
      }),
    },
    pasids: new Map(
      machine.devices.flatMap((d) =>
        d.model === "nic" && d.pasid !== undefined ? [[d.id, d.pasid] as const] : []
      ),
    ),
    vms: machine.vms.map(({ ram_base, huge_pages, guest_iommu, ...vm }) => ({
      ...vm,
      ramBase: ram_base,
      hugePages: huge_pages,
      guestIommu: guest_iommu,
    })),
    kernel: image ?? kernel.image,
    cmdline: kernel.cmdline,
    guestmemfs: machine.guestmemfs,
    khoScratch: machine.kho_scratch,
    seed,
  };
}
