import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { FIXED, RW } from "../requests.ts";

/** A persistent iommufd with a device on a mapped file, and a second HWPT. */
function frozenBench() {
  const bench = new Bench();
  bench.warm();
  const fd = bench.persistent();
  const ioas = bench.ioas(fd);
  const file = bench.file("ram", 4 * MiB);
  const request = { flags: FIXED | RW, ioas_id: ioas, fd: file, length: BigInt(2 * MiB) };
  assert.equal(bench.mapFile(fd, { ...request, iova: 0n }).rc, "ok");
  const device = bench.attached(fd, ioas);
  const spare = bench.hwptAlloc(fd, device.dev, ioas).out.out_hwpt_id;
  const va = bench.mmap(file, 4 * MiB);
  return { bench, fd, ioas, request, device, spare, va };
}

type Frozen = ReturnType<typeof frozenBench>;

/** What would change what was written into the dump. `thawed`: the answer without a dump. */
const CHANGES: { name: string; call: (f: Frozen) => string; thawed?: string }[] = [
  { name: "IOAS_ALLOC", call: ({ bench, fd }) => alloc(bench, fd) },
  {
    name: "IOAS_MAP",
    call: ({ bench, fd, request, va }) =>
      bench.map(fd, {
        flags: FIXED | RW,
        ioas_id: request.ioas_id,
        user_va: BigInt(va),
        length: 0x1000n,
        iova: 0x800000n,
      }).rc,
  },
  {
    name: "IOAS_MAP_FILE",
    call: ({ bench, fd, request }) => bench.mapFile(fd, { ...request, iova: 0xa00000n }).rc,
  },
  { name: "IOAS_UNMAP", call: ({ bench, fd, ioas }) => bench.unmap(fd, ioas, 0, 2 * MiB).rc },
  {
    name: "IOAS_UNMAP of everything",
    call: ({ bench, fd, ioas }) => bench.unmap(fd, ioas, 0, U.U64_MAX).rc,
  },
  {
    name: "HWPT_ALLOC",
    call: ({ bench, fd, device, ioas }) => bench.hwptAlloc(fd, device.dev, ioas).rc,
  },
  { name: "DESTROY", call: ({ bench, fd, spare }) => bench.destroy(fd, spare) },
  {
    name: "ATTACH to another HWPT",
    call: ({ bench, device, spare }) => bench.attach(device.cdev, spare).rc,
  },
  { name: "DETACH", call: ({ bench, device }) => bench.detach(device.cdev) },
  {
    name: "removing the file",
    call: ({ bench, fd, ioas }) => {
      bench.unmap(fd, ioas, 0, U.U64_MAX);
      return bench.unlink("ram");
    },
  },
];

function alloc(bench: Bench, fd: number): string {
  return bench.ioctl(fd, U.IOMMU_IOAS_ALLOC, U.iommu_ioas_alloc, {}).rc;
}

Deno.test("while a dump stands a persistent iommufd does not change, afterwards it does (FACTS 8.5 D36)", async (t) => {
  for (const { name, call } of CHANGES) {
    await t.step(`${name}: EBUSY`, () => {
      const f = frozenBench();
      const { bench } = f;
      const before = bench.fingerprint;
      assert.equal(bench.kho(true), "ok");
      const frozen = bench.fingerprint;
      assert.equal(call(f), "EBUSY");
      assert.equal(bench.fingerprint, frozen);
      assert.equal(bench.kho(false), "ok");
      assert.equal(bench.fingerprint, before);
      assert.equal(call(f), "ok");
    });
  }
});

/** The dump changes no other answer: what was wrong before is wrong in the same way. */
const STILL: { name: string; call: (f: Frozen) => string; want: string }[] = [
  {
    name: "MAP in no IOAS",
    call: ({ bench, fd }) => bench.map(fd, { flags: RW, ioas_id: 77 }).rc,
    want: "ENOENT",
  },
  {
    name: "UNMAP in no IOAS",
    call: ({ bench, fd }) => bench.unmap(fd, 77, 0, 0).rc,
    want: "ENOENT",
  },
  { name: "DESTROY of nothing", call: ({ bench, fd }) => bench.destroy(fd, 77), want: "ENOENT" },
  { name: "IOVA_RANGES", call: ({ bench, fd, ioas }) => bench.ranges(fd, ioas).rc, want: "ok" },
  {
    name: "GET of the option",
    call: ({ bench, fd }) => bench.option(fd, U.IOMMU_OPTION_OP_GET).rc,
    want: "ok",
  },
  {
    name: "ATTACH to what it is on",
    call: ({ bench, device }) => bench.attach(device.cdev, device.hwpt).rc,
    want: "ok",
  },
];

Deno.test("while a dump stands everything else answers as ever", async (t) => {
  const f = frozenBench();
  assert.equal(f.bench.kho(true), "ok");
  for (const { name, call, want } of STILL) {
    await t.step(`${name}: ${want}`, () => assert.equal(call(f), want));
  }
  await t.step("an iommufd that is not persistent", () => {
    const fd = f.bench.iommufd();
    const ioas = f.bench.ioas(fd);
    f.bench.attached(fd, ioas, 1);
    assert.equal(f.bench.destroy(fd, ioas), "EBUSY");
  });
});

