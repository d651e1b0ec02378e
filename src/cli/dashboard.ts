import { Dashboard } from "../dashboard/dashboard.ts";
import { KeyScriptError, parseKeyScript } from "../dashboard/key_script.ts";
import { Plain } from "../dashboard/plain.ts";
import type { Session, World } from "../dashboard/session.ts";
import { UsageError } from "../scenario/errors.ts";
import {
  denoIo,
  type LookOptions,
  recorded,
  Recording,
  run,
  type RunOptions,
  ScriptedIo,
  type ScriptStep,
  type TerminalIo,
} from "../tui/mod.ts";
import type { DashboardFlags } from "./dashboard_options.ts";
import { readFile } from "./files.ts";
import { writeFile } from "./world.ts";

/** What a screenshot shows where no script says when. */
const A_SECOND: readonly ScriptStep[] = [{ type: "wait", ms: 1000 }];
const SIZE = { cols: 120, rows: 40 };

const textOf = (path: string) => new TextDecoder().decode(readFile(path));

/** Runs a dashboard as the flags want it; the exit status. `describe`: of an error nobody caught. */
export function startDashboard(
  session: Session,
  world: World,
  flags: DashboardFlags,
  describe: (error: unknown) => string,
): Promise<number> {
  checkFiles(flags);
  const begin = flags.config === undefined ? [] : textOf(flags.config).split("\n");
  if (flags.plain === true) return plain(session, world, flags, begin);
  const scripted = flags.keys !== undefined || !Deno.stdin.isTerminal() ||
    !Deno.stdout.isTerminal();
  if (scripted && flags.keys === undefined && flags.record === undefined && !flags.screenshot) {
    throw new UsageError(
      "the dashboard needs a terminal: --plain does without, --keys plays a script",
    );
  }
  return scripted
    ? playScript(session, world, flags, begin, describe)
    : onTerminal(session, world, flags, begin, describe);
}

/** Whether files can be written is found out before anything runs. */
function checkFiles({ record, screenshot }: DashboardFlags): void {
  if (screenshot !== undefined && !/\.(svg|txt)$/.test(screenshot)) {
    throw new UsageError(`--screenshot ${screenshot}: expected a name that ends in .svg or .txt`);
  }
  for (const file of [record, screenshot]) if (file !== undefined) writeFile(file, "");
}

function lookOf({ color, background, palette, ascii }: DashboardFlags): LookOptions {
  return { depth: color, background, palette, ...(ascii === true ? { ascii } : {}) };
}

interface Made {
  readonly dashboard: Dashboard;
  readonly options: RunOptions;
}

function make(
  session: Session,
  world: World,
  flags: DashboardFlags,
  begin: readonly string[],
  look: LookOptions,
  clock?: () => number,
): Made {
  const { mouse, readOnly = false } = flags;
  const options = { look, mouse, readOnly, world, begin };
  const dashboard = new Dashboard(session, clock === undefined ? options : { ...options, clock });
  return { dashboard, options: { fps: 30, look, mouse, keepCtrlZ: true } };
}

async function onTerminal(
  session: Session,
  world: World,
  flags: DashboardFlags,
  begin: readonly string[],
  describe: (error: unknown) => string,
): Promise<number> {
  const real = denoIo();
  const recording = flags.record === undefined
    ? undefined
    : new Recording(real.size(), { title: session.title });
  const io: TerminalIo = recording === undefined ? real : recorded(real, recording);
  const { dashboard, options } = make(session, world, flags, begin, lookOf(flags));
  const code = await run(dashboard, { ...options, io, describe });
  if (recording !== undefined) writeFile(flags.record!, recording.text);
  if (flags.screenshot !== undefined) dashboard.screenshot(flags.screenshot);
  return code;
}

/** The same script and seed give the same bytes: nothing here knows what time it is. */
async function playScript(
  session: Session,
  world: World,
  flags: DashboardFlags,
  begin: readonly string[],
  describe: (error: unknown) => string,
): Promise<number> {
  const size = flags.size ?? SIZE;
  const io = new ScriptedIo(size);
  const recording = new Recording(size, { title: session.title });
  const look = lookOf(flags);
  const { dashboard, options } = make(
    session,
    world,
    flags,
    begin,
    // There is nobody to be asked what colours there are.
    {
      ...look,
      depth: flags.color === "auto" ? "truecolor" : flags.color,
      background: flags.background === "auto" ? "dark" : flags.background,
    },
    () => 0,
  );
  const hands = {
    screenshot: (file: string) => void dashboard.screenshot(file),
    marker: (label: string) => recording.marker(io.now(), label),
  };
  const steps = flags.keys === undefined ? A_SECOND : scriptOf(flags.keys, hands);
  let ended: number | undefined;
  void run(dashboard, { ...options, io: recorded(io, recording), describe })
    .then((code) => ended = code);
  await io.play(steps, () => ended !== undefined);
  if (flags.screenshot !== undefined) dashboard.screenshot(flags.screenshot);
  if (flags.record !== undefined) writeFile(flags.record, recording.text);
  for (const error of io.errors) console.error(error.trimEnd());
  return io.exitCode ?? ended ?? 0;
}

function scriptOf(file: string, hands: Parameters<typeof parseKeyScript>[1]): ScriptStep[] {
  try {
    return parseKeyScript(textOf(file), hands);
  } catch (error) {
    if (!(error instanceof KeyScriptError)) throw error;
    throw new UsageError(error.message, file, { line: error.line, column: 1 });
  }
}

/** Lines in, lines out, until one of them is quit or there are no more. */
async function plain(
  session: Session,
  world: World,
  flags: DashboardFlags,
  begin: readonly string[],
): Promise<number> {
  const encoder = new TextEncoder();
  const write = (text: string) => {
    const bytes = encoder.encode(text);
    for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
  };
  const { readOnly = false } = flags;
  const dashboard = new Plain(session, { world, readOnly }, (line) => write(line + "\n"));
  for (const line of begin) dashboard.line(line);
  const asks = Deno.stdin.isTerminal();
  const ask = () => asks && write(dashboard.prompt);
  ask();
  const decoder = new TextDecoder(), buffer = new Uint8Array(65536);
  let rest = "";
  while (dashboard.exitCode === undefined) {
    const count = await Deno.stdin.read(buffer);
    rest += count === null ? "\n" : decoder.decode(buffer.subarray(0, count), { stream: true });
    for (let end; (end = rest.indexOf("\n")) >= 0 && dashboard.exitCode === undefined;) {
      dashboard.line(rest.slice(0, end));
      rest = rest.slice(end + 1);
      ask();
    }
    if (count === null) break;
  }
  return dashboard.exitCode ?? (dashboard.failures > 0 ? 2 : 0);
}
