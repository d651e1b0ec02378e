import { errnoName } from "../uapi/errno.ts";
import { loadScenario } from "./load.ts";
import { askRun, type FinishedRun, prepare } from "./run.ts";

/** What a design made of one failure. */
export interface Survival {
  readonly design: string;
  readonly failure: string;
  readonly outcome: string;
}

/** Two cards, so that one can be through while the other one waits. */
const HEAD = `version: 1
name: survival
description: one failure under one design
machine:
  memory: 64MiB
  guestmemfs: 16MiB
  kho_scratch: 8MiB
  devices:
    - { id: nic0, model: nic, bdf: "3a:00.0", interval: 200us, packet: 256B }
    - { id: nvme0, model: nvme, bdf: "3b:00.0", latency: 2ms }
  vms: [{ id: vm0, memory: 12MiB, devices: [nic0, nvme0], ring: 4096 }]
kernel: { image: IMAGE }
steps:
  - { do: vm.start }
  - { do: run, with: { for: 20ms } }
`;

const intact = (run: FinishedRun) =>
  run.judgement.invariants.every((i) => i.verdict !== "violated");
const violated = (run: FinishedRun) =>
  run.judgement.invariants.filter((i) => i.verdict === "violated").map((i) => i.id).join(", ");
const errno = (run: FinishedRun, step: number) => run.steps[step]?.outcome?.errno ?? -1;

interface Failure {
  readonly failure: string;
  readonly steps: string;
  readonly outcome: (run: FinishedRun) => string;
}

const UPDATE =
  "  - { do: update, expect: { errno: any } }\n  - { do: run, with: { for: 500ms } }\n";

const FAILURES: readonly Failure[] = [
  {
    failure: "nothing goes wrong",
    steps: UPDATE,
    outcome: (run) => intact(run) ? "goes on" : violated(run),
  },
  {
    failure: "a table entry is spoilt between the kernels",
    steps: "  - { do: corrupt, with: { device: nic0, iova: 0x600000, what: address } }\n" + UPDATE,
    outcome: (run) => {
      const named = run.platform.events.some((e) => /differ at IOVA 0x600000/.test(e.text));
      if (!intact(run)) return `adopted blindly: ${violated(run)}`;
      return named ? "refused by name, replaced" : "replaced";
    },
  },
  {
    failure: "the VMM does not come back, an administrator gives up",
    steps: `  - { do: kho.activate }
  - { do: kexec.load }
  - { do: kexec.execute }
  - { do: run, with: { for: 20ms } }
  - { do: persisted.discard, with: { vm: vm0 }, expect: { errno: any } }
  - { do: run, with: { for: 20ms } }
`,
    outcome: (run) =>
      errno(run, 6) !== 0
        ? "no way out but a reboot"
        : intact(run)
        ? "blocked, reset, freed"
        : violated(run),
  },
  {
    failure: "somebody else opens the device first",
    steps: `  - { do: kho.activate }
  - { do: kexec.load }
  - { do: kexec.execute }
  - { do: persisted.open, with: { device: nic0 }, expect: { errno: any } }
  - { do: run, with: { for: 5ms } }
`,
    outcome: (run) => errno(run, 5) === 0 ? "opened" : errnoName(errno(run, 5)),
  },
];

/** Runs every failure under every design; each takes a fraction of a second. */
export function survivals(designs: readonly string[]): Survival[] {
  return designs.flatMap((design) =>
    FAILURES.map(({ failure, steps, outcome }) => {
      const text = HEAD.replace("IMAGE", design) + steps;
      const run = prepare(loadScenario(text, "survival"), 1);
      return { design, failure, outcome: askRun(run, outcome) };
    })
  );
}
