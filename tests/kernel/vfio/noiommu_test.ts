import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import * as S from "../../../src/uapi/sys.ts";
import { Bench } from "../bench.ts";
import { FIXED, RW } from "../requests.ts";

const MODE = "vfio.enable_unsafe_noiommu_mode=1";
const BYTES = 4 * PAGE_SIZE, IOVA = 0x100000;

/** A machine without IOMMUs; its two devices are noiommu-vfio0 and noiommu-vfio1. */
class NoiommuBench extends Bench {
  constructor(kernel = "rfc-v1", cmdline = MODE) {
    super(kernel, { profile: "pc-no-iommu", cmdline });
  }

  getPa(fd: number, ioas_id: number, iova: number): number {
    const command = U.IOMMU_IOAS_NOIOMMU_GET_PA;
    const value = { ioas_id, iova: BigInt(iova) };
    const { rc, out } = this.ioctl(fd, command, U.iommu_ioas_noiommu_get_pa, value);
    assert.equal(rc, "ok");
    return Number(out.out_phys);
  }

  hardware(index = 0) {
    return this.platform.machine.functions[index];
  }

  /** What hardware does when the device writes a word to an address of its bus. */
  deviceWrites(at: number, word: number, index = 0): boolean {
    const { port } = this.hardware(index);
    return port.write(Math.floor(at / 2 ** 32), at % 2 ** 32, Uint32Array.of(word), 1);
  }
}

/** A persistent iommufd (id 1) with devices on one memfd, the bus master bit set. */
function running(devices: number[] = [0], bench = new NoiommuBench()) {
  const fd = bench.persistent();
  const ioas = bench.ioas(fd);
  const bound = devices.map((index) => {
    const device = bench.attached(fd, ioas, index);
    bench.setBusMaster(device.cdev);
    return device;
  });
  const file = bench.memfd(BYTES);
  const request = { flags: FIXED | RW, ioas_id: ioas, fd: file, length: BigInt(BYTES) };
  assert.equal(bench.mapFile(fd, { ...request, iova: BigInt(IOVA) }).rc, "ok");
  return { bench, fd, ioas, file, devices: bound, phys: bench.getPa(fd, ioas, IOVA) };
}

/** Devices that go on as if nothing had happened: never reset since, mastering, memory in place. */
function undisturbed(bench: NoiommuBench, phys: number, devices: number[] = [0]): void {
  for (const index of devices) {
    const { resets, port } = bench.hardware(index);
    assert.deepEqual([resets, port.busMaster], [1, true], `device ${index}`);
    const { memory, queue } = bench.platform.machine;
    assert.ok(bench.deviceWrites(phys + 64, queue.now % 2 ** 31, index));
    assert.equal(memory.load(phys / PAGE_SIZE, 16), queue.now % 2 ** 31);
  }
}

/** Picks the context up, takes the devices and maps the carried memfd. */
function heir(bench: NoiommuBench, devices: number[] = [0], sys = bench.sys) {
  const fd = bench.mustPickUp(1, sys);
  const bound = devices.map((index) => bench.bound(fd, index, sys));
  const text = sys.read(sys.open("/sys/kernel/iommufd_persisted/1/memfd1", S.O_RDONLY), 16);
  const file = Number(new TextDecoder().decode(text as Uint8Array));
  return { fd, devices: bound, va: bench.mmap(file, BYTES, S.PROT_READ, sys) };
}

Deno.test("DMA goes to the physical address on the bus, whose ever it is (FACTS 2.3)", () => {
  const { bench, fd, ioas, file, phys } = running();
  const va = bench.mmap(file, BYTES);
  assert.ok(bench.deviceWrites(phys + 8, 0x1234));
  assert.equal(bench.sys.load32(va + 8), 0x1234);
  // An IOVA is the name of a page and no address: what lies there is hit.
  const { memory } = bench.platform.machine;
  assert.ok(bench.deviceWrites(IOVA + 8, 0x5678));
  assert.equal(memory.load(IOVA / PAGE_SIZE, 2), 0x5678);
  assert.equal(bench.sys.load32(va + 8), 0x1234);
  // UNMAP takes the page away from nobody.
  assert.equal(bench.unmap(fd, ioas, IOVA, BYTES).rc, "ok");
  assert.ok(bench.deviceWrites(phys + 8, 0x9abc));
  assert.equal(bench.deviceWrites(2 ** 40, 1), false);
});

