import assert from "node:assert/strict";
import { MiB, ms, us } from "../../../src/base/units.ts";
import { ATS_NO_ACCESS } from "../../../src/machine/ats.ts";
import { AtsPort } from "../../../src/machine/pci/ats_port.ts";
import type { IntelUnit } from "../../../src/kernel/iommu/intel/unit.ts";
import * as pr from "../../../src/uapi/vtd_page_requests.ts";
import * as S from "../../../src/uapi/sys.ts";
import {
  answerFault,
  faultQueueAlloc,
  hwptAlloc,
  ioasAlloc,
  ioasMapFile,
  ioasUnmap,
  readFaults,
  vfioAttach,
  vfioBind,
} from "../../../src/userspace/calls.ts";
import { Bench } from "../bench.ts";
import { said } from "../requests.ts";

const BLOCK = 2 * MiB;
const DIR = "/sys/kernel/iommufd_persisted/1";

/** A card that asks for pages, on a HWPT with a fault queue; the first block of its file is mapped. */
class Paging {
  readonly bench: Bench;
  readonly port: AtsPort;
  fd = -1;
  cdev = -1;
  ioas = 0;
  hwpt = 0;
  queue = { id: 0, file: -1 };
  readonly answers: boolean[] = [];

  constructor(image = "redrive-replace", readonly pasid?: number) {
    const pasidBits = pasid === undefined ? {} : { pasidBits: 15 };
    this.bench = new Bench(image, { profile: "intel-scalable", pageRequests: true, ...pasidBits });
    const { port } = this.bench.platform.machine.functions[0];
    assert.ok(port instanceof AtsPort);
    this.port = port;
  }

  start(): this {
    const { bench } = this;
    this.fd = bench.persistent();
    this.cdev = bench.cdev();
    this.attach(vfioBind(bench.sys, this.cdev, this.fd));
    bench.setBusMaster(this.cdev);
    return this;
  }

  attach(dev: number): void {
    const { sys } = this.bench, file = this.bench.file("ram", 0);
    if (sys.fsize(file) === 0) sys.ftruncate(file, 2 * BLOCK);
    this.ioas = ioasAlloc(sys, this.fd);
    this.queue = faultQueueAlloc(sys, this.fd);
    this.map(0);
    const flags = this.pasid === undefined ? 0 : 8;
    this.hwpt = hwptAlloc(sys, this.fd, dev, this.ioas, flags, this.queue.id);
    vfioAttach(sys, this.cdev, this.hwpt, this.pasid);
  }

  map(block: number): void {
    const { sys } = this.bench, at = block * BLOCK;
    const rc = ioasMapFile(sys, this.fd, this.ioas, this.bench.file("ram", 0), BLOCK, at, at);
    assert.equal(said(rc), "ok");
  }

  get unit(): IntelUnit {
    return this.bench.platform.kernel.intel!.units[0];
  }

  dma(iova: number): number {
    this.port.pasid = this.pasid ?? -1;
    return this.port.access(0, iova, 64, true);
  }

  /** The device touches a page that is not there, and asks for it again whenever it is told to go on. */
  want(iova: number): void {
    if (this.dma(iova) !== ATS_NO_ACCESS) return;
    const { missing } = this.port;
    assert.ok(missing !== undefined);
    const asked = this.port.ask([missing], (granted) => {
      this.answers.push(granted);
      if (granted) this.want(iova);
    });
    assert.ok(asked);
  }

  run(ns = 10 * us): void {
    this.bench.platform.runFor(ns);
  }

  answer(code = 0): void {
    for (const { cookie } of this.read()) {
      assert.equal(answerFault(this.bench.sys, this.queue.file, cookie, code), 0);
    }
    this.run();
  }

  read() {
    return readFaults(this.bench.sys, this.queue.file, 8);
  }

  /** Into the next kernel, which is asked for nothing yet. */
  kexec(): void {
    this.bench.kexec("redrive-replace");
  }

  /** The heir picks up iommufd and card. */
  pickUp(): void {
    const { bench } = this;
    const handle = (path: string) => {
      const file = bench.sys.open(`${DIR}/${path}`, S.O_RDONLY);
      return Number(new TextDecoder().decode(bench.sys.read(file, 16) as Uint8Array));
    };
    this.fd = handle("iommufd");
    this.cdev = handle("devices/0000:3a:00.0");
  }
}

for (const pasid of [undefined, 5]) {
  Deno.test(`a page is asked for, read, mapped, answered, and used; PASID ${pasid}`, () => {
    const p = new Paging("redrive-replace", pasid).start();
    p.want(BLOCK + 0x5123);
    p.run();
    const [page, ...more] = p.read();
    assert.deepEqual([page.iova, page.last, more], [BLOCK + 0x5000, true, []]);
    assert.deepEqual(p.answers, []);
    p.map(1);
    assert.equal(answerFault(p.bench.sys, p.queue.file, page.cookie, 0), 0);
    p.run();
    assert.deepEqual(p.answers, [true]);
    assert.ok(p.dma(BLOCK + 0x5123) > 0);
    assert.equal(p.port.open.length, 0);
    assert.deepEqual(p.bench.complaints, []);
  });
}

Deno.test("what is unmapped is taken from the device's own cache as well", () => {
  const p = new Paging().start();
  p.map(1);
  assert.ok(p.dma(BLOCK) > 0);
  assert.equal([...p.port.atc.entries()].length, 1);
  assert.ok(ioasUnmap(p.bench.sys, p.fd, p.ioas, BLOCK, BLOCK) > 0);
  assert.equal(p.dma(BLOCK), ATS_NO_ACCESS);
});

