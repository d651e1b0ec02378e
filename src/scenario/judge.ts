import { formatTime } from "../base/units.ts";
import type { InvariantState } from "../health/health.ts";
import { PREMISES } from "../health/invariants.ts";
import { type DeviceView, snapshot } from "../platform/snapshot.ts";
import { answer, type StepResult } from "../operations/timeline.ts";
import type { Run } from "./run.ts";

export type Verdict = "holds" | "violated" | "vacuous";

/** One thing that was asked of the run. */
export interface Finding {
  readonly verdict: Verdict;
  readonly text: string;
  /** What caught it and when (virtual ns), where something was to be caught. */
  readonly caught?: { readonly by: string; readonly at: number };
}

export interface Judgement {
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  readonly invariants: readonly InvariantState[];
  readonly devices: readonly DeviceView[];
}

/** Exit status of a verdict: 0 holds, 1 violated, 3 vacuous. */
export const EXIT: Record<Verdict, number> = { holds: 0, violated: 1, vacuous: 3 };

/** Judges a run against what its scenario expects. The worst finding is the verdict. */
export function judge(run: Run): Judgement {
  const { invariants, devices, hash } = snapshot(run.platform);
  const { caught } = run.loaded.scenario.expect;
  const findings = caught !== undefined ? [judgeCaught(run, caught, invariants)] : [
    ...judgeSteps(run),
    ...judgeInvariants(run, invariants),
    ...judgeDevices(run, devices),
    ...judgeUpdate(run),
    ...judgeHash(run, hash),
  ];
  const verdict = findings.some((f) => f.verdict === "violated")
    ? "violated"
    : findings.some((f) => f.verdict === "vacuous")
    ? "vacuous"
    : "holds";
  return { verdict, findings, invariants, devices };
}

const broken = (text: string): Finding => ({ verdict: "violated", text });
const holds = (text: string): Finding => ({ verdict: "holds", text });

/** Whether what goes wrong in this run was seen, and where first. */
function judgeCaught(
  run: Run,
  { by, answers }: { by: readonly string[]; answers: boolean },
  states: readonly InvariantState[],
): Finding {
  const seen = states.filter((s) => by.includes(s.id)).flatMap((s) => s.violations)
    .sort((a, b) => a.time - b.time)[0];
  if (seen !== undefined) return caughtBy(seen.invariant, seen.time, seen.subject);
  const step = answers ? run.steps.find((s) => !s.ok) : undefined;
  if (step !== undefined) {
    const answer = `${saidBy(step)}, right is ${step.expected}`;
    return caughtBy(`step ${step.index + 1} ${step.name}`, step.startedAt, answer);
  }
  const ways = [...by, ...(answers ? ["a step's answer"] : [])];
  return broken(`nothing was found wrong; it should have been by ${ways.join(" or ")}`);
}

function caughtBy(by: string, at: number, what: string): Finding {
  return { ...holds(`${by} catches it at ${formatTime(at)}: ${what}`), caught: { by, at } };
}

/** What a step answered: an errno, "0", or that it never did. */
function saidBy({ outcome }: StepResult): string {
  return outcome === undefined ? "never answered" : answer(outcome);
}

function judgeSteps(run: Run): Finding[] {
  const findings: Finding[] = [];
  for (const step of run.steps) {
    const got = saidBy(step);
    const detail = step.outcome?.detail ? ` (${step.outcome.detail})` : "";
    const name = `step ${step.index + 1} ${step.name}`;
    // A run that stops at a time may do so in the middle of something.
    const open = step.outcome === undefined && step.expected === "any" &&
      run.loaded.scenario.until !== undefined;
    if (open) continue;
    if (!step.ok) findings.push(broken(`${name}: ${got}${detail}, expected ${step.expected}`));
    else if (step.expected !== "0" && step.expected !== "any") {
      findings.push(holds(`${name}: ${got} as expected`));
    }
  }
  const { steps, until } = run.loaded.scenario;
  const left = steps.length - run.steps.length;
  if (left > 0 && until === undefined) findings.push(broken(`${left} steps were not reached`));
  return findings;
}

