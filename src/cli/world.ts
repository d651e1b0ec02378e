import type { Session, World } from "../dashboard/session.ts";
import { BUILTIN } from "../scenario/builtin.ts";
import { UsageError } from "../scenario/errors.ts";
import { firstUpdate, prepare, type Run } from "../scenario/run.ts";
import { saveText } from "../scenario/save.ts";
import type { LoadedScenario } from "../scenario/load.ts";
import { openScenario, reason } from "./files.ts";

/** Writes a file a person named, or says which flag or folder is missing (a {@link UsageError}). */
export function writeFile(path: string, text: string): void {
  if (Deno.permissions.querySync({ name: "write", path }).state !== "granted") {
    throw new UsageError(
      `writing ${path} is not allowed: give deno run the flag --allow-write=${path}`,
    );
  }
  try {
    Deno.writeTextFileSync(path, text);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "there is no such folder" : reason(error);
    throw new UsageError(`cannot write ${path}: ${why}`);
  }
}

/**
 * A scenario as a dashboard takes it over: before its first live update, or where it was saved.
 * `opened`: told of each run that follows it.
 */
export function sessionOf(run: Run, opened: (run: Run) => void): Session {
  const { loaded, timeline, image } = run;
  const { name, until } = loaded.scenario;
  return {
    timeline,
    title: name,
    image,
    ...(until === undefined ? {} : { until }),
    again(kernel) {
      const first = timeline.platform.spec.kernel;
      const asWritten = first === loaded.scenario.kernel.image ? undefined : first;
      const fresh = runFor(loaded, run.seed, kernel ?? asWritten);
      opened(fresh);
      return sessionOf(fresh, opened);
    },
    text: (now, as) =>
      saveText({ ...run, timeline: now, platform: now.platform, steps: now.results }, as),
  };
}

/** Makes a run of a scenario for a dashboard: all of a saved session, else up to the first update. */
export function runFor(loaded: LoadedScenario, seed?: number, image?: string): Run {
  const end = loaded.scenario.until === undefined ? firstUpdate(loaded) : Infinity;
  return prepare(loaded, seed, image, end);
}

/** `opened`: told of each run that is opened. */
export function worldOf(opened: (run: Run) => void): World {
  return {
    scenarios: [...BUILTIN.keys()],
    open(name) {
      const run = runFor(openScenario(name));
      opened(run);
      return sessionOf(run, opened);
    },
    write: writeFile,
  };
}
