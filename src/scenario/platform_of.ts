import { findProfile, PROFILES } from "../machine/profile.ts";
import type { PlatformSpec } from "../platform/spec.ts";
import type { Scenario } from "./schema.ts";

/** What the platform is to be made of. `image` overrides the scenario's first kernel. */
export function platformSpec(scenario: Scenario, seed: number, image?: string): PlatformSpec {
  const { machine, kernel } = scenario;
  return {
    machine: {
      profile: findProfile(machine.profile) ?? PROFILES[0],
      memory: machine.memory,
      devices: machine.devices.map((d) =>
        d.model === "nic"
          ? { id: d.id, bdf: d.bdf, model: d.model, interval: d.interval, packetBytes: d.packet }
          : { id: d.id, bdf: d.bdf, model: d.model, latency: d.latency }
      ),
    },
    vms: machine.vms,
    kernel: image ?? kernel.image,
    guestmemfs: machine.guestmemfs,
    khoScratch: machine.kho_scratch,
    seed,
  };
}
