import { ms } from "../base/units.ts";
import { type AmdviCapability, DEFAULT_AMDVI_CAPABILITY } from "./amdvi/capability.ts";
import { type Bbml, DEFAULT_SMMU_CAPABILITY, type SmmuCapability } from "./smmuv3/capability.ts";
import { DEFAULT_CAPABILITY, SCALABLE_CAPABILITY, type VtdCapability } from "./vtd/capability.ts";

/** How long the stages of a live update take, in virtual nanoseconds. */
export interface Timing {
  /** reboot(2) to the jump: device shutdown, then copying the next kernel into place. */
  readonly shutdown: number;
  readonly jump: number;
  /** The new kernel up to its page allocator; IOMMU and PCI; init to the first program. */
  readonly earlyBoot: number;
  readonly devices: number;
  readonly userspace: number;
}

/** A machine type: what is soldered on, and how fast it boots. It has one kind of IOMMU, or none. */
export interface Profile {
  readonly name: string;
  readonly summary: string;
  readonly vtd?: VtdCapability;
  readonly smmu?: SmmuCapability;
  readonly amdvi?: AmdviCapability;
  readonly timing: Timing;
}

const PC_TIMING: Timing = {
  shutdown: 30 * ms,
  jump: 25 * ms,
  earlyBoot: 90 * ms,
  devices: 60 * ms,
  userspace: 110 * ms,
};

/** No firmware tables to interpret, but more and slower cores to stop and to bring up. */
const ARM_TIMING: Timing = {
  shutdown: 35 * ms,
  jump: 20 * ms,
  earlyBoot: 80 * ms,
  devices: 70 * ms,
  userspace: 110 * ms,
};

function smmuv3(bbml: Bbml, what: string): Profile {
  return {
    name: `arm-smmuv3-bbml${bbml}`,
    summary: `Arm SMMUv3, BBML ${bbml}: ${what}`,
    smmu: { ...DEFAULT_SMMU_CAPABILITY, bbml },
    timing: ARM_TIMING,
  };
}

export const PROFILES: readonly Profile[] = [
  {
    name: "intel-legacy",
    summary: "VT-d in legacy mode, 3- and 4-level tables, 2 MiB and 1 GiB superpages",
    vtd: DEFAULT_CAPABILITY,
    timing: PC_TIMING,
  },
  {
    name: "intel-scalable",
    summary: "VT-d in scalable mode: PASIDs, invalidation queue, dirty bits, up to 5 levels",
    vtd: SCALABLE_CAPABILITY,
    timing: PC_TIMING,
  },
  smmuv3(0, "a page may change its size only by way of an invalid entry"),
  smmuv3(1, "a page may change its size under an entry marked nT"),
  smmuv3(2, "a page may change its size at any time"),
  {
    name: "amd",
    summary: "AMD-Vi, version 1 tables of up to 6 levels",
    amdvi: DEFAULT_AMDVI_CAPABILITY,
    timing: PC_TIMING,
  },
  {
    name: "pc-no-iommu",
    summary: "no IOMMU at all, as a paravisor finds it: DMA goes to physical addresses",
    timing: PC_TIMING,
  },
];

export function findProfile(name: string): Profile | undefined {
  return PROFILES.find((p) => p.name === name);
}
