/**
 * `deno task bench`: our hot paths against C, measured side by side. Runs on this machine compare
 * with each other as ratios only; times depend on what else it does.
 */
import { parseArgs } from "node:util";
import { storedRun, worsened } from "./check.ts";
import { BenchError } from "./contender.ts";
import { measureGroup, type PairResult } from "./measure.ts";
import { GROUPS } from "./pairs.ts";
import { jsonReport, markdownReport, textReport } from "./report.ts";
import { measureRuns, type RunResult, RUNS } from "./runs.ts";

const USAGE = `deno task bench [--only PATTERN] [--rounds N] [--report FORM] [--check FILE]
                [--kexec COMMAND] [--show FILE]

  --only PATTERN  only pairs and runs whose name contains it, or a group by its name (the runs are
                  "whole" and "growth"); or several, with commas
  --rounds N      rounds that count, at least 7; 9 unless said
  --kexec COMMAND a command that goes through one kexec in QEMU, to be measured beside the runs
  --report FORM   text, json to be stored, or markdown
  --show FILE     a stored run in that form; nothing is measured
  --check FILE    compares ratios with a stored run: exit status 1 and a line for each that got
                  worse by more than a third
`;
const MIN_ROUNDS = 7;
const FORMS = { text: textReport, json: jsonReport, markdown: markdownReport };

function isForm(form: string): form is keyof typeof FORMS {
  return Object.hasOwn(FORMS, form);
}

async function main(): Promise<number> {
  const options = readOptions(Deno.args);
  if (typeof options === "string") {
    console.error(`${options}\n\n${USAGE}`);
    return 2;
  }
  const { only, rounds, report: form, check, kexec, show } = options;
  const folder = await Deno.makeTempDir();
  try {
    const stored = check === undefined ? undefined : storedRun(Deno.readTextFileSync(check));
    const report = show !== undefined ? storedRun(Deno.readTextFileSync(show)) : {
      version: 1 as const,
      pairs: await measurePairs(only, folder, rounds),
      runs: await measureWholeRuns(only, folder, kexec),
    };
    Deno.stdout.writeSync(new TextEncoder().encode(FORMS[form](report)));
    const worse = stored === undefined ? [] : worsened(report, stored);
    for (const line of worse) console.error(`worse: ${line}`);
    return worse.length > 0 ? 1 : 0;
  } catch (error) {
    if (!(error instanceof BenchError || error instanceof Deno.errors.NotFound)) throw error;
    console.error(error.message);
    return 1;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function measurePairs(
  only: readonly string[],
  folder: string,
  rounds: number,
): Promise<PairResult[]> {
  const pairs: PairResult[] = [];
  for (const group of GROUPS) {
    const chosen = group.pairs.filter((p) => isChosen(only, p.name, group.name));
    if (chosen.length === 0) continue;
    pairs.push(...await measureGroup(group, chosen, folder, { rounds, divisor: 1 }));
  }
  return pairs;
}

async function measureWholeRuns(
  only: readonly string[],
  folder: string,
  kexec: string | undefined,
): Promise<RunResult[]> {
  const chosen = RUNS.filter((run) => isChosen(only, run.name, run.group ?? "whole"));
  if (chosen.length === 0) return [];
  if (kexec === undefined) console.error("one kexec in QEMU: not here (--kexec tells how)");
  return await measureRuns(chosen, folder, kexec);
}

function isChosen(only: readonly string[], name: string, group: string): boolean {
  return only.some((word) => name.includes(word) || group === word);
}

interface Options {
  readonly only: readonly string[];
  readonly rounds: number;
  readonly report: keyof typeof FORMS;
  readonly check: string | undefined;
  readonly kexec: string | undefined;
  readonly show: string | undefined;
}

/** The options, or what is wrong with them. */
function readOptions(args: string[]): Options | string {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        only: { type: "string", default: "" },
        rounds: { type: "string", default: "9" },
        report: { type: "string", default: "text" },
        check: { type: "string" },
        kexec: { type: "string" },
        show: { type: "string" },
      },
    }));
  } catch (error) {
    return (error as Error).message;
  }
  const { only, rounds, report, check, kexec, show } = values;
  if (!/^\d+$/.test(rounds) || Number(rounds) < MIN_ROUNDS) {
    return `--rounds ${rounds}: expected a number from ${MIN_ROUNDS}`;
  }
  if (!isForm(report)) {
    return `--report ${report}: expected one of ${Object.keys(FORMS).join(", ")}`;
  }
  return { only: only.split(","), rounds: Number(rounds), report, check, kexec, show };
}

Deno.exit(await main());
