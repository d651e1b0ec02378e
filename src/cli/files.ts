import { BUILTIN } from "../scenario/builtin.ts";
import { defectScenario, isDefectScenario } from "../scenario/defects.ts";
import { didYouMean, UsageError } from "../scenario/errors.ts";
import { type LoadedScenario, loadScenario } from "../scenario/load.ts";

/** Reads a file a flag named, or says which permission or file is missing (a {@link UsageError}). */
export function readFile(path: string): Uint8Array {
  if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") {
    throw new UsageError(
      `reading ${path} is not allowed: give deno run the flag --allow-read=${path}`,
    );
  }
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${reason(error)}`);
  }
}

/** What went wrong, in a word. */
export function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder";
  if (error instanceof Deno.errors.NotADirectory) return "a part of the path is no folder";
  return error instanceof Error ? error.message : String(error);
}

/** A scenario by name: a built-in one, `defect-…`, or a file when the name looks like one. */
export function openScenario(name: string): LoadedScenario {
  if (isDefectScenario(name)) return defectScenario(name);
  const { text, file } = readScenario(name);
  return loadScenario(text, file);
}

function readScenario(name: string): { text: string; file: string } {
  const builtin = BUILTIN.get(name);
  if (builtin !== undefined) return { text: builtin, file: `scenarios/${name}.yaml` };
  if (!/\.ya?ml$/.test(name)) {
    const names = [...BUILTIN.keys()];
    throw new UsageError(
      `there is no scenario ${JSON.stringify(name)}${didYouMean(name, names)} ` +
        `Built in: ${
          names.join(", ")
        } and defect-…; anything else must be a file that ends in .yaml`,
    );
  }
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(readFile(name)), file: name };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError("not UTF-8 text", name);
  }
}
