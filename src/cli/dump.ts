import type { Kernel } from "../kernel/kernel.ts";
import { dumpOf } from "../platform/dump/dump.ts";
import { UsageError } from "../scenario/errors.ts";
import { reason } from "./files.ts";

/**
 * Makes sure that the folder can be written to, before anything runs. The function returned writes
 * the dump of one jump into it. A {@link UsageError} names the flag to add, or what is in the way.
 */
export function prepareDump(folder: string): (kernel: Kernel, n: number) => void {
  if (Deno.permissions.querySync({ name: "write", path: folder }).state !== "granted") {
    throw new UsageError(
      `--dump ${folder}: writing there is not allowed: give deno run the flag --allow-write=${folder}`,
    );
  }
  try {
    Deno.mkdirSync(folder, { recursive: true });
    Deno.removeSync(Deno.makeTempFileSync({ dir: folder, prefix: ".hitless-" }));
  } catch (error) {
    throw new UsageError(`--dump ${folder}: cannot write there: ${reason(error)}`);
  }
  return (kernel, n) => {
    const dump = dumpOf(kernel, n);
    for (const file of dump.files) {
      const out = Deno.openSync(`${folder}/${file.name}`, {
        write: true,
        create: true,
        truncate: true,
      });
      try {
        for (const chunk of file.chunks()) writeAll(out, chunk);
      } finally {
        out.close();
      }
    }
    for (const note of dump.notes) console.error(`dump: ${note}`);
  };
}

function writeAll(out: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += out.writeSync(bytes.subarray(done));
}