Deno.test("a device goes on through a kexec, and its heir has it as it is (FACTS 9 R24-R26)", () => {
  const { bench, ioas, phys, devices: [{ dev, hwpt }] } = running();
  const before = bench.platform.machine.pci.configRead(bench.hardware().port.sid, 0x10, 4);
  bench.kexec();
  undisturbed(bench, phys);
  const { fd, va, devices: [again] } = heir(bench);
  assert.equal(again.dev, dev);
  assert.deepEqual(bench.complaints, []);
  undisturbed(bench, phys);
  assert.equal(bench.attach(again.cdev, ioas).out.pt_id, hwpt);
  assert.equal(bench.getPa(fd, ioas, IOVA), phys);
  bench.deviceWrites(phys, 0x4242);
  assert.equal(bench.sys.load32(va), 0x4242);
  const { sid } = bench.hardware().port;
  assert.equal(bench.platform.machine.pci.configRead(sid, 0x10, 4), before, "BARs where they were");
  // Once it is given back the device is stopped and reset like any other.
  bench.sys.close(again.cdev);
  assert.deepEqual([bench.hardware().resets, bench.hardware().port.busMaster], [2, false]);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("its pages go from kernel to kernel, whether somebody comes for them or not", () => {
  const { bench, phys } = running([0, 1]);
  for (const picked of [false, false, true, false, true]) {
    bench.kexec();
    undisturbed(bench, phys, [0, 1]);
    if (picked) heir(bench, [0, 1]);
    undisturbed(bench, phys, [0, 1]);
  }
});

Deno.test("an heir that dies before it has the device leaves everything for the next (FACTS 10.6)", () => {
  const { bench, phys } = running();
  bench.kexec();
  for (let life = 0; life < 3; life++) {
    const sys = bench.shell();
    bench.mustPickUp(1, sys);
    bench.kill(sys);
    undisturbed(bench, phys);
  }
  heir(bench);
  undisturbed(bench, phys);
});

Deno.test("an heir that dies with the device takes it along: stopped, reset, its pages free", () => {
  const { bench, phys } = running();
  bench.kexec();
  const sys = bench.shell();
  heir(bench, [0], sys);
  const free = bench.freePages;
  bench.kill(sys);
  assert.deepEqual([bench.hardware().resets, bench.hardware().port.busMaster], [2, false]);
  assert.equal(bench.deviceWrites(phys, 1), false);
  assert.ok(bench.freePages >= free + BYTES / PAGE_SIZE);
  assert.equal(bench.pinned, 0);
});

Deno.test("after an update that is called off nothing is kept, and nothing changed", () => {
  const { bench, fd, ioas, phys } = running();
  assert.equal(bench.kho(true), "ok");
  assert.equal(bench.map(fd, { flags: FIXED | RW, ioas_id: ioas, length: 4096n }).rc, "EBUSY");
  assert.equal(bench.kho(false), "ok");
  undisturbed(bench, phys);
  // Without a dump the next kernel stops it at the kexec, and has its memory for its own.
  assert.equal(bench.load(), "ok");
  bench.jump();
  assert.equal(bench.hardware().port.busMaster, false);
  assert.equal(bench.pickUp(1), "ENOENT");
});

Deno.test("a device whose iommufd is not persistent is stopped at the kexec", () => {
  const bench = new NoiommuBench();
  const fd = bench.iommufd();
  const { cdev } = bench.attached(fd, bench.ioas(fd));
  bench.setBusMaster(cdev);
  const other = bench.persistent();
  const kept = bench.attached(other, bench.ioas(other), 1);
  bench.setBusMaster(kept.cdev);
  bench.kexec();
  assert.deepEqual([0, 1].map((i) => bench.hardware(i).port.busMaster), [false, true]);
  assert.equal(bench.hardware(1).resets, 1);
});
