import assert from "node:assert/strict";
import { storedRun, worsened } from "../../bench/check.ts";
import { BenchError } from "../../bench/contender.ts";
import { measureGroup, measurePairs, type PairResult, type Side } from "../../bench/measure.ts";
import { GROUPS, type Pair } from "../../bench/pairs.ts";
import { jsonReport, markdownReport, type Report, textReport } from "../../bench/report.ts";
import { measureRuns, type RunResult, RUNS } from "../../bench/runs.ts";

const hasCc = await new Deno.Command("cc", { args: ["--version"] }).output()
  .then(({ success }) => success, () => false);

const PAIR: Pair = { name: "add", title: "adds", work: 1000, unit: "sums", goal: 2 };

/** A side that takes as long as is said, round by round. */
function side(checksum: number, ...ns: number[]): Side {
  let round = 0;
  return { run: () => Promise.resolve({ ns: ns[round++ % ns.length] as number, checksum }) };
}

Deno.test("a ratio is that of the same round; warm-up does not count", async () => {
  const reference = side(5, 1, 1, 100, 200, 400), we = side(5, 1e9, 1e9, 150, 200, 1200);
  const [result] = await measurePairs(reference, we, [PAIR], 3);
  assert.deepEqual(result?.ratio, { median: 1.5, min: 1, max: 3 });
  assert.equal(result?.rounds, 3);
});

Deno.test("two sides that do not compute the same are no pair", async () => {
  await assert.rejects(
    measurePairs(side(5, 1), side(6, 1), [PAIR], 1),
    (error) =>
      error instanceof BenchError && error.message === "add: the reference computed 5, we 6",
  );
});

/** Sizes are divided by 1024, or by what keeps a group what it is; some pairs stand for all. */
const SMALL: Record<string, { divisor: number; names?: readonly string[] }> = {
  devices: { divisor: 1000 },
  handover: { divisor: 1, names: ["handover-1g-4k", "handover-64g-2m"] },
};

Deno.test({
  name: "every pair computes the same on both sides, in small",
  ignore: !hasCc,
}, async (t) => {
  const folder = await Deno.makeTempDir();
  try {
    for (const group of GROUPS.filter(({ libraries }) => libraries !== undefined)) {
      await t.step(group.name, async () => {
        const { divisor, names } = SMALL[group.name] ?? { divisor: 1024 };
        const pairs = group.pairs.filter(({ name }) => names?.includes(name) ?? true);
        let results: PairResult[];
        try {
          results = await measureGroup(group, pairs, folder, { rounds: 1, divisor });
        } catch (error) {
          // A machine may have a compiler and not the library.
          if (error instanceof BenchError && error.message.startsWith("cannot build")) return;
          throw error;
        }
        assert.deepEqual(results.map(({ name }) => name), pairs.map(({ name }) => name));
        for (const { name, ratio } of results) assert.ok(ratio.median > 0, name);
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({ name: "a run is measured beside an empty one", ignore: !hasCc }, async () => {
  const folder = await Deno.makeTempDir();
  try {
    const run = { name: "run-eval", title: "", args: ["--no-prompt", `${folder}/empty.ts`] };
    const [result, kexec] = await measureRuns([run], folder, "sleep 0.05", 1);
    assert.ok(result!.cpu.median > 0 && result!.wall!.median > 0 && result!.peak! > 1);
    assert.ok(kexec!.wall!.median >= 50 && kexec!.cpu.median < 50);
    const failing = { ...run, args: ["--no-prompt", `${folder}/missing.ts`] };
    await assert.rejects(measureRuns([failing], folder, undefined, 1), /exit status 1/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

const spread = (median: number) => ({ median, min: median / 2, max: median * 2 });

function reportOf(pairs: Record<string, number>, runs: Record<string, number> = {}): Report {
  const times = { ours: spread(10), reference: spread(5), cpu: spread(1), wall: undefined };
  const common = { title: "t", goal: 2, work: 1e6, unit: "pages", peak: undefined, rounds: 7 };
  const made = (ratios: Record<string, number>) =>
    Object.entries(ratios).map(([name, ratio]) => ({
      ...common,
      ...times,
      name,
      ratio: spread(ratio),
    }));
  return { version: 1, pairs: made(pairs) as PairResult[], runs: made(runs) as RunResult[] };
}

Deno.test("what got worse by more than a third is named, and nothing else", () => {
  const stored = reportOf({ same: 1, third: 1.5, worse: 1.5, gone: 1 }, { run: 10 });
  const now = reportOf({ same: 0.5, third: 2, worse: 2.01, new: 99 }, { run: 14 });
  assert.deepEqual(worsened(now, storedRun(jsonReport(stored))), [
    "worse: 2.01 times the reference, was 1.50",
    "run: 14.00 times the reference, was 10.00",
  ]);
});

Deno.test("only a stored run can be compared with", () => {
  for (const text of ["", "null", "7", "{}", '{"version":2,"pairs":[],"runs":[]}']) {
    assert.throws(() => storedRun(text), BenchError, text);
  }
});

Deno.test("the report says for each pair and run whether it meets its goal", () => {
  const lines = textReport(reportOf({ good: 1.5, bad: 2.5 }, { run: 3 })).split("\n");
  assert.match(lines[1]!, /^good +1\.50 \(0\.75-3\.00\) +<= 2 +5\.00 +10\.0 +100M pages\/s +t$/);
  assert.match(lines[2]!, /^bad .* above 2 /);
  assert.match(lines[5]!, /^run +3\.00 \(1\.50-6\.00\) +above 2 +1\.00 +t$/);
});

Deno.test("in Markdown the columns stand under each other", () => {
  const [head, rule, row] = markdownReport(reportOf({ good: 1.5 })).split("\n");
  assert.match(head!, /^\| pair {3}\| ratio \(min-max\) {2}\| goal/);
  assert.match(rule!, /^\| -{6} \| -{16} \| -/);
  assert.match(row!, /^\| `good` \| 1\.50 \(0\.75-3\.00\) \| <= 2/);
  assert.ok(head!.length === rule!.length && rule!.length === row!.length);
});

Deno.test("docs/performance.md knows every pair and run", () => {
  const docs = Deno.readTextFileSync(new URL("../../docs/performance.md", import.meta.url));
  const names = [...GROUPS.flatMap(({ pairs }) => pairs), ...RUNS].map(({ name }) => name);
  assert.deepEqual(names.filter((name) => !docs.includes(`\`${name}\``)), []);
});