Deno.test("switching KHO on and off is idempotent and takes only 0 and 1 (FACTS 6.1)", () => {
  const { bench } = frozenBench();
  const before = bench.fingerprint;
  assert.equal(bench.kho(false), "ok");
  const active = "/sys/kernel/kho/active";
  for (const text of ["2", "", "on", "-1", "1 1"]) {
    assert.equal(bench.write(active, text), "EINVAL");
  }
  assert.equal(bench.kho(true), "ok");
  const frozen = bench.fingerprint;
  assert.equal(bench.kho(true), "ok");
  assert.equal(bench.fingerprint, frozen);
  assert.equal(bench.write(active, "0\n"), "ok");
  assert.equal(bench.fingerprint, before);
});

Deno.test("a dump that fails anywhere thaws everything again (FACTS 10.3 I10)", () => {
  for (const who of ["intel-iommu", "iommufd", "guestmemfs"]) {
    const f = frozenBench();
    const { bench, fd, request } = f;
    const before = bench.fingerprint;
    bench.platform.chooser.arm(`fault:kho_notify:${who}`);
    assert.equal(bench.kho(true), "EINVAL");
    assert.equal(bench.fingerprint, before);
    assert.equal(bench.mapFile(fd, { ...request, iova: 0x800000n }).rc, "ok");
  }
  const f = frozenBench();
  const before = f.bench.fingerprint;
  assert.equal(f.bench.write("/sys/kernel/kho/dt_max", "600"), "ok");
  assert.equal(f.bench.kho(true), "EINVAL", "the blob is too small");
  assert.equal(f.bench.fingerprint, before);
});

/** Ways to lose an iommufd and its device while a dump stands. */
const LOSSES: { how: string; lose: (f: Frozen) => void }[] = [
  {
    how: "its process is killed",
    lose: ({ bench }) => {
      bench.kill(bench.sys);
      bench.sys = bench.shell();
    },
  },
  {
    how: "everything is closed",
    lose: ({ bench, fd, device }) => {
      bench.sys.close(device.cdev);
      bench.sys.close(fd);
    },
  },
  { how: "the device is closed", lose: ({ bench, device }) => void bench.sys.close(device.cdev) },
];

Deno.test("an iommufd lost while a dump stands lives on until the ABORT (seed line 866, FACTS 8.1 D06)", async (t) => {
  for (const { how, lose } of LOSSES) {
    await t.step(how, () => {
      const f = frozenBench();
      const { bench } = f;
      bench.setBusMaster(f.device.cdev);
      const { dev } = bench.platform.kernel.vfio.devices[0];
      const resets = bench.platform.machine.functions[0].resets;
      assert.equal(bench.kho(true), "ok");
      const frame = bench.frame(0, 0x1000);
      const pages = dev.group?.domain;
      lose(f);
      assert.equal(dev.group?.domain, pages, "the device stays on its page tables");
      assert.equal(bench.frame(0, 0x1000), frame);
      assert.equal(dev.busMaster, true);
      assert.equal(bench.platform.machine.functions[0].resets, resets, "nobody resets it");
      assert.deepEqual(bench.complaints, []);
      assert.equal(bench.unlink("ram"), "EBUSY");
      assert.equal(bench.kho(false), "ok");
      assert.equal(dev.busMaster, false);
      assert.equal(bench.frame(0, 0x1000), -1);
      assert.deepEqual(bench.complaints, []);
    });
  }
});

Deno.test("an iommufd lost while a dump stands is gone after the ABORT without a trace", () => {
  const bench = new Bench();
  bench.warm();
  const before = bench.fingerprint;
  const fd = bench.persistent();
  const ioas_id = bench.ioas(fd);
  const file = bench.file("ram", 2 * MiB);
  const request = { flags: FIXED | RW, ioas_id, fd: file, length: BigInt(2 * MiB), iova: 0n };
  assert.equal(bench.mapFile(fd, request).rc, "ok");
  bench.attached(fd, ioas_id);
  assert.equal(bench.kho(true), "ok");
  bench.kill(bench.sys);
  bench.sys = bench.shell();
  assert.equal(bench.kho(false), "ok");
  assert.equal(bench.unlink("ram"), "ok");
  assert.equal(bench.fingerprint, before);
});

Deno.test("an iommufd lost while a dump stands is handed over by a kexec all the same", () => {
  const f = frozenBench();
  const { bench } = f;
  bench.setBusMaster(f.device.cdev);
  const frame = bench.frame(0, 0x1000);
  assert.equal(bench.kho(true), "ok");
  bench.kill(bench.sys);
  assert.equal(bench.load(), "ok");
  bench.jump();
  assert.equal(bench.frame(0, 0x1000), frame);
  assert.equal(bench.platform.kernel.vfio.devices[0].dev.busMaster, true);
  assert.deepEqual(bench.complaints, []);
  const fd = bench.mustPickUp(1);
  assert.equal(bench.bind(bench.cdev(0), fd).rc, "ok");
});
