/**
 * `deno task bench:idle`: what a network card that does nothing takes, heap and buffers together: in
 * the machine with its meters, and what a kernel knows of it besides.
 */
import { GiB, MiB, ms } from "../src/base/units.ts";
import { PROFILES } from "../src/machine/profile.ts";
import { Platform } from "../src/platform/platform.ts";
import { formatBdf } from "../src/uapi/pci_regs.ts";

const FEW = 10, MANY = 10_010;
const { gc } = globalThis as { gc?: () => void };
if (gc === undefined) throw new Error("wants --v8-flags=--expose-gc");

function used(): number {
  // What is found dead in one pass may keep something else alive until the next.
  for (let i = 0; i < 4; i++) gc!();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** A platform with so many cards, and bytes before it, with its machine made, and booted. */
function measured(count: number): { platform: Platform; bytes: number[] } {
  const devices = Array.from({ length: count }, (_, fn) => ({
    id: `nic${fn}`,
    bdf: formatBdf(fn >> 8, fn & 255),
    model: "nic" as const,
    interval: 10 * ms,
    packetBytes: 256,
  }));
  const before = used();
  const platform = new Platform({
    machine: { profile: PROFILES[0], memory: GiB, devices },
    vms: [],
    kernel: "rfc-v1",
    guestmemfs: 64 * MiB,
    khoScratch: 16 * MiB,
    seed: 1,
  });
  const made = used();
  while (!platform.settled) platform.runFor(ms);
  return { platform, bytes: [before, made, used()] };
}

// Code that is compiled belongs to nobody.
measured(FEW);
const few = measured(FEW), many = measured(MANY);
const perDevice = (from: number, to: number) => {
  const grown = ({ bytes }: { bytes: number[] }) => bytes[to] - bytes[from];
  return Math.round((grown(many) - grown(few)) / (MANY - FEW));
};
console.log(`an idle card: ${perDevice(0, 1)} bytes in the machine, with its meters`);
console.log(`              ${perDevice(1, 2)} more once a kernel knows it`);
if (!many.platform.settled || !few.platform.settled) throw new Error("a platform is not up");
