import assert from "node:assert/strict";
import { ms, PAGE_SIZE } from "../../../src/base/units.ts";
import type { DmarDomain } from "../../../src/kernel/iommu/intel/domain.ts";
import { BUFFER, IOVA, type Kind, Scene } from "./scene.ts";

/**
 * When a domain ends its translations are forgotten up to three times: page by page while it is
 * unmapped, by the id as the device leaves, and by the id as the tables are freed. One is enough:
 * no cache can be filled under the id any more once no entry leads there.
 */

/** Where a domain ends with pages in it, as after a failed unmap or a crash of its owner. */
function ends(scene: Scene, leaveOut: readonly string[][]): void {
  const group = scene.dev(0).group!;
  scene.attach(scene.nic0, scene.ioas());
  const make = (buffer: number) => {
    const domain = scene.kernel.iommuDriver!.allocPaging(scene.dev(0), {}) as DmarDomain;
    for (const page of [0, BUFFER]) {
      const va = scene.va[page === BUFFER ? buffer : page];
      assert.equal(domain.map(IOVA / PAGE_SIZE + page, scene.vm0.frame(va), 1, 3), 0);
    }
    return domain;
  };
  const first = make(BUFFER), ioas = group.domain;
  assert.equal(group.attach(first), 0);
  scene.receive();
  scene.front.without(leaveOut[0], () => group.detach());
  scene.front.without(leaveOut[1], () => first.free());
  const second = make(BUFFER + 1);
  assert.equal(second.did, first.did);
  assert.equal(group.attach(second), 0);
  // What the VMM's own page table holds is let go of, so that the frame can be another's.
  scene.unmap(scene.lastIoas, BUFFER, 1);
  assert.notEqual(ioas, group.domain);
  scene.give();
  scene.run(4 * ms);
}

const KINDS: (Kind & { id: string })[] = [
  { name: "VT-d by registers", profile: "intel-legacy", id: "iotlbDomain" },
  { name: "VT-d in scalable mode", profile: "intel-scalable", id: "iotlbDomain" },
  { name: "AMD-Vi", profile: "amd", id: "invalidateDomain" },
];

for (const kind of KINDS) {
  const cases: [string, string[][], boolean][] = [
    ["as the device leaves and as the tables are freed", [[kind.id], [kind.id]], true],
    ["as the device leaves", [[kind.id], []], false],
    ["as the tables are freed", [[], [kind.id]], false],
    ["nowhere", [[], []], false],
  ];
  for (const [where, leaveOut, strays] of cases) {
    Deno.test(`${kind.name}: an ended domain's id is not flushed ${where}: ${strays ? "stray DMA" : "nothing"}`, () => {
      const scene = new Scene(kind);
      ends(scene, leaveOut);
      assert.equal(scene.front.swallowed, leaveOut.flat().length);
      if (strays) scene.expectStray(BUFFER);
      else scene.expectNothing();
    });
  }
}

Deno.test("SMMUv3: an ended domain's VMID is flushed once, as the tables are freed: without, stray DMA", () => {
  const kind = { name: "SMMUv3", profile: "arm-smmuv3-bbml0" };
  const scene = new Scene(kind);
  ends(scene, [[], ["invalidateVmid"]]);
  scene.expectStray(BUFFER);
  const whole = new Scene(kind);
  ends(whole, [[], []]);
  whole.expectNothing();
});
