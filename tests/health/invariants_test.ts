import assert from "node:assert/strict";
import { INVARIANT_IDS, type InvariantId } from "../../src/health/invariants.ts";
import { DMA_GCMD_TE } from "../../src/uapi/vtd_regs.ts";
import type { Case } from "./cases/case.ts";
import { DMA_CASES } from "./cases/dma.ts";
import { IOMMUFD_CASES } from "./cases/iommufd.ts";
import { KERNEL_CASES } from "./cases/kernel.ts";
import { MEMORY_CASES } from "./cases/memory.ts";
import { TABLES_CASES } from "./cases/tables.ts";
import { PAGE_REQUEST_CASES, PagingWorld } from "./cases/page_requests.ts";
import { World } from "./world.ts";

const CASES: Record<InvariantId, Case> = {
  ...DMA_CASES,
  ...TABLES_CASES,
  ...MEMORY_CASES,
  ...IOMMUFD_CASES,
  ...KERNEL_CASES,
  ...PAGE_REQUEST_CASES,
};

Deno.test("every invariant has a case here", () => {
  assert.deepEqual(Object.keys(CASES).sort(), [...INVARIANT_IDS].sort());
  for (const id of INVARIANT_IDS) assert.ok(CASES[id].broken.length > 0, id);
});

Deno.test("in a good run every invariant holds", async (t) => {
  for (const seed of [1, 2, 3]) {
    const states = new World({ seed }).abortedUpdate().liveUpdate().liveUpdate().judge();
    // Nobody asks for pages there.
    const paging = new PagingWorld(seed).asked().liveUpdate("redrive-replace")
      .verdictOn("page-requests-kept");
    const others = states.filter(({ id }) => id !== "page-requests-kept");
    for (const { id, verdict, violations } of [...others, paging]) {
      await t.step(`${id}, seed ${seed}`, () => {
        assert.equal(verdict, "holds", violations.map((v) => v.detail).join("; "));
      });
    }
  }
});

for (const id of INVARIANT_IDS) {
  const { broken, unexercised } = CASES[id];
  for (const { how, run, subject, detail } of broken) {
    Deno.test(`${id} is violated when ${how}`, () => {
      const { verdict, violations } = run().verdictOn(id);
      assert.equal(verdict, "violated");
      const seen = violations.find((v) => v.subject === subject);
      assert.ok(seen !== undefined, violations.map((v) => `${v.subject}: ${v.detail}`).join("; "));
      assert.match(seen.detail, detail);
    });
  }
  Deno.test(`${id} is not exercised by ${unexercised.what}`, () => {
    const { verdict, violations } = unexercised.run().verdictOn(id);
    assert.equal(verdict, "not exercised", violations.map((v) => v.detail).join("; "));
  });
}

Deno.test("a unit that translates again after a look is judged by its tables again", () => {
  const world = new World();
  world.command(0);
  world.command(DMA_GCMD_TE);
  assert.equal(world.verdictOn("domain-in-hardware").verdict, "holds");
});
