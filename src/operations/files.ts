import { z } from "zod";
import { O_CREAT, O_EXCL, O_RDWR } from "../uapi/sys.ts";
import type { Platform } from "../platform/platform.ts";
import { answered, operation, type Outcome } from "./types.ts";
import { pages } from "./values.ts";

const DIR = "/mnt/guestmemfs/";
const file = z.string().min(1).describe("name of a file in guestmemfs");

/** Opens a file and gives it a size. */
function resize(platform: Platform, name: string, flags: number, bytes: number): Outcome {
  const sys = platform.shell();
  const fd = sys.open(DIR + name, flags);
  if (fd < 0) return answered(fd);
  const rc = sys.ftruncate(fd, bytes);
  sys.close(fd);
  return answered(rc);
}

export const FILE_OPERATIONS = [
  operation({
    name: "guestmemfs.create",
    summary: "make a file of a size in guestmemfs",
    args: z.strictObject({ file, size: pages }),
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      return resize(platform, args.file, O_RDWR | O_CREAT | O_EXCL, args.size);
    },
  }),
  operation({
    name: "guestmemfs.truncate",
    summary: "change the size of a file in guestmemfs",
    args: z.strictObject({ file, size: pages }),
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      return resize(platform, args.file, O_RDWR, args.size);
    },
  }),
  operation({
    name: "guestmemfs.unlink",
    summary: "remove a file from guestmemfs",
    args: z.strictObject({ file }),
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      return answered(platform.shell().unlink(DIR + args.file));
    },
  }),
];
