import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { formatSize, GiB } from "./base/units.ts";
import { type DashboardFlags, dashboardOptions, wantsDashboard } from "./cli/dashboard_options.ts";
import { openScenario } from "./cli/files.ts";
import {
  ALL_PROFILES,
  COMPARE_FORMS,
  type CompareForm,
  PROGRAMS,
  VERSION_PROFILES,
} from "./cli/programs.ts";
import { runFor, sessionOf, worldOf } from "./cli/world.ts";
import { imageWith } from "./kernel/image.ts";
import { findCauses } from "./scenario/causes.ts";
import { BUILTIN } from "./scenario/builtin.ts";
import { addDefects } from "./scenario/defects.ts";
import { didYouMean, UsageError } from "./scenario/errors.ts";
import { EXIT } from "./scenario/judge.ts";
import { imageComplaint } from "./operations/image_name.ts";
import { type LoadedScenario, loadScenario } from "./scenario/load.ts";
import { jsonReport, textReport } from "./scenario/report.ts";
import { prepare, type Run, runScenario } from "./scenario/run.ts";

const VERSION = "0.1.0";
/** Bad usage or a bad file; nothing was done. */
const EXIT_USAGE = 2;
/** A bug of the emulator itself. */
const EXIT_INTERNAL = 70;

interface Options extends DashboardFlags {
  readonly scenario?: string;
  readonly report: "text" | "json";
  readonly seed?: number;
  readonly kernel?: string;
  readonly defect?: readonly string[];
  readonly dump?: string;
}

function seed(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 0xffffffff) {
    throw new InvalidArgumentError("expected a whole number from 0 to 4294967295");
  }
  return value;
}

function image(name: string): string {
  const wrong = imageComplaint(name);
  if (wrong !== undefined) throw new UsageError(`--kernel ${name}: ${wrong}`);
  return name;
}

function defects(text: string): string[] {
  const ids = text.split(",").map((id) => id.trim());
  if (ids.some((id) => id === "")) {
    throw new UsageError(`--defect ${text}: expected ids with commas between, such as D55,D57`);
  }
  return ids;
}

/**
 * The scenario and the image to run it on: `--kernel` for every boot, or the scenario's own kernels,
 * each with what `--defect` adds.
 */
function chosenKernels(
  { kernel, defect }: Options,
  loaded: LoadedScenario,
): { loaded: LoadedScenario; image: string | undefined } {
  if (defect === undefined) return { loaded, image: kernel };
  const name = imageWith(kernel ?? loaded.scenario.kernel.image, defect);
  const wrong = imageComplaint(name);
  if (wrong !== undefined) throw new UsageError(`--defect ${defect.join(",")}: ${wrong}`);
  return kernel === undefined
    ? { loaded: addDefects(loaded, defect), image: undefined }
    : { loaded, image: name };
}

/** The command line of the program. */
export function commandLine(exit: (code: number) => void): Command {
  const program = new Command("hitless")
    .description(
      "Emulates the platform on which a hypervisor is live-updated while devices keep doing DMA.\n" +
        "Without --scenario: a dashboard on the tour; without a terminal, the tour as a scripted run.",
    )
    .version(VERSION)
    .enablePositionalOptions()
    .option("--scenario <name>", "run a built-in scenario, or FILE.yaml, and judge it")
    .addOption(
      new Option("--report <form>", "form of the report").choices(["text", "json"]).default("text"),
    )
    .option("--seed <n>", "seed of everything that is open (default: the scenario's)", seed)
    .option("--kernel <image>", "kernel image, instead of the scenario's", image)
    .option("--defect <ids>", "defects the kernel is to have besides: D55,D57", defects)
    .option("--dump <dir>", "write kho-N.dtb, vmcore-N and state-N.json at each kexec")
    .addHelpText(
      "after",
      "\nExit status: 0 holds, 1 violated, 2 bad usage or file, 3 vacuous, 70 internal, " +
        "130 interrupted.",
    )
    .action(async (_args: unknown, command: Command) => exit(await start(command.opts<Options>())));
  dashboardOptions(program);
  program.command("scenarios").description("list the built-in scenarios").action(() => {
    print(listScenarios());
    exit(0);
  });
  program.command("kho <file>").description("print a flattened device tree, KHO nodes explained")
    .action(async (file: string) => {
      const { printKho } = await PROGRAMS.kho();
      print(printKho(file));
      exit(0);
    });
  program.command("defects [ids...]")
    .description("the faults of the posted series: all, or one with its story")
    .addOption(
      new Option("--report <form>", "form of the list").choices(["text", "json"]).default("text"),
    )
    .option("--run", "run each one's scenario with it and without it, and say what catches it")
    .option("--seed <n>", "seed of everything that is open", seed, 1)
    .action(async (ids: string[], options: { report: string; run?: boolean; seed: number }) => {
      const { defectsJson, explainDefect, listDefects, runDefects } = await PROGRAMS.defects();
      if (options.run) {
        const { text, ok } = runDefects(ids, options.seed);
        print(text);
        return exit(ok ? 0 : 1);
      }
      print(
        options.report === "json"
          ? defectsJson()
          : ids.length === 0
          ? listDefects()
          : ids.map(explainDefect).join("\n"),
      );
      exit(0);
    });
  addReviewCommands(program, exit);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().showSuggestionAfterError(true).allowExcessArguments(false);
    command.configureOutput({
      // Asked about colours, the parser would look into the environment, which needs a permission.
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      outputError: (text, write) => write(text.replace(/^error: /, "hitless: ")),
    });
  }
  return program;
}

