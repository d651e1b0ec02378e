/** Whole runs: what a program takes from its start to its end, beside an empty one. */
import { BenchError, buildReference, Contender, ours } from "./contender.ts";
import { IN_A_ROW } from "./ours/side.ts";
import { fleetOf, guestsOf, type Host, updateOf } from "./hosts.ts";
import { median, type Spread, spread } from "./statistics.ts";

export interface Run {
  readonly name: string;
  readonly title: string;
  /** What it belongs to; "whole" unless said. */
  readonly group?: string;
  /** Arguments of `deno run`. Undefined: a benchmark of ours/main.ts, in a process that is warm. */
  readonly args?: readonly string[];
  /** Text of a scenario that is written to {@link SCENARIO} of them. */
  readonly scenario?: string;
  /** Where fewer than usual will do. */
  readonly rounds?: number;
  /** How often a benchmark does it: one of them counts. */
  readonly times?: number;
  /** The most CPU time it may take, as a multiple of an empty program's. */
  readonly goal?: number;
}

export interface RunResult {
  readonly name: string;
  readonly title: string;
  readonly goal: number | undefined;
  /** CPU time by that of an empty program in the same round. */
  readonly ratio: Spread;
  /** Milliseconds. */
  readonly cpu: Spread;
  /** Of a run in a process of its own. */
  readonly wall: Spread | undefined;
  /** The most memory in use, MiB. */
  readonly peak: number | undefined;
  readonly rounds: number;
}

const here = (path: string) => new URL(path, import.meta.url).pathname;

function scenario(name: string, goal?: number): Run {
  const args = ["--no-prompt", here("../main.ts"), "--scenario", name];
  return { name: `run-${name}`, title: `--scenario ${name}`, args, ...(goal && { goal }) };
}

/** Runs that count, and one before them: what was compiled once is on disk. */
const ROUNDS = 7;

/** Stands for the file that a run's scenario is in. */
const SCENARIO = "SCENARIO.yaml";

/** A live update of a host. */
function update(name: string, host: Host, what: string, rounds = ROUNDS): Run {
  const args = ["--no-prompt", "--allow-read", here("../main.ts"), "--scenario", SCENARIO];
  const title = `a live update of ${what}`;
  return { name, title, args, scenario: updateOf(host), rounds };
}

function fleet(devices: number): Run {
  const what = `a host with ${devices} cards at work`;
  return update(`run-fleet-${devices}`, fleetOf(devices), what, devices < 10_000 ? ROUNDS : 2);
}

/** Size of the guests, and cards at work in them, one with the other. */
const GROWTH = [1, 16, 256].flatMap((gib) =>
  [10, 100, 1000].map((devices): Run => {
    const host = guestsOf(gib, devices), name = `growth-${gib}g-${devices}`;
    const guests = host.vms === 1 ? "a guest" : `${host.vms} guests`;
    const what = `${guests} with ${gib} GiB and ${devices} cards at work`;
    return { ...update(name, host, what, 2), group: "growth" };
  })
);

const FRAME = ["--dashboard", "--size", "200x50", "--keys", here("frames/quit.keys")];

export const RUNS: readonly Run[] = [
  scenario("handover"),
  scenario("persisted-iommufd", 6),
  scenario("replay"),
  scenario("redrive"),
  scenario("redrive-replace"),
  scenario("noiommu-keepalive"),
  scenario("tour"),
  scenario("large-guest"),
  ...[10, 100, 1000, 10_000].map(fleet),
  ...GROWTH,
  {
    name: "run-first-frame",
    title: "the dashboard's first frame, 200x50",
    args: ["--no-prompt", "--allow-read", here("../main.ts"), ...FRAME],
    goal: 8,
  },
  {
    name: "run-small-platform",
    title: "in a warm process: boot, live update and teardown of a VM of 16 MiB with one NIC",
    times: IN_A_ROW,
    goal: 0.2,
  },
];

/**
 * Measures runs, and an empty program before each. `kexec`: a command that goes through one kexec in
 * QEMU, to be measured likewise. Throws BenchError where something cannot be run.
 */
export async function measureRuns(
  runs: readonly Run[],
  folder: string,
  kexec?: string,
  most = ROUNDS,
): Promise<RunResult[]> {
  const launcher = new Contender("launcher", await buildReference(folder, "launch"), []);
  // Begun when it is needed: one that has waited for long is warm no more.
  let warm: Contender | undefined;
  const launch = async (words: readonly string[]) => {
    const [wall, cpu, peak, status] = await launcher.ask(words.join("\t"), 4);
    if (status !== 0) throw new BenchError(`${words.join(" ")}: exit status ${status}`);
    return { wall: wall / 1e6, cpu: cpu / 1e6, peak: peak / 1024 };
  };
  const deno = (args: readonly string[]) => launch([Deno.execPath(), "run", ...args]);
  const empty = `${folder}/empty.ts`;
  await Deno.writeTextFile(empty, "");
  const measured = async ({ name, args, scenario, times = 1 }: Run) => {
    if (args === undefined) {
      warm ??= ours("platform", 1);
      const { ns } = await warm.run(name);
      return { cpu: ns / 1e6 / times };
    }
    const file = `${folder}/${name}.yaml`;
    if (scenario !== undefined) await Deno.writeTextFile(file, scenario);
    return await deno(args.map((word) => word === SCENARIO ? file : word));
  };
  try {
    const results: RunResult[] = [];
    for (const run of runs) {
      const times: Took[] = [];
      const rounds = Math.min(most, run.rounds ?? ROUNDS);
      for (let round = -1; round < rounds; round++) {
        const beside = await deno([empty]), took = await measured(run);
        if (round >= 0) times.push({ ...took, empty: beside.cpu });
      }
      results.push(resultOf(run, times));
    }
    if (kexec !== undefined) {
      const took = await launch(["sh", "-c", kexec]), beside = await deno([empty]);
      const run = { name: "kexec", title: kexec };
      results.push(resultOf(run, [{ ...took, empty: beside.cpu }]));
    }
    return results;
  } finally {
    await launcher.end();
    await warm?.end();
  }
}

/** Milliseconds, and MiB. */
interface Took {
  readonly cpu: number;
  readonly empty: number;
  readonly wall?: number;
  readonly peak?: number;
}

function resultOf(
  { name, title, goal }: Run,
  times: readonly Took[],
): RunResult {
  const walls = times.flatMap(({ wall }) => wall ?? []);
  return {
    name,
    title,
    goal,
    ratio: spread(times.map(({ cpu, empty }) => cpu / empty)),
    cpu: spread(times.map(({ cpu }) => cpu)),
    wall: walls.length === 0 ? undefined : spread(walls),
    peak: walls.length === 0 ? undefined : median(times.flatMap(({ peak }) => peak ?? [])),
    rounds: times.length,
  };
}
