import { Platform } from "../../src/platform/platform.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { platformSpec } from "../../src/scenario/platform_of.ts";
import type { Sys } from "../../src/uapi/sys.ts";
import { parseVectors, play } from "./runner.ts";

/** The machine the vectors are played on, unless they ask for another. */
const MACHINE = {
  memory: "128MiB",
  guestmemfs: "32MiB",
  kho_scratch: "8MiB",
  devices: [
    { id: "nic0", model: "nic", bdf: "3a:00.0" },
    { id: "nic1", model: "nic", bdf: "3b:00.0" },
  ],
};

function processes(
  image: string,
  machine: Readonly<Record<string, unknown>>,
): (name: string) => Sys {
  const file = {
    version: 1,
    name: "conformance",
    description: "the machine of a conformance vector",
    machine: { ...MACHINE, ...machine },
    steps: [{ do: "check" }],
  };
  // Every JSON text is a YAML text.
  const { scenario } = loadScenario(JSON.stringify(file), "conformance");
  const platform = new Platform(platformSpec(scenario, 1, image));
  platform.runFor(1e9);
  const shells = new Map<string, Sys>();
  return (name) => {
    let sys = shells.get(name);
    if (sys === undefined) shells.set(name, sys = platform.shell());
    return sys;
  };
}

const here = new URL(".", import.meta.url);
const files = [...Deno.readDirSync(here)].map((e) => e.name).filter((n) => n.endsWith(".yaml"));

for (const name of files.sort()) {
  const file = parseVectors(Deno.readTextFileSync(new URL(name, here)));
  Deno.test(`conformance ${name}`, async (t) => {
    for (const vector of file.vectors) {
      await t.step(`${vector.name} (FACTS ${vector.facts})`, () => {
        play(file, vector, processes(vector.image ?? "rfc-v1", vector.machine ?? {}));
      });
    }
  });
}
