import assert from "node:assert/strict";
import { GiB, MiB, ms, PAGE_SIZE } from "../../src/base/units.ts";
import { HwptNested } from "../../src/kernel/iommufd/nesting.ts";
import type { VmSpec } from "../../src/platform/spec.ts";
import * as S from "../../src/uapi/vtd_scalable.ts";
import { Bench } from "../kernel/bench.ts";

const VM: VmSpec = {
  id: "vm0",
  memory: 8 * MiB,
  persistent: true,
  devices: ["nic0"],
  ring: 256,
  guestIommu: true,
};

/** A bench with one VM that asked for an IOMMU of its own. */
function running(kernel: string, o: { vm?: Partial<VmSpec>; profile?: string } = {}) {
  const profile = o.profile ?? "intel-scalable";
  const bench = new Bench(kernel, { vms: [{ ...VM, ...o.vm }], profile });
  bench.startVms();
  const { platform } = bench;
  const received = () => platform.guests.get("vm0")?.report().received ?? -1;
  const said = (text: string) => platform.events.some((e) => e.text.includes(text));
  return { bench, platform, received, said };
}

/** The program's objects, and the nested HWPT among them. */
function objectsOf(bench: Bench) {
  const ctx = bench.platform.kernel.iommufd.persistent.get(1);
  assert.ok(ctx);
  const nested = ctx.objects.all.find((o) => o instanceof HwptNested);
  assert.ok(nested);
  return { ctx, nested };
}

Deno.test("tables of a guest's own are nested over what its memory is mapped by", () => {
  const { bench, platform, received } = running("rfc-v1+D34");
  assert.equal(platform.statusOf("vm0"), "running");
  assert.ok(received() > 0);
  const { nested } = objectsOf(bench);
  const [unit] = platform.machine.units;
  const entry = [...unit.pasidCache.entries()].find(({ did }) => did === nested.domain.did);
  assert.equal(entry?.pgtt, S.PGTT_NESTED);
  assert.equal(entry?.top, nested.domain.top);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a guest's tables lead to all of its memory, on either side of 512 GiB", () => {
  // A page for the guest's kernel, one for the card's driver, one of ring, one of two buffers.
  const ramBase = 512 * GiB - 4 * PAGE_SIZE;
  const { bench, platform, received } = running("rfc-v1+D34", { vm: { ramBase, ring: 256 } });
  platform.runFor(5 * ms);
  assert.ok(received() > 2);
  assert.equal(platform.health.meters.get(0).faults.size, 0);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a parent cannot go before what is nested over it, nor that while a device is on it", () => {
  const { bench } = running("rfc-v1+D34");
  const { ctx, nested } = objectsOf(bench);
  assert.ok(ctx.objects.remove(nested.id) < 0);
  assert.ok(ctx.objects.remove(nested.parent.id) < 0);
  bench.killVm("vm0");
  bench.platform.runFor(1 * ms);
  assert.equal(ctx.objects.empty, true, "with the program everything goes");
  assert.deepEqual(bench.complaints, []);
});

Deno.test("what is taken from a guest's memory is forgotten under the id of its tables too", () => {
  const { bench, platform, received } = running("rfc-v1+D34");
  platform.tellVms("unmap");
  platform.runFor(1 * ms);
  assert.equal(platform.statusOf("vm0"), "unmapped");
  const before = received();
  platform.runFor(5 * ms);
  assert.ok(platform.health.meters.get(0).faults.size > 0);
  assert.equal(received(), before);
  assert.ok(bench.complaints.every((c) => c.startsWith("no-dma-fault")), bench.complaints.join());
});

Deno.test("a kernel that could not hand it over gives no guest an IOMMU, and the guest runs", () => {
  const { bench, platform, received, said } = running("rfc-v1");
  assert.ok(said("it gets no virtual IOMMU"));
  assert.ok(received() > 0);
  assert.equal(bench.update(), "done");
  platform.runFor(5 * ms);
  assert.deepEqual(bench.complaints, []);
});

for (const profile of ["intel-legacy", "intel-scalable", "arm-smmuv3-bbml2", "amd"]) {
  Deno.test(`${profile}: nor does one that does not persist, and the guest runs`, () => {
    const { bench, platform, received, said } = running("mainline", { profile });
    assert.ok(said("it gets no virtual IOMMU"));
    assert.equal(platform.statusOf("vm0"), "running");
    assert.ok(received() > 0);
    assert.deepEqual(bench.complaints, []);
  });
}
