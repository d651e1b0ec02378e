import assert from "node:assert/strict";
import { MiB, ms, us } from "../../src/base/units.ts";
import { ATS_NO_ACCESS } from "../../src/machine/ats.ts";
import { AtsPort } from "../../src/machine/pci/ats_port.ts";
import { Ioas } from "../../src/kernel/iommufd/ioas.ts";
import type { VmSpec } from "../../src/platform/spec.ts";
import { Bench } from "../kernel/bench.ts";

const VM: VmSpec = {
  id: "vm0",
  memory: 16 * MiB,
  persistent: true,
  devices: ["nic0"],
  ring: 4096,
  resident: 6 * MiB,
};

/** A bench with one over-committed VM that runs. */
function running(o: {
  kernel?: string;
  profile?: string;
  pasid?: number;
  vm?: Partial<VmSpec>;
  ns?: number;
} = {}) {
  const { kernel = "redrive-replace", profile = "intel-scalable", pasid } = o;
  const bench = new Bench(kernel, {
    vms: [{ ...VM, ...o.vm }],
    profile,
    pageRequests: true,
    ...(pasid === undefined ? {} : { pasidBits: 15 }),
  });
  const { platform } = bench;
  if (pasid !== undefined) {
    Object.assign(platform.spec, { pasids: new Map([["nic0", pasid]]) });
  }
  bench.startVms(o.ns ?? 20 * ms);
  const { port } = platform.machine.functions[0];
  assert.ok(port instanceof AtsPort);
  const meter = platform.health.meters.get(0);
  const report = () => {
    const guest = platform.guests.get("vm0")?.report();
    assert.ok(guest);
    return guest;
  };
  /** Blocks that the devices can reach. */
  const mapped = () =>
    platform.kernel.iommufd.contexts.flatMap((ctx) => ctx.objects.all)
      .filter((o) => o instanceof Ioas)
      .flatMap((ioas) => ioas.iopt.areas.items.map(({ start }) => Number(start) / (2 * MiB)));
  const said = (text: string) => platform.events.some((e) => e.text.includes(text));
  const tell = (message: string, status: string) => {
    platform.tellVms(message);
    platform.runFor(1 * ms);
    assert.equal(platform.statusOf("vm0"), status);
  };
  return { bench, platform, port, meter, report, mapped, said, tell };
}

for (const persistent of [true, false]) {
  Deno.test(`what a card misses is mapped, what was there longest goes for it; persistent: ${persistent}`, () => {
    const { bench, platform, meter, report, mapped } = running({ vm: { persistent } });
    assert.deepEqual(mapped(), [0]);
    platform.runFor(900 * ms);
    assert.deepEqual(mapped().length, 3);
    // It goes round its ring in 819 ms, over five blocks, and the ring itself is in the first.
    assert.ok(meter.pageRequests >= 5, String(meter.pageRequests));
    assert.equal(meter.pagesAnswered, meter.pageRequests);
    assert.ok(meter.longestWait > 0 && meter.longestWait < 1 * ms, String(meter.longestWait));
    assert.deepEqual([report().missing, report().corrupt, meter.starved], [0, 0, 0]);
    assert.deepEqual(bench.complaints, []);
  });
}

Deno.test("with a PASID its requests are asked for, and answered, under it", () => {
  const { bench, meter, report, port } = running({ pasid: 7, ns: 300 * ms });
  assert.ok(meter.pageRequests >= 1);
  assert.equal(meter.pagesAnswered, meter.pageRequests);
  assert.ok([...port.atc.entries()].every(({ pasid }) => pasid === 7));
  assert.equal(report().missing, 0);
  assert.equal(bench.update("redrive-replace"), "done");
  assert.deepEqual(bench.complaints, []);
});

