import type { Machine } from "../machine/machine.ts";
import { readAmd } from "./amd.ts";
import { readSmmu } from "./smmu.ts";
import type { UnitReader } from "./translation.ts";
import { readVtd } from "./vtd.ts";

/** Every unit of the machine, whatever its kind, as it stands now. Each is asked of its own contexts. */
export function readUnits(machine: Machine): UnitReader[] {
  const { memory } = machine;
  return [
    ...machine.units.map((unit) => readVtd(memory, unit)),
    ...machine.smmus.map((unit) => readSmmu(memory, unit)),
    ...machine.amdvis.map((unit) => readAmd(memory, unit)),
  ];
}
