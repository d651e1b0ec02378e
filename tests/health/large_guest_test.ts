import assert from "node:assert/strict";
import { GiB, MiB, PAGE_SIZE } from "../../src/base/units.ts";
import { BLOCK_FRAMES } from "../../src/kernel/fs/guestmemfs/layout.ts";
import type { Kernel } from "../../src/kernel/kernel.ts";
import { FrameUse } from "../../src/kernel/mm/frames.ts";
import type { Platform } from "../../src/platform/platform.ts";
import { BulkUpdate } from "../../src/scenario/compare.ts";

const GIB_FRAMES = GiB / PAGE_SIZE;
const first = ({ guestRange }: Kernel) => (guestRange?.base ?? 0) / PAGE_SIZE;

/** What is wrong, and the first frame it is wrong with, from the guest's first one on. */
const WRONG: {
  what: string;
  make(platform: Platform): void;
  invariant: string;
  frame: number;
  text: RegExp;
}[] = [
  {
    what: "one block in the middle that its file does not have any more",
    make: ({ kernel }) => kernel.guestmemfs!.inodes()[0].setBlock(77, 0),
    invariant: "leaves-owned",
    frame: GIB_FRAMES + 77 * BLOCK_FRAMES,
    text: /a block of guestmemfs that is no file's/,
  },
  {
    what: "the last block there is",
    make: ({ kernel }) => kernel.guestmemfs!.inodes()[0].numMappings--,
    invariant: "leaves-owned",
    frame: 2 * GIB_FRAMES - BLOCK_FRAMES,
    text: /a block of guestmemfs that is no file's/,
  },
  {
    what: "a frame that has become another guest's, in the middle of a block",
    make: ({ kernel, health }) =>
      health.ledger.mapped("vm9", 0, [{ pfn: first(kernel) + GIB_FRAMES + 513, count: 1 }]),
    invariant: "leaves-owned",
    frame: GIB_FRAMES + 513,
    text: /vm9's memory/,
  },
  {
    what: "a block that the kernel has for its own, and one behind it that is no file's",
    make: ({ kernel }) => {
      kernel.pages.mark(first(kernel) + 3 * BLOCK_FRAMES, BLOCK_FRAMES, FrameUse.kernel);
      kernel.guestmemfs!.inodes()[0].setBlock(0, 511);
    },
    invariant: "leaves-owned",
    frame: 3 * BLOCK_FRAMES,
    text: /the kernel's own memory/,
  },
];

Deno.test("of a guest of gigabytes that is looked at in runs no single block is overlooked", async (t) => {
  for (const { what, make, invariant, frame, text } of WRONG) {
    await t.step(what, () => {
      const update = new BulkUpdate("redrive", { guest: 2 * GiB, page: 2 * MiB });
      const { platform } = update, { kernel, health } = platform;
      update.start();
      health.check(kernel);
      assert.equal(health.violations.length, 0);
      make(platform);
      health.check(kernel);
      const found = health.violations.find((v) => v.invariant === invariant);
      assert.match(found?.detail ?? "", text);
      const at = `0x${((first(kernel) + frame) * PAGE_SIZE).toString(16)}`;
      assert.ok(found?.detail.includes(at), `${found?.detail}: not ${at}`);
    });
  }
});

Deno.test("a block that two large files have is told of by its number", () => {
  const update = new BulkUpdate("redrive", { guest: 2 * GiB, page: 2 * MiB });
  const { kernel, health } = update.platform;
  update.start();
  kernel.guestmemfs!.inodes()[0].setBlock(77, 300);
  health.check(kernel);
  const told = health.violations.filter((v) => v.invariant === "one-claimant");
  assert.deepEqual(told.map((v) => v.detail), ["has block 300 of ram1"]);
});
