import assert from "node:assert/strict";
import fc from "fast-check";
import type { GuestmemfsFile } from "../../../src/kernel/fs/guestmemfs/file.ts";
import { Guestmemfs } from "../../../src/kernel/fs/guestmemfs/guestmemfs.ts";
import type { Task } from "../../../src/kernel/process/task.ts";
import * as E from "../../../src/uapi/errno.ts";
import { start } from "./files.ts";

const NAMES = ["a", "b", "ab", "abcd", "abcde", "ä", "n".repeat(255)];

Deno.test("files are found as the list has them, whatever was made and removed, and after a mount", () => {
  const { fs } = start();
  let mounted = fs;
  const step = fc.record({
    name: fc.constantFrom(...NAMES),
    what: fc.constantFrom("create", "create", "unlink", "mount"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      for (const { name, what } of steps) {
        // As the next kernel does, which has nothing but the super block.
        if (what === "mount") mounted = new Guestmemfs(fs.kernel, fs.base, fs.size, fs.sb);
        else if (what === "unlink") mounted.unlink(name);
        else if (mounted.lookup(name) === undefined) mounted.create(name);
        const listed = mounted.names();
        for (const each of NAMES) {
          assert.equal(mounted.lookup(each) !== undefined, listed.includes(each));
        }
      }
      for (const name of mounted.names()) mounted.unlink(name);
    }),
    { numRuns: 40 },
  );
});

Deno.test("of two files of one name the newer one is found, and then the other", () => {
  const { fs } = start();
  fs.create("twice");
  fs.create("twice");
  const [newer, older] = fs.inodes().map(({ ino }) => ino);
  const found = () => (fs.lookup("twice")?.open({} as Task, 0) as GuestmemfsFile).inode.ino;
  assert.equal(found(), newer);
  fs.unlink("twice");
  assert.equal(found(), older);
});

Deno.test("a file whose name was spoilt in memory goes by neither name, and by its new one after a mount", () => {
  const { fs } = start();
  fs.create("ram");
  fs.inodes()[0].name = "rum";
  const answers = (mounted: Guestmemfs) => [
    mounted.lookup("ram") === undefined,
    mounted.lookup("rum") === undefined,
    mounted.unlink("ram"),
    mounted.unlink("rum"),
  ];
  assert.deepEqual(answers(fs), [true, true, -E.ENOENT, -E.ENOENT]);
  const next = new Guestmemfs(fs.kernel, fs.base, fs.size, fs.sb);
  assert.deepEqual(answers(next), [true, false, -E.ENOENT, 0]);
  // Its inode is the next file's.
  next.create("ram");
  assert.equal(next.unlink("ram"), 0);
  assert.equal(next.lookup("ram"), undefined);
});
