import { type FinishedRun, type Run, runScenario } from "../src/scenario/run.ts";

/** Something that has emulated memory, like a platform or a machine. */
interface Disposable {
  dispose(): void;
}

/** What the test that runs has made, the newest last. */
const made: Disposable[] = [];
let running = false;

/** So many are kept track of: a test that makes hundreds leaves the others to the garbage collector. */
const MOST = 8;

Deno.test.beforeEach(() => {
  running = true;
});

Deno.test.afterEach(() => {
  running = false;
  for (const one of made.splice(0)) one.dispose();
});

/** Made by a test, of no use after it: the next one gets its memory. What is made outside of tests stays. */
export function throwAway<T extends Disposable>(one: T): T {
  if (running) made.push(one);
  if (made.length > MOST) made.shift();
  return one;
}

/** Runs a scenario to its end; its platform goes with the test. */
export function playOut(run: Run): FinishedRun {
  throwAway(run.platform);
  return runScenario(run);
}
