import { ms } from "../base/units.ts";
import { ENOENT, errnoName } from "../uapi/errno.ts";
import { KEXEC_FILE_UNLOAD, LINUX_REBOOT_CMD_KEXEC, O_WRONLY, TaskKilled } from "../uapi/sys.ts";
import type { Script } from "./director.ts";
import type { Platform } from "./platform.ts";
import { noCosts, UpdateBooks, type UpdateCosts } from "./update_costs.ts";

/** The phases of a live update, in order. */
export const PHASES = [
  "prepare",
  "pause",
  "kexec",
  "boot",
  "restore",
  "resume",
  "finish",
] as const;
export type Phase = (typeof PHASES)[number];

export type UpdateOutcome = "running" | "done" | "aborted" | "failed";

/** One live update: how far it is, and how long everything took. */
export interface UpdateRecord {
  /** The image that was to be booted. */
  readonly image: string;
  readonly startedAt: number;
  phase: Phase;
  outcome: UpdateOutcome;
  /** Virtual time each phase began at. */
  readonly began: Partial<Record<Phase, number>>;
  endedAt: number;
  /** Why it was called off or failed. */
  reason: string;
  /** Per VM: when its vCPUs stopped, and ran again (-1: not yet). */
  readonly pauses: Map<string, { from: number; to: number }>;
  readonly costs: UpdateCosts;
  /** Accesses of each device that had come to nothing, or to the wrong memory, before it began. */
  readonly lostBefore: ReadonlyMap<string, number>;
  /** What the system looked like before; compared after an abort. */
  fingerprint: string;
  /** KHO carries data over. */
  kho: boolean;
  abortRequested: boolean;
  /** It waits to be told to go on or to stop. */
  held: boolean;
}

/** Time the tools take between two steps that wait for nothing. */
const STEP = 2 * ms;

/** Calls off an update that has not jumped yet. False when it is too late or there is none. */
export function requestAbort(platform: Platform): boolean {
  const update = platform.update;
  if (update === undefined || update.outcome !== "running") return false;
  if (update.phase !== "prepare" && update.phase !== "pause") return false;
  update.abortRequested = true;
  platform.director.poke();
  return true;
}

function lostSoFar({ health, spec }: Platform): Map<string, number> {
  return new Map(spec.machine.devices.map(({ id }, fn) => {
    const { faultCount, blocked, stray } = health.meters.get(fn);
    return [id, faultCount + blocked + stray];
  }));
}

/**
 * A live update as its operator runs it. `hold`: wait after this phase (before the jump) until
 * told to go on or to abort.
 */
export function* liveUpdate(platform: Platform, image: string, hold?: Phase): Script {
  const update: UpdateRecord = {
    image,
    startedAt: platform.now,
    phase: "prepare",
    outcome: "running",
    began: {},
    endedAt: -1,
    reason: "",
    pauses: new Map(),
    costs: noCosts(),
    lostBefore: lostSoFar(platform),
    fingerprint: platform.fingerprint(),
    kho: false,
    abortRequested: false,
    held: false,
  };
  platform.updates.push(update);
  const books = new UpdateBooks(platform, update);
  const enter = (phase: Phase) => {
    if (update.began[update.phase] !== undefined) platform.checkAfter(update.phase);
    update.phase = phase;
    update.began[phase] = platform.now;
    platform.note(`live update: ${phase}`);
  };

  enter("prepare");
  yield* tell(platform, "prepare", ["prepared", "refused"]);
  const refused = refusal(platform) || orKilled(() => prepareKernel(platform, update));
  if (refused !== "") return yield* abort(platform, update, refused);
  yield STEP;
  if (hold === "prepare") yield* holdUntilTold(platform, update);
  if (update.abortRequested) return yield* abort(platform, update, "called off by the operator");

  enter("pause");
  yield* tell(platform, "pause", ["paused"]);
  platform.paused(update);
  yield STEP;
  if (hold === "pause") yield* holdUntilTold(platform, update);
  if (update.abortRequested) return yield* abort(platform, update, "called off by the operator");

  enter("kexec");
  books.jumping();
  const before = platform.kernel;
  const rc = platform.shell().reboot(LINUX_REBOOT_CMD_KEXEC);
  if (rc < 0) return yield* abort(platform, update, `reboot: ${errnoName(rc)}`);
  yield () => platform.kernel !== before || before.panicked !== undefined;
  if (before.panicked !== undefined) return giveUp(platform, update, before.panicked);

  enter("boot");
  yield () => platform.settled;
  const { panicked } = platform.kernel;
  if (panicked !== undefined) return giveUp(platform, update, panicked);

  enter("restore");
  platform.booted();
  books.restoring();
  platform.startVms();
  yield () => platform.vmsAre(["restored", "running", "failed", "exited"]);
  yield STEP;

  enter("resume");
  platform.beforeResume();
  yield* tell(platform, "resume", ["running"]);
  platform.resumed(update);
  yield STEP;

  enter("finish");
  yield* tell(platform, "forget", ["running"]);
  yield STEP;
  platform.checkAfter("finish");
  update.outcome = platform.vmsAre(["running"]) ? "done" : "failed";
  if (update.outcome === "failed") update.reason = "not every VM came back";
  update.endedAt = platform.now;
  books.ended();
  platform.note(`live update: ${update.outcome}`);
}

