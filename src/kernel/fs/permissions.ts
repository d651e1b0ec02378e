import { CAP_DAC_OVERRIDE } from "../../uapi/capability.ts";
import { O_RDONLY, O_WRONLY } from "../../uapi/sys.ts";
import type { Credentials } from "../process/user.ts";
import type { FsNode } from "./vfs.ts";

/** What is wanted of a file or directory, as its mode says it: reading, writing, passing through. */
export const MAY_READ = 4, MAY_WRITE = 2, MAY_EXEC = 1;
/** Modes of what does not say its own. */
const FILE_MODE = 0o666, DIR_MODE = 0o755;

/**
 * Whether a process may. Everything here is root's: for root the first three bits of the mode hold,
 * for others the last three. CAP_DAC_OVERRIDE is above all of them.
 */
export function permits(cred: Credentials, node: FsNode, want: number): boolean {
  if (cred.capable(CAP_DAC_OVERRIDE)) return true;
  const mode = node.mode ?? (node.kind === "dir" ? DIR_MODE : FILE_MODE);
  const bits = cred.user.uid === 0 ? mode >> 6 : mode;
  return (bits & want) === want;
}

/** What opening a file with these flags wants of it. */
export function wantOf(flags: number): number {
  const access = flags & 3;
  return (access !== O_WRONLY ? MAY_READ : 0) | (access !== O_RDONLY ? MAY_WRITE : 0);
}
