/** A small platform in a process that has run others before. */
import { loadScenario } from "../../src/scenario/load.ts";
import { askRun, prepare } from "../../src/scenario/run.ts";
import { type Benchmark, IN_A_ROW, timed } from "./side.ts";

const SMALL = `
version: 1
name: small
description: A VM with one NIC goes through a live update and is shut down.
machine:
  memory: 128MiB
  guestmemfs: 32MiB
  kho_scratch: 8MiB
  devices: [{ id: nic0, model: nic, bdf: "3a:00.0", interval: 1ms, packet: 128B }]
  vms: [{ id: vm0, memory: 16MiB, devices: [nic0], ring: 256 }]
steps: [{ do: vm.start }, { do: update }, { do: vm.stop, with: { vm: vm0 } }]
expect: { update: done }
`;
/** As many as make a process warm, before those that count: then the compiler has done its work. */
const WARM = 1000;

/** Boot, live update, teardown, and the platform is gone. */
export function smallPlatforms(): Record<string, Benchmark> {
  const loaded = loadScenario(SMALL, "small");
  const once = () => {
    const verdict = askRun(prepare(loaded), ({ judgement }) => judgement.verdict);
    if (verdict !== "holds") throw new Error(`small platform: ${verdict}`);
  };
  const often = (times: number) => {
    for (let i = 0; i < times; i++) once();
  };
  often(WARM);
  return {
    "run-small-platform": () => {
      // Other programs ran since: the processor's caches are not the process's any more.
      often(IN_A_ROW);
      timed(() => often(IN_A_ROW));
      return 0;
    },
  };
}
