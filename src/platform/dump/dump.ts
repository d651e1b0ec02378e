import type { Kernel } from "../../kernel/kernel.ts";
import { stateOf } from "./state.ts";
import { loadedTree } from "./tree.ts";
import { type Chunked, vmcore } from "./vmcore.ts";

/** A file of a dump, to be written by whoever may write files. */
export interface DumpFile extends Chunked {
  /** `vmcore-1`: no folder. */
  readonly name: string;
}

/** What is kept of one jump. */
export interface Dump {
  readonly files: readonly DumpFile[];
  /** Files that are not there, and why: one sentence each. */
  readonly notes: readonly string[];
}

/**
 * Everything there is to see at jump `n`, the end of boot number `n`: the device tree the next
 * kernel gets, physical memory, and what the old kernel believes. Made for `Platform.onJump`: take
 * the chunks before returning from it, for the next kernel's stores come right after.
 */
export function dumpOf(kernel: Kernel, n: number): Dump {
  const files: DumpFile[] = [], notes: string[] = [];
  const tree = loadedTree(kernel.kexec.loaded);
  const treeName = `kho-${n}.dtb`;
  if (tree !== undefined) files.push(file(treeName, tree.bytes));
  else notes.push(`${treeName} is missing: ${reason(kernel)}`);
  const core = vmcore(kernel.machine.memory, kernel);
  files.push({ name: `vmcore-${n}`, size: core.size, chunks: () => core.chunks() });
  const state = JSON.stringify(stateOf(kernel), null, 2) + "\n";
  files.push(file(`state-${n}.json`, new TextEncoder().encode(state)));
  return { files, notes };
}

function reason(kernel: Kernel): string {
  if (!kernel.image.kho) return `image ${kernel.image.name} has no KHO`;
  if (kernel.kexec.loaded === undefined) return "no next kernel is loaded";
  return "KHO was not active when the next kernel was loaded";
}

function file(name: string, bytes: Uint8Array): DumpFile {
  return {
    name,
    size: bytes.length,
    *chunks() {
      yield bytes;
    },
  };
}
