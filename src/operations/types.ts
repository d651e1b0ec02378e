import type * as z from "zod/mini";
import type { Script } from "../platform/director.ts";
import type { Platform } from "../platform/platform.ts";
import type { Snapshot } from "../platform/snapshot.ts";
import { EBADF, EINTR } from "../uapi/errno.ts";
import { TaskKilled } from "../uapi/sys.ts";
import { CallFailed } from "../userspace/calls.ts";

/** What an operation came to. `errno` 0: it worked. */
export interface Outcome {
  readonly errno: number;
  /** For the reader of a report: what was answered. */
  readonly detail?: string;
  /** What a person asked for: the text of a file, the number of a descriptor. */
  readonly output?: string;
}

export const OK: Outcome = { errno: 0 };

/** A system call's return value as an outcome. */
export function answered(rc: number, detail?: string): Outcome {
  const outcome = { errno: rc < 0 ? -rc : 0 };
  return detail === undefined ? outcome : { ...outcome, detail };
}

/** Runs calls of which any may throw {@link CallFailed}: its errno is the outcome then. */
export function attempt(run: () => Outcome): Outcome {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    return { errno: error.errno, detail: error.call };
  }
}

/** Names of things an argument can stand for, for checking a scenario before it runs. */
export interface Names {
  readonly vms: readonly string[];
  readonly devices: readonly string[];
  readonly images: readonly string[];
}

/**
 * Further things an argument can stand for: offered while it is written, not checked before a run,
 * since they come and go.
 */
export type Suggestion = keyof Names | "descriptors" | "files" | "paths" | "points" | "iommufds";

/** What operations keep between steps: open descriptors by the name a step gave them. */
export interface Session {
  readonly platform: Platform;
  /** Image a live update boots when none is named. */
  readonly image: string;
  readonly descriptors: Map<string, OpenDescriptor>;
}

/** An iommufd that a step opened, with the system calls of the task that has it. */
export interface OpenDescriptor {
  readonly sys: ReturnType<Platform["shell"]>;
  readonly fd: number;
  /** The boot it was opened in, and is gone with. */
  readonly boot: number;
  /** Its first IOAS; 0: none. */
  ioas: number;
  persistentId: number;
  /** Descriptors of devices bound to it, by the devices' ids. */
  readonly devices: Map<string, number>;
}

/** The descriptor of that name. EBADF: nobody opened it, or it went with its kernel. */
export function descriptorOf(
  { descriptors, platform }: Session,
  name: string,
): OpenDescriptor | Outcome {
  const d = descriptors.get(name);
  if (d === undefined) return { errno: EBADF, detail: `no step opened ${name}` };
  if (d.boot === platform.boots) return d;
  return { errno: EBADF, detail: `${name} went with boot ${d.boot}` };
}

/** A verb: one row of the table that scenario steps, the command line and the docs are made from. */
export interface Operation {
  readonly name: string;
  readonly summary: string;
  readonly args: z.ZodMiniObject;
  /** Arguments that name a VM, device or image, and which of them. */
  readonly refers?: Readonly<Record<string, keyof Names>>;
  /** Arguments for which there are things to offer. */
  readonly suggests?: Readonly<Record<string, Suggestion>>;
  /** What is lost by it and cannot be had back, as a sentence without its end. */
  readonly destroys?: string;
  /** Why it cannot be done now, whatever its arguments; null when it can be tried. */
  readonly unavailable?: (s: Snapshot) => string | null;
  run(session: Session, args: Record<string, unknown>): Script<Outcome>;
}

/** Writes a row with its arguments typed; `args` is asked once the operation is used. */
export function operation<S extends z.ZodMiniObject>(row: {
  name: string;
  summary: string;
  args: () => S;
  refers?: Readonly<Record<string, keyof Names>>;
  suggests?: Readonly<Record<string, Suggestion>>;
  destroys?: string;
  unavailable?: (s: Snapshot) => string | null;
  run(session: Session, args: z.output<S>): Script<Outcome>;
}): Operation {
  let args: S | undefined;
  return {
    ...row,
    get args() {
      return args ??= row.args();
    },
    run: (session: Session, given: z.output<S>) => survived(row.run(session, given)),
  } as unknown as Operation;
}

/** EINTR for an operation whose shell the kernel killed in the middle of a call. */
function* survived(script: Script<Outcome>): Script<Outcome> {
  try {
    return yield* script;
  } catch (error) {
    if (!(error instanceof TaskKilled)) throw error;
    return { errno: EINTR, detail: error.message };
  }
}
