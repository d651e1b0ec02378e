import { formatTime } from "../base/units.ts";
import type { Violation } from "../health/invariants.ts";
import { answer } from "../operations/timeline.ts";
import { PHASES, type UpdateRecord } from "../platform/live_update.ts";
import { type PagesView, snapshot } from "../platform/snapshot.ts";
import { iommuFaultText } from "../uapi/iommu_faults.ts";
import { causeKey } from "./causes.ts";
import { costLines, costsJson } from "./report_costs.ts";
import type { FinishedRun } from "./run.ts";

const hex = (n: number) => "0x" + n.toString(16);

/** The report of a run for people. Plain text, nothing a terminal would act on. */
export function textReport(run: FinishedRun): string {
  const { platform, judgement } = run;
  const { scenario } = run.loaded;
  const snap = snapshot(platform);
  const out: string[] = [
    `scenario ${scenario.name}: ${judgement.verdict}`,
    `  ${scenario.description.trim().replaceAll(/\s+/g, " ")}`,
    `  kernel ${platform.spec.kernel}, seed ${run.seed}, virtual time ${formatTime(snap.time)}, ` +
    `${snap.boot} boot${snap.boot === 1 ? "" : "s"}`,
    "",
  ];
  for (const update of platform.updates) {
    const parts = PHASES.filter((p) => update.began[p] !== undefined).map((p, i, all) => {
      const next = i + 1 < all.length ? update.began[all[i + 1]] : endOf(update);
      return `${p} ${formatTime((next ?? snap.time) - (update.began[p] ?? 0))}`;
    });
    const reason = update.reason === "" ? "" : ` (${update.reason})`;
    out.push(`live update to ${update.image}: ${update.outcome}${reason}`);
    out.push(`  ${parts.join(", ")}`);
    for (const [vm, pause] of update.pauses) {
      const length = formatTime((pause.to < 0 ? snap.time : pause.to) - pause.from);
      out.push(`  guest pause of ${vm}: ${length}`);
    }
    out.push(...costLines(update, snap.time));
    out.push("");
  }
  if (judgement.devices.length > 0) {
    const rows = judgement.devices.map((d) => [
      d.id,
      d.bdf,
      d.vm,
      String(d.operations),
      formatTime(d.longestGap),
      String(d.faults),
      String(d.stray),
      String(d.blocked),
      String(d.starved),
      d.health,
    ]);
    const head = ["device", "bdf", "vm", "dma", "longest gap", "faults", "stray", "blocked"];
    out.push(...table([[...head, "starved", "health"], ...rows]));
    for (const d of judgement.devices) {
      if (d.mode === "noiommu") out.push(`  ${d.id}: no IOMMU covers it, nothing isolates it`);
      if (d.pages !== undefined) out.push(`  ${d.id}: ${pagesText(d.pages)}`);
      for (const { reason, count } of d.faultReasons) {
        out.push(`  ${d.id}: ${count} x fault reason ${hex(reason)}, ${iommuFaultText(reason)}`);
      }
    }
    out.push("");
  }
  out.push("invariants");
  for (const state of judgement.invariants) {
    out.push(`  ${state.verdict.padEnd(13)} ${state.id}`);
    for (const v of state.violations) out.push(`    ${violationText(v)}`);
  }
  out.push(...inOrder(run));
  if (judgement.findings.length > 0) {
    out.push("", "expectations");
    for (const f of judgement.findings) out.push(`  ${f.verdict.padEnd(13)} ${f.text}`);
  }
  out.push("", `event hash ${snap.hash}`, `verdict ${judgement.verdict}`);
  return out.join("\n") + "\n";
}

/** Every violation by time, with the defects that cause it, where those were looked for. */
function inOrder({ judgement, causes }: FinishedRun): string[] {
  const all = judgement.invariants.flatMap((s) => s.violations).sort((a, b) => a.time - b.time);
  if (causes === undefined || all.length === 0) return [];
  const lines = all.map((v) => {
    const ids = causes.get(causeKey(v)) ?? [];
    const together = ids[0]?.startsWith("+");
    const why = ids.length === 0
      ? "several, none of which can be missed alone"
      : together
      ? `${ids.map((id) => id.slice(1)).join(" with ")}, not alone`
      : ids.join(", ");
    return `  ${v.invariant}: ${violationText(v)} <- ${why}`;
  });
  return ["", "violations in the order they were seen, and the defects that cause each", ...lines];
}

