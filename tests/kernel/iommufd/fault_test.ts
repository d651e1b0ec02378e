import assert from "node:assert/strict";
import type { FaultQueue } from "../../../src/kernel/iommufd/fault.ts";
import type { HwptPaging } from "../../../src/kernel/iommufd/hwpt.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { said } from "../requests.ts";

const { size: RECORD } = U.iommu_hwpt_pgfault;
const { IOMMUFD_PAGE_RESP_SUCCESS: SUCCESS, IOMMUFD_PAGE_RESP_INVALID: INVALID } = U;
const { IOMMU_PGFAULT_FLAGS_LAST_PAGE: LAST, IOMMU_PGFAULT_FLAGS_PASID_VALID: PASID } = U;

/** A device on a HWPT with a fault queue. The test stands for the hardware that fills it. */
function queueBench() {
  const bench = new Bench("rfc-v1", { profile: "intel-scalable", pageRequests: true });
  const fd = bench.iommufd(), ioas = bench.ioas(fd);
  const { cdev, dev } = bench.bound(fd);
  const { kernel } = bench.platform;
  const queue = bench.ioctl(fd, U.IOMMU_FAULT_QUEUE_ALLOC, U.iommu_fault_queue_alloc, {}).out;
  const hwpts = [0, 1].map(() =>
    bench.ioctl(fd, U.IOMMU_HWPT_ALLOC, U.iommu_hwpt_alloc, {
      flags: U.IOMMU_HWPT_FAULT_ID_VALID,
      dev_id: dev,
      pt_id: ioas,
      fault_id: queue.out_fault_id,
    }).out.out_hwpt_id
  );
  assert.equal(bench.attach(cdev, hwpts[0]).rc, "ok");
  const ctx = kernel.iommufd.contexts[0];
  const object = ctx.objects.get(queue.out_fault_id) as FaultQueue;
  const hwpt = ctx.objects.get(hwpts[0]) as HwptPaging;
  const answers: string[] = [];

  /** The device asks for `pages` pages. */
  const ask = (grpid: number, pages = 1, pasid?: number) => {
    const requests = Array.from({ length: pages }, (_, i) => ({
      perm: U.IOMMU_PGFAULT_PERM_READ,
      addr: BigInt(grpid * 0x100000 + i * 0x1000),
    }));
    const respond = (code: number) => void answers.push(`${grpid}: ${code}`);
    object.report({ hwpt, devId: dev, pasid, grpid, requests, respond });
  };
  const read = (records: number) => {
    const bytes = bench.sys.read(queue.out_fault_fd, records * RECORD);
    assert.ok(typeof bytes !== "number", said(Number(bytes)));
    return Array.from(
      { length: bytes.length / RECORD },
      (_, i) => U.iommu_hwpt_pgfault.decode(bytes.subarray(i * RECORD)),
    );
  };
  const respond = (...responses: [cookie: number, code: number][]) => {
    const one = U.iommu_hwpt_page_response;
    const bytes = new Uint8Array(responses.length * one.size);
    responses.forEach(([cookie, code], i) => bytes.set(one.encode({ cookie, code }), i * one.size));
    return bench.sys.write(queue.out_fault_fd, bytes);
  };
  return { bench, fd, cdev, dev, hwpts, queue, answers, ask, read, respond };
}

Deno.test("a group is read as records with one cookie, the last one marked (FACTS 1.2 fault_alloc)", () => {
  const { dev, ask, read } = queueBench();
  ask(7, 3, 42);
  const common = { dev_id: dev, pasid: 42, grpid: 7, perm: 1, rsvd: 0, length: 0, cookie: 1 };
  assert.deepEqual(read(8), [
    { flags: PASID, ...common, addr: 0x700000n },
    { flags: PASID, ...common, addr: 0x701000n },
    { flags: PASID | LAST, ...common, addr: 0x702000n },
  ]);
  assert.deepEqual(read(8), [], "it is read once");
  ask(8);
  const [record] = read(1);
  assert.deepEqual([record.flags, record.pasid, record.cookie], [LAST, 0, 2]);
});

Deno.test("a read gives whole groups, oldest first, as many as fit", () => {
  const { ask, read } = queueBench();
  ask(1, 2);
  ask(2, 3);
  ask(3, 1);
  assert.deepEqual(read(1), [], "the first one does not fit");
  assert.deepEqual(read(4).map((r) => r.grpid), [1, 1], "the second one does not fit any more");
  assert.deepEqual(read(4).map((r) => r.grpid), [2, 2, 2, 3]);
});

Deno.test("an answer goes to the group of its cookie, once, and the cookie is free again", () => {
  const { ask, read, respond, answers } = queueBench();
  for (const grpid of [1, 2, 3]) ask(grpid);
  assert.equal(said(respond([1, SUCCESS])), "EINVAL", "it has not been read yet");
  assert.deepEqual(read(3).map((r) => r.cookie), [1, 2, 3]);
  assert.equal(respond([2, INVALID]), 8);
  assert.equal(respond([3, SUCCESS], [1, SUCCESS]), 16);
  assert.deepEqual(answers, [`2: ${INVALID}`, `3: ${SUCCESS}`, `1: ${SUCCESS}`]);
  assert.equal(said(respond([2, SUCCESS])), "EINVAL");
  ask(4);
  assert.equal(read(1)[0].cookie, 1);
});

Deno.test("answers before a bad one stand, and are what the write counts", () => {
  const { ask, read, respond, answers } = queueBench();
  for (const grpid of [1, 2]) ask(grpid);
  read(2);
  assert.equal(respond([1, SUCCESS], [77, SUCCESS], [2, SUCCESS]), 8);
  assert.equal(said(respond([2, 2])), "EINVAL", "no such code, and the group still waits");
  assert.equal(respond([2, SUCCESS], [2, SUCCESS]), 8);
  assert.deepEqual(answers, [`1: ${SUCCESS}`, `2: ${SUCCESS}`]);
});

/** Ways a device leaves its HWPT; nobody can make pages present for it there any more. */
const LEAVES: Record<string, (b: ReturnType<typeof queueBench>) => void> = {
  "detach": ({ bench, cdev }) => assert.equal(bench.detach(cdev), "ok"),
  "replace": ({ bench, cdev, hwpts }) => assert.equal(bench.attach(cdev, hwpts[1]).rc, "ok"),
  "close of the device": ({ bench, cdev }) => assert.equal(bench.sys.close(cdev), 0),
};
for (const [how, leave] of Object.entries(LEAVES)) {
  Deno.test(`${how}: what the device asked for is answered INVALID, read or not`, () => {
    const b = queueBench();
    b.ask(1);
    b.ask(2);
    b.read(1);
    leave(b);
    assert.deepEqual(b.answers.toSorted(), [`1: ${INVALID}`, `2: ${INVALID}`]);
    assert.deepEqual(b.read(8), []);
    assert.equal(said(b.respond([1, SUCCESS])), "EINVAL");
  });
}

Deno.test("with its descriptor closed a queue goes on to keep what is asked, and HWPTs keep it", () => {
  const { bench, fd, cdev, queue, hwpts, ask, answers } = queueBench();
  ask(1);
  assert.equal(bench.sys.close(queue.out_fault_fd), 0);
  assert.equal(bench.destroy(fd, queue.out_fault_id), "EBUSY");
  assert.equal(bench.detach(cdev), "ok");
  assert.deepEqual(answers, [`1: ${INVALID}`]);
  for (const id of hwpts) assert.equal(bench.destroy(fd, id), "ok");
  assert.equal(bench.destroy(fd, queue.out_fault_id), "ok");
});
