import * as z from "zod/mini";
import { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY } from "../uapi/sys.ts";
import type { Platform } from "../platform/platform.ts";
import { answered, OK, operation, type Outcome } from "./types.ts";
import { pages } from "./values.ts";
import { whenUp } from "./when.ts";

const DIR = "/mnt/guestmemfs/";
const file = z.string().with(z.minLength(1), z.describe("name of a file in guestmemfs"));
const size = pages.with(z.describe("its size, rounded up to blocks of 2MiB"));
const path = z.string().with(
  z.startsWith("/", "expected a path that begins with /"),
  z.describe("path of a file"),
);
const onFile = { suggests: { file: "files" }, unavailable: whenUp } as const;
const onPath = { suggests: { path: "paths" }, unavailable: whenUp } as const;

/** Most bytes of a file that are read to be shown. */
const MOST = 64 * 1024;

/** Opens a file and gives it a size. */
function resize(platform: Platform, name: string, flags: number, bytes: number): Outcome {
  const sys = platform.shell();
  const fd = sys.open(DIR + name, flags);
  if (fd < 0) return answered(fd);
  const rc = sys.ftruncate(fd, bytes);
  sys.close(fd);
  return answered(rc);
}

/** Reads a file from its start, as `cat` does; what is no text is shown in hexadecimal. */
function readAll(platform: Platform, name: string): Outcome {
  const sys = platform.shell();
  const fd = sys.open(name, O_RDONLY);
  if (fd < 0) return answered(fd);
  const bytes: number[] = [];
  for (;;) {
    const some = sys.read(fd, 4096);
    if (typeof some === "number") {
      sys.close(fd);
      return answered(some);
    }
    bytes.push(...some);
    if (some.length === 0 || bytes.length >= MOST) break;
  }
  sys.close(fd);
  return { ...OK, output: textOf(Uint8Array.from(bytes)) };
}

function textOf(bytes: Uint8Array): string {
  const isText = bytes.every((b) => (b >= 0x20 && b < 0x7f) || b === 0x0a || b === 0x09);
  if (isText) return new TextDecoder().decode(bytes).trimEnd();
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    const chars = row.map((b) => b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : ".").join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${chars}`);
  }
  return lines.join("\n");
}

export const FILE_OPERATIONS = [
  operation({
    name: "guestmemfs.create",
    summary: "make a file of a size in guestmemfs",
    args: () => z.strictObject({ file, size }),
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      return resize(platform, args.file, O_RDWR | O_CREAT | O_EXCL, args.size);
    },
  }),
  operation({
    name: "guestmemfs.truncate",
    summary: "change the size of a file in guestmemfs",
    args: () => z.strictObject({ file, size }),
    ...onFile,
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      return resize(platform, args.file, O_RDWR, args.size);
    },
  }),
  operation({
    name: "guestmemfs.unlink",
    summary: "remove a file from guestmemfs",
    args: () => z.strictObject({ file }),
    ...onFile,
    destroys: "the file and what is in it",
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      return answered(platform.shell().unlink(DIR + args.file));
    },
  }),
  operation({
    name: "guestmemfs.mount",
    summary: "mount guestmemfs, where boot could not",
    args: () => z.strictObject({}),
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run({ platform }) {
      const sys = platform.shell();
      const mounted = sys.mount("guestmemfs", DIR, "");
      return answered(mounted);
    },
  }),
  operation({
    name: "file.read",
    summary: "read a file of any file system, as cat does",
    args: () => z.strictObject({ path }),
    ...onPath,
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      return readAll(platform, args.path);
    },
  }),
  operation({
    name: "file.write",
    summary: "write text to a file, as echo does",
    args: () => z.strictObject({ path, text: z.string().with(z.describe("what to write")) }),
    ...onPath,
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      const sys = platform.shell();
      const fd = sys.open(args.path, O_WRONLY);
      if (fd < 0) return answered(fd);
      const rc = sys.write(fd, new TextEncoder().encode(args.text));
      sys.close(fd);
      return answered(rc);
    },
  }),
  operation({
    name: "file.remove",
    summary: "remove a file, as rm does",
    args: () => z.strictObject({ path }),
    ...onPath,
    destroys: "the file and what is in it",
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      return answered(platform.shell().unlink(args.path));
    },
  }),
];
