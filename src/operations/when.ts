import type { Snapshot } from "../platform/snapshot.ts";

/** Why nothing can make system calls now; null when a kernel is up. */
export function whenUp(s: Snapshot): string | null {
  if (s.panicked !== "") return `boot ${s.boot} has panicked: ${s.panicked}`;
  if (s.ready && !s.rebooting) return null;
  return s.ready ? `boot ${s.boot} shuts down` : `boot ${s.boot} is not up yet`;
}
