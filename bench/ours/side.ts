import process from "node:process";

/** One benchmark on our side: prepares, times its hot part with {@link timed}, and tells what came of it. */
export type Benchmark = () => number;

/** Short runs that are measured together: what the garbage collector does now and then is longer. */
export const IN_A_ROW = 20;

let took = 0;

/** Nanoseconds of CPU time, of all threads, that the parts took that were {@link timed} since. */
export function takeTime(): number {
  const ns = took;
  took = 0;
  return ns;
}

/** Microseconds of CPU time so far: the compiler's and the garbage collector's threads count. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Runs the part that counts. */
export function timed<T>(part: () => T): T {
  const began = cpuTime();
  const result = part();
  took += (cpuTime() - began) * 1000;
  return result;
}

/** One step of the checksum: the same as `mix` in c/bench.h. */
export function mix(sum: number, word: number): number {
  const h = Math.imul(sum ^ word, 0x9e3779b1);
  return h ^ (h >>> 15);
}