function judgeInvariants(run: Run, states: readonly InvariantState[]): Finding[] {
  const { expect } = run.loaded.scenario;
  const findings: Finding[] = [];
  for (const state of states) {
    const wanted = expect.violated.includes(state.id);
    if (state.verdict === "violated") {
      findings.push(
        wanted ? holds(`${state.id} is violated, as expected`) : broken(`${state.id} is violated`),
      );
    } else if (wanted) {
      findings.push(broken(`${state.id} was expected to be violated and is not`));
    } else if (expect.invariants.includes(state.id)) {
      findings.push(
        state.verdict === "holds" ? holds(`${state.id} holds`) : {
          verdict: "vacuous",
          text: `${state.id} was not exercised: it needs that ${PREMISES[state.premise]}`,
        },
      );
    }
  }
  return findings;
}

function judgeDevices(run: Run, devices: readonly DeviceView[]): Finding[] {
  const { expect, machine } = run.loaded.scenario;
  const findings: Finding[] = [];
  for (const [id, e] of Object.entries(expect.devices)) {
    const d = devices.find((x) => x.id === id);
    const spec = machine.devices.find((x) => x.id === id);
    if (d === undefined || spec === undefined) continue;
    const say = (ok: boolean, text: string) => findings.push(ok ? holds(text) : broken(text));
    const count = (name: string, got: number, want: number | undefined) => {
      if (want !== undefined) say(got === want, `${id}: ${got} ${name}, expected ${want}`);
    };
    count("faults", d.faults, e.faults);
    count("stray", d.stray, e.stray);
    count("blocked", d.blocked, e.blocked);
    count("starved", d.starved, e.starved);
    if (e.loses_dma !== undefined) {
      const lost = d.faults + d.blocked;
      say((lost > 0) === e.loses_dma, `${id}: ${lost} accesses lost`);
    }
    const interval = spec.model === "nic" ? spec.interval : 0;
    const most = e.max_gap_intervals !== undefined ? e.max_gap_intervals * interval : e.max_gap;
    const gap = `${id}: longest gap ${formatTime(d.longestGap)}`;
    if (most !== undefined) say(d.longestGap <= most, `${gap}, at most ${formatTime(most)}`);
    if (e.min_gap !== undefined) {
      say(d.longestGap >= e.min_gap, `${gap}, at least ${formatTime(e.min_gap)}`);
    }
    const { requests = 0, longestWait = 0 } = d.pages ?? {};
    const asked = `${id}: asked for pages ${requests} times`;
    if (e.min_page_requests !== undefined) {
      say(requests >= e.min_page_requests, `${asked}, at least ${e.min_page_requests}`);
    }
    const wait = `${id}: longest wait for a page ${formatTime(longestWait)}`;
    if (e.min_page_wait !== undefined) {
      say(longestWait >= e.min_page_wait, `${wait}, at least ${formatTime(e.min_page_wait)}`);
    }
    if (e.max_page_wait !== undefined) {
      say(longestWait <= e.max_page_wait, `${wait}, at most ${formatTime(e.max_page_wait)}`);
    }
    // A device that never did anything has kept every promise and shown nothing.
    if (d.operations === 0) findings.push({ verdict: "vacuous", text: `${id} did no DMA` });
  }
  return findings;
}

function judgeUpdate(run: Run): Finding[] {
  const { expect } = run.loaded.scenario;
  const findings: Finding[] = [];
  const update = run.platform.update;
  if (expect.update !== undefined) {
    const got = update?.outcome ?? "none";
    const why = update?.reason ? ` (${update.reason})` : "";
    const text = `live update: ${got}${why}, expected ${expect.update}`;
    findings.push(got === expect.update ? holds(text) : broken(text));
  }
  if (expect.min_pause !== undefined) {
    const pauses = [...update?.pauses.values() ?? []].map((p) => p.to - p.from);
    const longest = Math.max(0, ...pauses);
    const text = `guest pause ${formatTime(longest)}, at least ${formatTime(expect.min_pause)}`;
    findings.push(longest >= expect.min_pause ? holds(text) : { verdict: "vacuous", text });
  }
  return findings;
}

function judgeHash({ loaded }: Run, hash: string): Finding[] {
  const wanted = loaded.scenario.expect.hash;
  if (wanted === undefined) return [];
  if (hash === wanted) return [holds(`event hash ${hash}, as it was`)];
  return [broken(
    `event hash ${hash}, expected ${wanted}: another seed or another version of hitless`,
  )];
}
