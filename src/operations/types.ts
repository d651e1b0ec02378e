import type { z } from "zod";
import type { Script } from "../platform/director.ts";
import type { Platform } from "../platform/platform.ts";

/** What an operation came to. `errno` 0: it worked. */
export interface Outcome {
  readonly errno: number;
  /** For the reader of a report: what was answered. */
  readonly detail?: string;
}

export const OK: Outcome = { errno: 0 };

/** A system call's return value as an outcome. */
export function answered(rc: number, detail?: string): Outcome {
  const outcome = { errno: rc < 0 ? -rc : 0 };
  return detail === undefined ? outcome : { ...outcome, detail };
}

/** Names of things an argument can stand for, for checking a scenario before it runs. */
export interface Names {
  readonly vms: readonly string[];
  readonly devices: readonly string[];
  readonly images: readonly string[];
}

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
  ioas: number;
  persistentId: number;
}

/** A verb: one row of the table that scenario steps, the command line and the docs are made from. */
export interface Operation {
  readonly name: string;
  readonly summary: string;
  readonly args: z.ZodObject;
  /** Arguments that name a VM, device or image, and which of them. */
  readonly refers?: Readonly<Record<string, keyof Names>>;
  run(session: Session, args: Record<string, unknown>): Script<Outcome>;
}

/** Writes a row with its arguments typed. */
export function operation<S extends z.ZodObject>(row: {
  name: string;
  summary: string;
  args: S;
  refers?: Readonly<Record<string, keyof Names>>;
  run(session: Session, args: z.output<S>): Script<Outcome>;
}): Operation {
  return row as unknown as Operation;
}
