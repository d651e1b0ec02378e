/**
 * `deno task bench`: our hot paths against C, measured side by side. Runs on this machine compare
 * with each other as ratios only; times depend on what else it does.
 */
import { parseArgs } from "node:util";
import { worsened } from "./check.ts";
import { BenchError } from "./contender.ts";
import { measureGroup, type PairResult } from "./measure.ts";
import { GROUPS } from "./pairs.ts";
import { jsonReport, type Report, textReport } from "./report.ts";

const USAGE = `deno task bench [--only PATTERN] [--rounds N] [--report text|json] [--check FILE]

  --only PATTERN  only groups and pairs whose name contains it; or several, with commas
  --rounds N      rounds that count, at least 7; 9 unless said
  --report FORM   text, or json to be stored
  --check FILE    compares ratios with a stored run: exit status 1 and a line for each that got
                  worse by more than a third
`;
const MIN_ROUNDS = 7;

async function main(): Promise<number> {
  const options = readOptions(Deno.args);
  if (typeof options === "string") {
    console.error(`${options}\n\n${USAGE}`);
    return 2;
  }
  const { only, rounds, report: form, check } = options;
  const stored = check === undefined ? undefined : JSON.parse(Deno.readTextFileSync(check));
  const folder = await Deno.makeTempDir();
  const pairs: PairResult[] = [];
  try {
    for (const group of GROUPS) {
      const chosen = group.pairs.filter((p) =>
        only.some((word) => p.name.includes(word) || group.name === word)
      );
      if (chosen.length === 0) continue;
      pairs.push(...await measureGroup(group, chosen, folder, { rounds, divisor: 1 }));
    }
  } catch (error) {
    if (!(error instanceof BenchError)) throw error;
    console.error(error.message);
    return 1;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const report: Report = { version: 1, pairs };
  Deno.stdout.writeSync(
    new TextEncoder().encode(form === "json" ? jsonReport(report) : textReport(report)),
  );
  const worse = stored === undefined ? [] : worsened(report, stored);
  for (const line of worse) console.error(`worse: ${line}`);
  return worse.length > 0 ? 1 : 0;
}

interface Options {
  readonly only: readonly string[];
  readonly rounds: number;
  readonly report: "text" | "json";
  readonly check: string | undefined;
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
      },
    }));
  } catch (error) {
    return (error as Error).message;
  }
  const { only, rounds, report, check } = values;
  if (!/^\d+$/.test(rounds) || Number(rounds) < MIN_ROUNDS) {
    return `--rounds ${rounds}: expected a number from ${MIN_ROUNDS}`;
  }
  if (report !== "text" && report !== "json") return `--report ${report}: expected text or json`;
  return { only: only.split(","), rounds: Number(rounds), report, check };
}

Deno.exit(await main());
