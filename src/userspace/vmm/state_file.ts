import { MiB } from "../../base/units.ts";
import { MAP_SHARED, O_CREAT, O_RDWR, PROT_READ, PROT_WRITE, type Sys } from "../../uapi/sys.ts";
import { ENOENT } from "../../uapi/errno.ts";
import { must } from "../calls.ts";
import { MEMORY_DIR } from "./config.ts";

const SIZE = 2 * MiB;
const MAGIC = 0x53544154;

/** Path of the file in which a VMM leaves word for the one after it. */
export function statePath(name: string): string {
  return `${MEMORY_DIR}/${name}.state`;
}

/** Maps the file; the descriptor is not needed any more. */
function map(sys: Sys, fd: number): number {
  const at = must("mmap state file", sys.mmap(SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  sys.close(fd);
  return at;
}

/** Makes the file, which must happen before the KHO dump freezes the file system. */
export function createStateFile(sys: Sys, name: string): number {
  const fd = must(statePath(name), sys.open(statePath(name), O_RDWR | O_CREAT));
  must("ftruncate state file", sys.ftruncate(fd, SIZE));
  return map(sys, fd);
}

/** Writes the state into the mapped file: magic, length, JSON. */
export function saveState(sys: Sys, at: number, state: object): void {
  const text = new TextEncoder().encode(JSON.stringify(state));
  sys.copyOut(at + 8, text);
  sys.store32(at + 4, text.length);
  // The magic goes last: a half-written state must not be taken for one.
  sys.store32(at, MAGIC);
}

/** What the previous VMM of this name left; undefined when there is none. */
export function loadState<S extends object>(sys: Sys, name: string): S | undefined {
  const fd = sys.open(statePath(name), O_RDWR);
  if (fd < 0 || sys.fsize(fd) === 0) return undefined;
  const at = map(sys, fd);
  const saved = sys.load32(at) === MAGIC;
  const text = saved ? new TextDecoder().decode(sys.copyIn(at + 8, sys.load32(at + 4))) : "";
  sys.munmap(at, SIZE);
  return saved ? JSON.parse(text) as S : undefined;
}

/** Removes the file, if there is one. `at`: where it is mapped, -1 when it is not. */
export function removeStateFile(sys: Sys, name: string, at: number): void {
  if (at >= 0) sys.munmap(at, SIZE);
  const rc = sys.unlink(statePath(name));
  if (rc !== -ENOENT) must("unlink state file", rc);
}