Deno.test("where nobody can ask, or would answer after a kexec, all memory is mapped", () => {
  const cases = [
    ["redrive", "intel-legacy", "VFIO_DEVICE_ATTACH_IOMMUFD_PT: ENODEV"],
    ["redrive", "arm-smmuv3-bbml2", "VFIO_DEVICE_ATTACH_IOMMUFD_PT: ENODEV"],
    ["rfc-v1", "intel-scalable", "IOMMU_HWPT_ALLOC: EOPNOTSUPP"],
    ["replay", "intel-scalable", "IOMMU_FAULT_QUEUE_ALLOC: EOPNOTSUPP"],
  ];
  for (const [kernel, profile, why] of cases) {
    const { bench, meter, report, said } = running({ kernel, profile });
    assert.ok(said(`no page requests (${why})`), `${kernel} on ${profile}`);
    assert.equal(meter.pageRequests, 0);
    assert.ok(report().received > 0);
    assert.equal(bench.update(kernel), "done");
    assert.deepEqual(bench.complaints, []);
  }
});

Deno.test("an address that is no memory is refused, and costs that DMA only", () => {
  const { platform, port, report } = running();
  const answers: boolean[] = [];
  assert.equal(port.access(0, 0x40000000, 64, true), ATS_NO_ACCESS);
  assert.ok(port.ask([port.missing!], (granted) => void answers.push(granted)));
  platform.runFor(500 * us);
  assert.deepEqual(answers, [false]);
  const before = report().received;
  platform.runFor(5 * ms);
  assert.ok(report().received > before);
});

Deno.test("unmapped, nobody gets anything; mapped again, who waited goes on", () => {
  const { platform, port, mapped, tell, report } = running();
  tell("unmap", "unmapped");
  platform.runFor(5 * ms);
  assert.deepEqual([mapped(), port.open.length], [[], 1]);
  tell("map", "running");
  platform.runFor(5 * ms);
  assert.equal(port.open.length, 0);
  assert.equal(report().missing, 0);
});

Deno.test("a VMM that is killed or told to quit leaves nothing, and the card asks no more", () => {
  for (const how of ["kill", "crash", "quit"]) {
    const { bench, platform, port } = running();
    if (how === "kill") bench.killVm("vm0");
    else platform.tellVms(how);
    platform.runFor(2 * ms);
    assert.equal(platform.statusOf("vm0"), "exited", how);
    assert.deepEqual(platform.kernel.iommufd.contexts, [], how);
    assert.deepEqual([port.ats, port.pri, port.open.length], [false, false, 0], how);
  }
});

Deno.test("an update that is called off: who waited meanwhile is answered", () => {
  const { bench, platform, meter, report } = running({ ns: 100 * ms });
  const done = platform.startUpdate("redrive-replace", "pause");
  // Nothing may be mapped while the dump stands; in that time the card comes to another block.
  platform.runFor(250 * ms);
  assert.ok(meter.pageRequests > meter.pagesAnswered);
  platform.update!.abortRequested = true;
  platform.director.poke();
  platform.runFor(20 * ms);
  assert.ok(done());
  assert.equal(meter.pageRequests, meter.pagesAnswered);
  assert.ok(meter.longestWait > 50 * ms);
  platform.runFor(20 * ms);
  assert.deepEqual([report().missing, meter.starved], [0, 0]);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("of a memfd all pages come over, those that no device can reach now as well", () => {
  const { bench, report } = running({ vm: { backing: "memfd" } });
  assert.equal(bench.update("redrive-replace"), "done");
  bench.platform.runFor(300 * ms);
  assert.deepEqual([report().missing, report().canaryDamaged], [0, 0]);
  assert.deepEqual(bench.complaints, []);
});

for (const kernel of ["redrive", "redrive-replace"]) {
  Deno.test(`${kernel}: three updates, and each wait between kernels ends`, () => {
    const { bench, platform, meter, report } = running({ kernel, ns: 200 * ms });
    for (let i = 0; i < 3; i++) {
      assert.equal(bench.update(kernel), "done");
      platform.runFor(150 * ms);
    }
    assert.ok(meter.longestWait > 100 * ms, String(meter.longestWait));
    assert.equal(meter.pageRequests, meter.pagesAnswered);
    assert.deepEqual([report().missing, report().corrupt, meter.starved], [0, 0, 0]);
    assert.deepEqual(bench.complaints, []);
  });
}
