import { ms } from "../base/units.ts";
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

/** A machine type: what is soldered on, and how fast it boots. */
export interface Profile {
  readonly name: string;
  readonly summary: string;
  readonly vtd: VtdCapability;
  readonly timing: Timing;
}

const SERVER: Timing = {
  shutdown: 30 * ms,
  jump: 25 * ms,
  earlyBoot: 90 * ms,
  devices: 60 * ms,
  userspace: 110 * ms,
};

export const PROFILES: readonly Profile[] = [
  {
    name: "intel-legacy",
    summary: "VT-d in legacy mode, 3- and 4-level tables, 2 MiB and 1 GiB superpages",
    vtd: DEFAULT_CAPABILITY,
    timing: SERVER,
  },
  {
    name: "intel-scalable",
    summary: "VT-d in scalable mode: PASIDs, invalidation queue, dirty bits, up to 5 levels",
    vtd: SCALABLE_CAPABILITY,
    timing: SERVER,
  },
];

export function findProfile(name: string): Profile | undefined {
  return PROFILES.find((p) => p.name === name);
}