/** `asked for pages 12 times, answered 12, longest wait 230.1 ms`. */
function pagesText({ requests, answered, longestWait, openWait }: PagesView): string {
  const waits = openWait > 0 ? `, has waited ${formatTime(openWait)} for one now` : "";
  return `asked for pages ${requests} times, answered ${answered}, longest wait ` +
    `${formatTime(longestWait)}${waits}`;
}

/** `nic0 at 734.303 ms: write to IOVA 0x8870: …` */
export function violationText(v: Violation): string {
  const times = v.count > 1 ? ` (${v.count} times)` : "";
  const address = v.address === undefined || v.detail.includes(hex(v.address))
    ? ""
    : ` at ${hex(v.address)}`;
  return `${v.subject}${address}, t=${formatTime(v.time)}: ${v.detail}${times}`;
}

function table(rows: readonly string[][]): string[] {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((r) => r[c].length)));
  const right = (c: number) => c >= 3 && c <= 8;
  return rows.map((row) =>
    row.map((cell, c) => right(c) ? cell.padStart(widths[c]) : cell.padEnd(widths[c])).join("  ")
      .trimEnd()
  );
}

/** When it was over; undefined while it goes on. */
function endOf(update: UpdateRecord): number | undefined {
  return update.endedAt < 0 ? undefined : update.endedAt;
}

/** The report for programs. 64-bit values as "0x…"; times in nanoseconds. */
export function jsonReport(run: FinishedRun): string {
  const { platform, judgement } = run;
  const snap = snapshot(platform);
  const violation = (v: Violation) => ({
    subject: v.subject,
    time_ns: v.time,
    ...(v.address === undefined ? {} : { address: hex(v.address) }),
    detail: v.detail,
    count: v.count,
    ...(run.causes === undefined ? {} : { defects: run.causes.get(causeKey(v)) ?? [] }),
  });
  const report = {
    format: "hitless.report",
    version: 1,
    scenario: run.loaded.scenario.name,
    kernel: platform.spec.kernel,
    next_kernel: run.image,
    seed: run.seed,
    verdict: judgement.verdict,
    time_ns: snap.time,
    boots: snap.boot,
    event_hash: snap.hash,
    steps: run.steps.map((s) => ({
      index: s.index,
      name: s.name,
      started_ns: s.startedAt,
      ended_ns: s.endedAt,
      errno: s.outcome === undefined ? null : answer(s.outcome),
      expected: s.expected,
      ok: s.ok,
    })),
    updates: platform.updates.map((u) => ({
      image: u.image,
      outcome: u.outcome,
      reason: u.reason,
      kho: u.kho,
      phases_began_ns: u.began,
      ended_ns: endOf(u) ?? null,
      ...costsJson(u),
      pauses_ns: Object.fromEntries(
        [...u.pauses].map(([vm, p]) => [vm, p.to < 0 ? null : p.to - p.from]),
      ),
    })),
    devices: judgement.devices.map((d) => ({
      id: d.id,
      bdf: d.bdf,
      vm: d.vm,
      persistent: d.persistent,
      mode: d.mode,
      health: d.health,
      operations: d.operations,
      bytes: d.bytes,
      longest_gap_ns: d.longestGap,
      longest_gap_end_ns: d.longestGapEnd,
      faults: d.faults,
      fault_reasons: Object.fromEntries(d.faultReasons.map((f) => [hex(f.reason), f.count])),
      stray: d.stray,
      blocked: d.blocked,
      starved: d.starved,
      ...(d.pages && {
        page_requests: d.pages.requests,
        pages_answered: d.pages.answered,
        longest_page_wait_ns: d.pages.longestWait,
        open_page_wait_ns: d.pages.openWait,
      }),
      resets: d.resets,
    })),
    invariants: judgement.invariants.map((s) => ({
      id: s.id,
      verdict: s.verdict,
      violations: s.violations.map(violation),
    })),
    expectations: judgement.findings,
  };
  return JSON.stringify(report, null, 2) + "\n";
}
