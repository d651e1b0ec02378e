import { MiB, ms } from "../../../src/base/units.ts";
import type { Kernel } from "../../../src/kernel/kernel.ts";
import { findProfile } from "../../../src/machine/profile.ts";
import { type DumpFile, dumpOf } from "../../../src/platform/dump/dump.ts";
import type { State } from "../../../src/platform/dump/state.ts";
import { Platform } from "../../../src/platform/platform.ts";
import { throwAway } from "../../throw_away.ts";

/** What the caller of {@link dumpOf} would have on its disk. */
export interface Kept {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly notes: readonly string[];
}

export function bytesOf(file: DumpFile): Uint8Array {
  const bytes = new Uint8Array(file.size);
  let at = 0;
  for (const chunk of file.chunks()) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  if (at !== file.size) throw new Error(`${file.name}: ${at} bytes of ${file.size}`);
  return bytes;
}

export function keep(kernel: Kernel, n: number): Kept {
  const { files, notes } = dumpOf(kernel, n);
  return { files: new Map(files.map((f) => [f.name, bytesOf(f)])), notes };
}

export function fileOf(kept: Kept, name: string): Uint8Array {
  const bytes = kept.files.get(name);
  if (bytes === undefined) throw new Error(`no ${name}`);
  return bytes;
}

export function stateIn(kept: Kept, n: number): State {
  return JSON.parse(new TextDecoder().decode(fileOf(kept, `state-${n}.json`))) as State;
}

/** A small machine: a persistent VM with a NIC, and one with a disk that is not persistent. */
export function platform(seed = 1, kernel = "rfc-v1"): Platform {
  const made = throwAway(
    new Platform({
      machine: {
        profile: findProfile("intel-legacy")!,
        memory: 128 * MiB,
        devices: [
          { id: "nic0", bdf: "3a:00.0", model: "nic", interval: 200_000, packetBytes: 256 },
          { id: "nvme0", bdf: "3b:02.0", model: "nvme", latency: 2 * ms },
        ],
      },
      vms: [
        { id: "vm0", memory: 16 * MiB, persistent: true, devices: ["nic0"], ring: 256 },
        { id: "vm1", memory: 8 * MiB, persistent: false, devices: ["nvme0"], ring: 256 },
      ],
      kernel,
      guestmemfs: 32 * MiB,
      khoScratch: 16 * MiB,
      seed,
    }),
  );
  made.runFor(300 * ms);
  for (const vm of made.spec.vms) made.startVm(vm);
  made.runFor(50 * ms);
  return made;
}

/** Runs `jumps` live updates to `image`; what `look` made of each jump. */
export function updates<T>(
  on: Platform,
  jumps: number,
  look: (kernel: Kernel, n: number) => T,
  image = on.spec.kernel,
): T[] {
  const seen: T[] = [];
  on.onJump = (kernel, n) => seen.push(look(kernel, n));
  for (let i = 0; i < jumps; i++) {
    on.startUpdate(image);
    on.runFor(500 * ms);
  }
  return seen;
}
