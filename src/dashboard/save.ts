import type { Timeline } from "../operations/timeline.ts";
import type { Session, World } from "./session.ts";

/** A scenario's name from a file's: `My session.yaml` is `my-session`. */
function nameOf(file: string): string {
  return file.replace(/^.*\//, "").replace(/\.ya?ml$/, "").toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-").replace(/^[^a-z]+/, "") || "session";
}

/** Writes the session so far as a scenario; what to tell of it. An Error says why not. */
export function saveSession(
  session: Session,
  timeline: Timeline,
  world: World,
  file: string,
): string {
  if (!/\.ya?ml$/.test(file)) throw new Error(`${file}: a scenario's name ends in .yaml`);
  if (session.text === undefined) throw new Error("this session cannot be saved");
  world.write(file, session.text(timeline, nameOf(file)));
  return `saved to ${file}, event hash ${timeline.platform.machine.hash.digest()}`;
}