/** The commands that answer what the review asked. */
function addReviewCommands(program: Command, exit: (code: number) => void): void {
  program.command("compare")
    .description("the designs side by side: what an update costs, and which failures they survive")
    .option("--guest <sizes>", "memory of the guest", "1GiB,16GiB")
    .option("--page <sizes>", "pages it is mapped with: 4KiB, 2MiB, 1GiB", "4KiB,2MiB")
    .addOption(
      new Option("--report <form>", "form of the table").choices([...COMPARE_FORMS]).default(
        "text",
      ),
    )
    .action(async (options: { guest: string; page: string; report: CompareForm }) => {
      const { casesOf, compare, sizes, withProgress } = await PROGRAMS.compare();
      const { cases, left } = casesOf(
        sizes("guest", options.guest, GiB),
        sizes("page", options.page, 4096),
      );
      for (const { guest, page } of left) {
        console.error(
          `hitless: ${formatSize(guest)} in pages of ${
            formatSize(page)
          } is left out: its tables do ` +
            "not fit into the machine",
        );
      }
      print(withProgress((note) => compare(cases, options.report, note)));
      exit(0);
    });
  program.command("versions")
    .description("every kernel image into every other: what goes on, is refused, or is blocked")
    .addOption(
      new Option("--profile <name>", "machine profile").choices([
        ...VERSION_PROFILES,
        ALL_PROFILES,
      ]).default("intel-legacy"),
    )
    .action(async (options: { profile: string }) => {
      const { withProgress } = await PROGRAMS.compare();
      const { versions } = await PROGRAMS.versions();
      const { text, safe } = withProgress((note) => versions(options.profile, note));
      print(text);
      exit(safe ? 0 : 1);
    });
}

function listScenarios(): string {
  const width = Math.max(...[...BUILTIN.keys()].map((name) => name.length));
  return [...BUILTIN].map(([name, text]) => {
    const { scenario } = loadScenario(text, name);
    const sentence = scenario.description.trim().replaceAll(/\s+/g, " ").split(/(?<=\.)\s/)[0];
    return `${name.padEnd(width)}  ${sentence}\n`;
  }).join("");
}

/** Dashboard or scripted run; the exit status. */
async function start(options: Options): Promise<number> {
  const named = openScenario(options.scenario ?? "tour");
  const { dump: folder } = options;
  const dump = folder === undefined ? undefined : (await PROGRAMS.dump()).prepareDump(folder);
  const terminal = Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  const interactive = wantsDashboard(options) || (options.scenario === undefined && terminal);
  const { loaded, image: chosen } = chosenKernels(options, named);
  const run = interactive
    ? runFor(loaded, options.seed, chosen)
    : prepare(loaded, options.seed, chosen);
  current = run;
  if (dump !== undefined) run.platform.onJump = dump;
  if (interactive) {
    const { startDashboard } = await PROGRAMS.dashboard();
    const opened = (next: Run) => {
      current = next;
    };
    const describe = (error: unknown) => internalError(error, Deno.args);
    return await startDashboard(sessionOf(run, opened), worldOf(opened), options, describe);
  }
  const judged = runScenario(run);
  const finished = { ...judged, causes: findCauses(run, judged.judgement.invariants) };
  print(options.report === "json" ? jsonReport(finished) : textReport(finished));
  return EXIT[finished.judgement.verdict];
}

/** The run that is on, for what an internal error has to say. */
let current: Run | undefined;

function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

/** Seed, virtual time and the command that comes to the same place again. */
function internalError(error: unknown, args: readonly string[]): string {
  const what = error instanceof Error ? error.stack ?? error.message : String(error);
  const where = current === undefined
    ? ""
    : `seed ${current.seed}, virtual time ${current.platform.now} ns\n`;
  return `internal error: this is a bug in hitless\n${where}` +
    `repeat with: deno run main.ts ${args.join(" ")}\n${what}`;
}

const COMMANDS = ["scenarios", "kho", "compare", "versions", "defects", "help"];

/** A first word that is neither a flag nor a command. */
function checkCommand(args: readonly string[]): void {
  const word = args[0];
  if (word === undefined || word.startsWith("-") || COMMANDS.includes(word)) return;
  const hint = BUILTIN.has(word)
    ? `, did you mean --scenario ${word}?`
    : didYouMean(word, COMMANDS);
  throw new UsageError(`there is no command ${JSON.stringify(word)}${hint}`);
}

/** Runs the program; answers its exit status. Never throws. */
export async function main(args: readonly string[]): Promise<number> {
  let status = 0;
  try {
    checkCommand(args);
    await commandLine((code) => status = code).parseAsync([...args], { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    if (error instanceof UsageError) {
      console.error(`hitless: ${error.text}`);
      return EXIT_USAGE;
    }
    console.error(internalError(error, args));
    return EXIT_INTERNAL;
  }
}
