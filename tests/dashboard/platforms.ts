/** Platforms that the dashboard is tried on. */

import { MiB, ms } from "../../src/base/units.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { Timeline } from "../../src/operations/timeline.ts";
import { Platform } from "../../src/platform/platform.ts";
import type { PlatformSpec } from "../../src/platform/spec.ts";
import type { Session } from "../../src/dashboard/mod.ts";

const nic = { model: "nic", interval: 200_000, packetBytes: 256 } as const;

/** Three VMs: two are handed over with their devices, the third is not. */
export const DEMO: Omit<PlatformSpec, "kernel"> = {
  machine: {
    profile: findProfile("intel-legacy")!,
    memory: 512 * MiB,
    devices: [
      { id: "nic0", bdf: "3a:00.0", ...nic },
      { id: "nvme0", bdf: "3b:00.0", model: "nvme", latency: 2_000_000 },
      { id: "nic1", bdf: "3c:00.0", ...nic },
      { id: "nic2", bdf: "3d:00.0", ...nic },
    ],
  },
  vms: [
    { id: "vm0", memory: 32 * MiB, persistent: true, devices: ["nic0", "nvme0"], ring: 4096 },
    { id: "vm1", memory: 16 * MiB, persistent: true, devices: ["nic1"], ring: 4096 },
    { id: "vm2", memory: 16 * MiB, persistent: false, devices: ["nic2"], ring: 4096 },
  ],
  guestmemfs: 64 * MiB,
  khoScratch: 16 * MiB,
  seed: 1,
};

/** A machine on which the VMs are started as soon as it is up, run for `warm` of virtual time. */
export function sessionOf(spec: PlatformSpec, warm: number, title = "demo"): Session {
  const start = { do: "vm.start", with: {}, args: {}, expected: "0" };
  const timeline = new Timeline(() => new Platform(spec), spec.kernel, [start]);
  timeline.runFor(warm);
  return { timeline, title, image: spec.kernel };
}

/** The demo, its VMs running. */
export function demoSession(image = "rfc-v1", warm = 700 * ms): Session {
  return sessionOf({ ...DEMO, kernel: image }, warm);
}

/** One VM with one NIC: cheap enough to run often. */
export function smallSession(image = "rfc-v1", warm = 700 * ms): Session {
  return sessionOf(
    {
      machine: {
        profile: findProfile("intel-legacy")!,
        memory: 256 * MiB,
        devices: [{ id: "nic0", bdf: "3a:00.0", ...nic }],
      },
      vms: [{ id: "vm0", memory: 16 * MiB, persistent: true, devices: ["nic0"], ring: 4096 }],
      kernel: image,
      guestmemfs: 32 * MiB,
      khoScratch: 16 * MiB,
      seed: 1,
    },
    warm,
    "small",
  );
}
