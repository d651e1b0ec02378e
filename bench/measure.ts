import { type Answer, BenchError, buildReference, Contender, ours } from "./contender.ts";
import type { Group, Pair } from "./pairs.ts";
import { type Spread, spread } from "./statistics.ts";

/** Rounds before those that count: code gets compiled, memory is touched. */
const WARM_UP = 2;

export interface PairResult {
  readonly name: string;
  readonly title: string;
  /** Our time by the reference's time in the same round. */
  readonly ratio: Spread;
  readonly goal: number | undefined;
  /** Milliseconds. */
  readonly ours: Spread;
  readonly reference: Spread;
  readonly work: number;
  readonly unit: string;
  readonly rounds: number;
}

/** What is measured: it runs a benchmark by its name. */
export interface Side {
  run(benchmark: string): Promise<Answer>;
}

/** Measures the pairs of a group, in two processes of their own. Throws as {@link measurePairs} does. */
export async function measureGroup(
  group: Group,
  pairs: readonly Pair[],
  folder: string,
  { rounds, divisor }: { rounds: number; divisor: number },
): Promise<PairResult[]> {
  const reference = await referenceOf(group, folder, divisor);
  const we = ours(group.name, divisor);
  try {
    const results = await measurePairs(reference, we, pairs, rounds);
    return results.map((result) => ({ ...result, work: result.work / divisor }));
  } finally {
    await reference.end();
    await we.end();
  }
}

/**
 * In each round every pair, and in it first the reference, then we. Throws BenchError where the two
 * do not compute the same.
 */
export async function measurePairs(
  reference: Side,
  we: Side,
  pairs: readonly Pair[],
  rounds: number,
): Promise<PairResult[]> {
  const times = pairs.map(() => ({ reference: [] as number[], ours: [] as number[] }));
  for (let round = -WARM_UP; round < rounds; round++) {
    for (const [i, pair] of pairs.entries()) {
      const a = await reference.run(pair.name), b = await we.run(pair.name);
      if (a.checksum !== b.checksum) {
        throw new BenchError(
          `${pair.name}: the reference computed ${a.checksum}, we ${b.checksum}`,
        );
      }
      if (round < 0) continue;
      times[i].reference.push(a.ns);
      times[i].ours.push(b.ns);
    }
  }
  return pairs.map((pair, i) => resultOf(pair, times[i]));
}

async function referenceOf(
  { name, libraries }: Group,
  folder: string,
  divisor: number,
): Promise<Contender> {
  if (libraries === undefined) return ours(`${name}-by-hand`, divisor, "reference");
  return new Contender("reference", await buildReference(folder, name, libraries), [`${divisor}`]);
}

function resultOf(
  { name, title, goal, work, unit }: Pair,
  times: { reference: number[]; ours: number[] },
): PairResult {
  const ms = (ns: number) => ns / 1e6;
  return {
    name,
    title,
    ratio: spread(times.ours.map((ns, round) => ns / times.reference[round])),
    goal,
    ours: spread(times.ours.map(ms)),
    reference: spread(times.reference.map(ms)),
    work,
    unit,
    rounds: times.ours.length,
  };
}
