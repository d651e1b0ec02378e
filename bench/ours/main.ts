/**
 * Our side of the pairs as a process of its own: reads the name of a benchmark a line and answers
 * "NANOSECONDS CHECKSUM", as the references in c/ do. Arguments: group, divisor of all sizes.
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { type Benchmark, takeTime } from "./side.ts";

const GROUPS: Record<string, (divisor: number) => Promise<Record<string, Benchmark>>> = {
  tables: async (divisor) => (await import("./tables.ts")).tables(divisor),
  devices: async (divisor) => (await import("./devices.ts")).devices(divisor),
  fdt: async (divisor) => (await import("./fdt.ts")).fdt(divisor),
  guest: async (divisor) => (await import("./guest.ts")).guest(divisor),
  handover: async (divisor) => (await import("./handover.ts")).handover(divisor),
  platform: async () => (await import("./platform.ts")).smallPlatforms(),
  frames: async (divisor) => (await import("../frames/ours.ts")).frameBenchmarks(divisor),
  "frames-by-hand": async (divisor) => (await import("../frames/by_hand.ts")).framesByHand(divisor),
};

const [group, divisor] = Deno.args;
const benchmarks = await GROUPS[group](Number(divisor));
for await (const name of createInterface({ input: process.stdin })) {
  const sum = benchmarks[name]();
  console.log(`${takeTime()} ${sum >>> 0}`);
}