function* holdUntilTold(platform: Platform, update: UpdateRecord): Script {
  update.held = true;
  platform.director.poke();
  yield () => update.abortRequested || platform.released(update);
  update.held = false;
}

/** Sends a message to every VM that lives and waits until each has answered. */
function* tell(platform: Platform, message: string, answers: string[]): Script {
  platform.tellVms(message);
  yield () => platform.vmsAre([...answers, "failed", "exited"]);
}

/** Why a VM cannot take part, "" when all can. */
function refusal(platform: Platform): string {
  const id = [...platform.wanted].find((vm) => platform.statusOf(vm) === "refused");
  return id === undefined ? "" : `${id} could not prepare`;
}

/** KHO on, then the next kernel is loaded: in this order, or nothing is handed over. */
function prepareKernel(platform: Platform, update: UpdateRecord): string {
  const sys = platform.shell();
  const active = sys.open("/sys/kernel/kho/active", O_WRONLY);
  if (active >= 0) {
    const rc = sys.write(active, new TextEncoder().encode("1"));
    if (rc < 0) return `write to /sys/kernel/kho/active: ${errnoName(rc)}`;
    update.kho = true;
  } else if (active === -ENOENT) {
    platform.note("this kernel has no KHO: nothing is handed over");
  } else return `/sys/kernel/kho/active: ${errnoName(active)}`;
  const rc = sys.kexecFileLoad(update.image, 0);
  return rc < 0 ? `kexec_file_load: ${errnoName(rc)}${lastError(platform)}` : "";
}

/** What a tool answers, or why the kernel never let it. */
function orKilled(tool: () => string): string {
  try {
    return tool();
  } catch (error) {
    if (!(error instanceof TaskKilled)) throw error;
    return error.message;
  }
}

/** A kernel has stopped for good: there is nobody left to go on with, or to go back to. */
function giveUp(platform: Platform, update: UpdateRecord, panic: string): void {
  update.outcome = "failed";
  update.reason = `kernel panic: ${panic}`;
  update.endedAt = platform.now;
  platform.checkAfter(update.phase);
  platform.note(`live update: failed (${update.reason})`);
}

/** What the kernel has just said of it, where it did. */
function lastError(platform: Platform): string {
  const line = platform.events.findLast((e) => e.source === "kernel");
  return line?.level === "err" && line.time === platform.now ? `, ${line.text}` : "";
}

/** Undoes what was done so far: kernel unloaded, KHO off, guests on. */
function* abort(platform: Platform, update: UpdateRecord, reason: string): Script {
  update.reason = reason;
  platform.note(`live update: aborting (${reason})`);
  orKilled(() => {
    const sys = platform.shell();
    sys.kexecFileLoad("", KEXEC_FILE_UNLOAD);
    const active = sys.open("/sys/kernel/kho/active", O_WRONLY);
    if (active >= 0) sys.write(active, new TextEncoder().encode("0"));
    return "";
  });
  platform.beforeResume();
  yield* tell(platform, "forget", ["running"]);
  platform.resumed(update);
  update.outcome = "aborted";
  update.endedAt = platform.now;
  platform.abortedUpdate(update);
  platform.note("live update: aborted");
}
