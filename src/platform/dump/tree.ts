import { assert } from "../../base/assert.ts";
import type { LoadedImage } from "../../kernel/kho/kexec.ts";

/** The device tree in a loaded image: its bytes, and the physical address it goes to. */
export interface LoadedTree {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** The tree that was copied when the image was loaded; undefined when KHO was not active then. */
export function loadedTree(loaded: LoadedImage | undefined): LoadedTree | undefined {
  if (loaded?.dt === undefined) return undefined;
  // Segments in the order of kexec_file_load: kernel, device tree, memory list, parameters.
  const segment = loaded.segments[1];
  assert(segment.size === loaded.dt.length, "the second segment of an image is its device tree");
  return { bytes: loaded.dt, address: segment.dest };
}
