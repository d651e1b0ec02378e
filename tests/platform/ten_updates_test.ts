import assert from "node:assert/strict";
import { MiB, ms } from "../../src/base/units.ts";
import { FrameUse } from "../../src/kernel/mm/frames.ts";
import { Bench } from "../kernel/bench.ts";

/** Ten live updates in a row, into other designs where those can read it: nothing is left over. */

const VM = {
  id: "vm0",
  memory: 12 * MiB,
  persistent: true,
  devices: ["nic0", "nic1"],
  ring: 2048,
} as const;

const ROWS: Record<string, readonly string[]> = {
  "rfc-v1, then re-driven in turns": [
    "redrive",
    "redrive-replace",
    "redrive-replace-4k",
    "redrive",
    "redrive-replace",
    "redrive-replace-4k",
    "redrive",
    "redrive-replace",
    "redrive-replace-4k",
    "redrive",
  ],
  "rfc-v1": Array(10).fill("rfc-v1"),
  "replay, then re-driven": [...Array(6).fill("replay"), ...Array(4).fill("redrive-replace")],
  "rfc-v1, then on its next version": ["rfc-v1", "rfc-v1", ...Array(8).fill("rfc-v1-intel-v1")],
  "on an SMMU, to small pages and back": Array(5).fill(["redrive-replace-4k", "redrive"]).flat(),
  "a guest in a memfd, re-driven in turns": Array(5).fill(["redrive-replace", "redrive"]).flat(),
};

/** What could leak, counted when an update is over. */
function counts(bench: Bench) {
  const { kernel } = bench.platform;
  const { pages, iommufd, iommu, guestmemfs, kho, machine, costs } = kernel;
  let preserved = 0;
  for (let pfn = 0; pfn < machine.memory.frames; pfn++) {
    if (pages.useOf(pfn) === FrameUse.preserved) preserved++;
  }
  return {
    tables: costs.tables,
    contexts: iommufd.contexts.length,
    objects: iommufd.contexts.map((ctx) => ctx.objects.all.length),
    unfinished: iommufd.unfinished,
    pins: guestmemfs?.inodes().map((inode) => `${inode.name} ${inode.pins}`),
    // Lowest free ones are used: a leak drives them up.
    dids: iommu.groups.every((g) => (g.domain as unknown as { did: number }).did < 6),
    held: iommu.groups.filter((g) => g.held).length,
    active: kho.active,
    preserved,
    pinned: kernel.userPages.pinned,
  };
}

for (const [name, images] of Object.entries(ROWS)) {
  Deno.test(`${name}: after each of ten updates as many frames, ids and pins as before`, () => {
    const memfd = name.includes("memfd");
    const smmu = name.includes("SMMU");
    const first = memfd || smmu ? "redrive" : name.startsWith("replay") ? "replay" : "rfc-v1";
    const vm = memfd ? { ...VM, backing: "memfd" as const } : VM;
    const bench = new Bench(first, {
      vms: [vm],
      ...(smmu && { profile: "arm-smmuv3-bbml2" }),
    });
    bench.startVms();
    let last = first;
    const seen = new Map<string, { counts: ReturnType<typeof counts>; free: number }>();
    for (const image of images) {
      assert.equal(bench.update(image), "done");
      bench.platform.runFor(5 * ms);
      const now = { counts: counts(bench), free: bench.freePages };
      assert.equal(now.counts.held, 0);
      assert.deepEqual(now.counts.unfinished, []);
      // What is left depends on whose tables were found, and whether they could be gone on with.
      const key = `${last} ${image}`;
      last = image;
      const before = seen.get(key);
      seen.set(key, now);
      if (before === undefined) continue;
      assert.deepEqual(now.counts, before.counts, image);
      assert.equal(now.free, before.free, `${image}: free pages`);
    }
    bench.platform.judge();
    const violated = bench.platform.health.states().filter((s) => s.verdict === "violated");
    assert.deepEqual(violated.map((s) => s.id), []);
  });
}
