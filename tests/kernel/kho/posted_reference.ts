/** Builds the program that makes the posted series' tree through libfdt, and runs it. */
import assert from "node:assert/strict";
import { run } from "../../fdt/libfdt_tools.ts";

/** What is below a root: one subscriber's node, or everything. */
export type Part = "iommufd" | "intel-iommu" | "whole";

export interface Posted {
  /** The tree in hex; `fault ADDRESS` where the walk leads out of memory. */
  readonly blob: string;
  /** Entries in each domain's "mem". */
  readonly entries: readonly number[];
}

/** Hands `use` the program; its objects are the lines that posted_blob.c describes. */
export async function withPosted(
  use: (posted: (part: Part, objects: readonly string[]) => Promise<Posted>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const source = new URL("./posted_blob.c", import.meta.url).pathname;
    const program = `${folder}/posted_blob`;
    const built = await run("cc", ["-O1", "-Wall", "-Werror", source, "-o", program, "-lfdt"]);
    assert.equal(built?.code, 0, built?.stderr);
    await use(async (part, objects) => {
      const ran = await run(program, [part], objects.map((line) => line + "\n").join(""));
      assert.equal(ran?.code, 0, ran?.stderr);
      const [blob, ...entries] = new TextDecoder().decode(ran?.stdout).trim().split("\n");
      return { blob, entries: entries.map(Number) };
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
