import assert from "node:assert/strict";
import { ms } from "../../src/base/units.ts";
import { PagingWorld } from "./cases/page_requests.ts";

/** What devices remember themselves is looked at as the IOTLB is. */

Deno.test("a translation that a device remembers and its tables do not have is stale", () => {
  const world = new PagingWorld().asked();
  assert.equal(world.verdictOn("iotlb-fresh").verdict, "holds");
  const [{ page, pfn }] = [...world.port.atc.entries()];
  world.port.atc.fill(-1, 0, page * 4096, true, pfn + 1);
  const { verdict, violations } = world.verdictOn("iotlb-fresh");
  assert.equal(verdict, "violated");
  assert.deepEqual(violations.map((v) => v.subject), ["nic1"]);
  assert.match(violations[0].detail, /^remembers IOVA 0x[\da-f]+ at 0x[\da-f]+ itself, its tables/);
});

Deno.test("so is one of a device that was blocked, as long as it may remember", () => {
  const world = new PagingWorld().asked();
  const dev = world.platform.kernel.pci.devices.find((d) => d.sid === world.port.sid);
  assert.ok(dev?.group);
  // Somebody takes the tables away and tells the unit, but not the device.
  const unit = world.platform.kernel.intel!.units[0];
  unit.invalidation.deviceTlb = () => {};
  unit.contexts.clear(world.port.sid, 0);
  world.run(1 * ms);
  assert.equal(world.verdictOn("iotlb-fresh").verdict, "violated");
});