Deno.test("a device may ask only while somebody listens; who leaves is answered INVALID", () => {
  const p = new Paging().start();
  assert.deepEqual([p.port.ats, p.port.pri], [true, true]);
  assert.ok(p.unit.contexts.hasDeviceTlb(0x3a00));
  p.want(BLOCK);
  p.run();
  assert.equal(p.bench.detach(p.cdev), "ok");
  p.run();
  assert.deepEqual(p.answers, [false]);
  assert.deepEqual([p.port.ats, p.port.pri], [false, false]);
  assert.ok(!p.unit.contexts.hasDeviceTlb(0x3a00));
});

Deno.test("from one HWPT with a queue to another the device goes on asking", () => {
  const p = new Paging().start();
  const second = hwptAlloc(p.bench.sys, p.fd, 1, p.ioas, 0, p.queue.id);
  vfioAttach(p.bench.sys, p.cdev, second);
  assert.ok(p.port.pri);
  p.want(BLOCK);
  p.run();
  assert.equal(p.read().length, 1);
});

Deno.test("a full queue is noticed, cleared, and nothing is lost", () => {
  const p = new Paging().start();
  const unit = p.bench.platform.machine.units[0];
  // The interrupt comes late.
  unit.write32(pr.DMAR_PECTL_REG, 1 << 31);
  unit.write32(pr.DMAR_PQH_REG, 64);
  unit.write32(pr.DMAR_PQT_REG, 32);
  p.want(BLOCK);
  p.run();
  assert.ok(p.answers.length > 0 && !p.answers.includes(false), "told to ask again, and again");
  unit.write32(pr.DMAR_PQH_REG, 32);
  unit.write32(pr.DMAR_PECTL_REG, 0);
  p.run();
  assert.equal(p.read().length, 1);
  assert.ok(p.bench.platform.events.some((e) => e.text === "DMAR: dmar0: PRQ overflow cleared"));
});

Deno.test("what a device asks between two kernels waits in the queue for the heir", () => {
  const p = new Paging().start();
  const at = p.unit.requests?.pfn;
  p.kexec();
  assert.equal(p.unit.requests?.pfn, at, "the queue is where it was");
  p.want(BLOCK);
  p.run(50 * ms);
  assert.equal(p.port.open.length, 1);
  p.pickUp();
  p.attach(vfioBind(p.bench.sys, p.cdev, p.fd));
  const [page] = p.read();
  assert.equal(page.iova, BLOCK);
  p.map(1);
  answerFault(p.bench.sys, p.queue.file, page.cookie, 0);
  p.run();
  assert.deepEqual(p.answers, [true]);
  assert.ok(p.dma(BLOCK) > 0);
  assert.deepEqual(p.bench.complaints, []);
});

Deno.test("what was read and not answered before the jump is asked again after it", () => {
  for (const readBy of ["nobody", "the kernel", "the program"]) {
    const p = new Paging().start();
    p.want(BLOCK);
    if (readBy !== "nobody") p.run();
    if (readBy === "the program") assert.equal(p.read().length, 1);
    p.kexec();
    assert.equal(p.port.open.length, 1, readBy);
    p.pickUp();
    p.attach(vfioBind(p.bench.sys, p.cdev, p.fd));
    assert.deepEqual(p.read().map(({ iova }) => iova), [BLOCK], readBy);
  }
});

Deno.test("an heir that does not listen: what was asked is refused, and nothing more is asked", () => {
  const p = new Paging().start();
  p.kexec();
  p.want(BLOCK);
  p.run();
  p.pickUp();
  const dev = vfioBind(p.bench.sys, p.cdev, p.fd);
  p.ioas = ioasAlloc(p.bench.sys, p.fd);
  p.map(0);
  vfioAttach(p.bench.sys, p.cdev, hwptAlloc(p.bench.sys, p.fd, dev, p.ioas, 0));
  p.run();
  assert.deepEqual([p.answers, p.port.open.length], [[false], 0]);
  assert.deepEqual([p.port.ats, p.port.pri], [false, false]);
});

Deno.test("an administrator who gives the device up has its requests refused", () => {
  const p = new Paging().start();
  p.kexec();
  p.want(BLOCK);
  p.run();
  assert.equal(p.bench.write(`${DIR}/discard`, "1"), "ok");
  p.run();
  assert.equal(p.port.open.length, 0);
  assert.deepEqual([p.port.ats, p.port.pri], [false, false]);
});

Deno.test("a HWPT with a queue in a persistent iommufd: where nobody would answer, EOPNOTSUPP", () => {
  for (const [image, call] of [["rfc-v1", "HWPT_ALLOC"], ["replay", "FAULT_QUEUE_ALLOC"]]) {
    const p = new Paging(image);
    assert.throws(() => p.start(), { message: `IOMMU_${call}: EOPNOTSUPP` });
    const said = p.bench.platform.events.filter((e) => e.text.includes("page requests"));
    assert.equal(said.length, 1);
  }
});

Deno.test("a device that cannot ask, or whose IOMMU cannot be asked: ENODEV", () => {
  for (const [profile, pageRequests] of [["intel-scalable", false], ["intel-legacy", true]]) {
    const bench = new Bench("redrive", {
      profile: profile as string,
      pageRequests: pageRequests as boolean,
    });
    const fd = bench.iommufd(), ioas = bench.ioas(fd), { cdev, dev } = bench.bound(fd);
    const queue = faultQueueAlloc(bench.sys, fd);
    const hwpt = hwptAlloc(bench.sys, fd, dev, ioas, 0, queue.id);
    assert.equal(bench.attach(cdev, hwpt).rc, "ENODEV");
  }
});
