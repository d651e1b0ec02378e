import assert from "node:assert/strict";
import * as N from "../../../src/uapi/nvme_regs.ts";
import { PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR } from "../../../src/uapi/pci_regs.ts";
import { IO_CQ, IO_SQ, NvmeHost } from "./nvme_host.ts";
import { OffsetRemapper, Rig, setCommand } from "./rig.ts";

const DATA = 0x100000;
const LIST = 0x8000;

function makeHost() {
  const rig = new Rig();
  const { nvme, bar } = rig.nvme();
  return { rig, nvme, bar, host: new NvmeHost(rig, bar) };
}

/** Fills pages with words that tell their place. */
function fill(rig: Rig, gpa: number, bytes: number, tag: number): void {
  for (let i = 0; i < bytes; i += 4) rig.store32(gpa + i, tag * 1048576 + i);
}

function same(rig: Rig, gpa: number, bytes: number, tag: number): boolean {
  for (let i = 0; i < bytes; i += 4) {
    if (rig.load32(gpa + i) !== tag * 1048576 + i) return false;
  }
  return true;
}

Deno.test("the controller becomes ready when enabled and not ready when disabled", () => {
  const { rig, bar, host } = makeHost();
  assert.equal(rig.load32(bar + N.NVME_REG_VS), N.NVME_VS_1_4);
  assert.equal(rig.load32(bar + N.NVME_REG_CAP) & 0xffff, N.NVME_MAX_QUEUE_ENTRIES - 1);
  assert.equal(rig.load32(bar + N.NVME_REG_CSTS), 0);
  host.enable();
  assert.equal(rig.load32(bar + N.NVME_REG_CSTS), N.NVME_CSTS_RDY);
  rig.store32(bar + N.NVME_REG_CC, 0);
  assert.equal(rig.load32(bar + N.NVME_REG_CSTS), 0);
});

Deno.test("identify tells controller, namespace size and the 4096-byte block", () => {
  const { rig, nvme, host } = makeHost();
  host.enable();
  assert.equal(host.admin(N.NVME_ADMIN_IDENTIFY, DATA, N.NVME_ID_CNS_CTRL).status, 0);
  assert.equal(rig.load32(DATA) & 0xffff, N.NVME_VENDOR);
  assert.equal(rig.load32(DATA + N.NVME_ID_CTRL_NN), 1);
  assert.equal(host.admin(N.NVME_ADMIN_IDENTIFY, DATA, N.NVME_ID_CNS_NS, 0, 1).status, 0);
  assert.equal(rig.load32(DATA), nvme.medium.blocks);
  assert.equal((rig.load32(DATA + N.NVME_ID_NS_LBAF0) >>> 16) & 0xff, 12);
  const missing = host.admin(N.NVME_ADMIN_IDENTIFY, DATA, N.NVME_ID_CNS_NS, 0, 2);
  assert.equal(missing.status, N.NVME_SC_INVALID_NS);
  const queues = host.admin(N.NVME_ADMIN_SET_FEATURES, 0, N.NVME_FEAT_NUM_QUEUES, 0);
  assert.equal(queues.result, 7 | 7 << 16);
});

Deno.test("queues are created, checked and deleted in the right order", () => {
  const { host } = makeHost();
  host.enable();
  const create = (opcode: number, qid: number, cdw11: number, entries = 16) =>
    host.admin(opcode, IO_SQ, qid | (entries - 1) << 16, cdw11).status;
  assert.equal(create(N.NVME_ADMIN_CREATE_SQ, 1, 1 | 1 << 16), N.NVME_SC_CQ_INVALID);
  assert.equal(create(N.NVME_ADMIN_CREATE_CQ, 0, 1), N.NVME_SC_QID_INVALID);
  assert.equal(create(N.NVME_ADMIN_CREATE_CQ, 9, 1), N.NVME_SC_QID_INVALID);
  assert.equal(create(N.NVME_ADMIN_CREATE_CQ, 1, 0), N.NVME_SC_INVALID_FIELD);
  assert.equal(create(N.NVME_ADMIN_CREATE_CQ, 1, 1, 4096), N.NVME_SC_QUEUE_SIZE);
  assert.equal(create(N.NVME_ADMIN_CREATE_CQ, 1, 1), 0);
  assert.equal(create(N.NVME_ADMIN_CREATE_CQ, 1, 1), N.NVME_SC_QID_INVALID);
  assert.equal(create(N.NVME_ADMIN_CREATE_SQ, 1, 1 | 1 << 16), 0);
  const busy = host.admin(N.NVME_ADMIN_DELETE_CQ, 0, 1).status;
  assert.equal(busy, N.NVME_SC_INVALID_QUEUE_DELETION);
  assert.equal(host.admin(N.NVME_ADMIN_DELETE_SQ, 0, 1).status, 0);
  assert.equal(host.admin(N.NVME_ADMIN_DELETE_CQ, 0, 1).status, 0);
  assert.equal(host.admin(N.NVME_ADMIN_DELETE_CQ, 0, 1).status, N.NVME_SC_QID_INVALID);
  assert.equal(host.admin(0x7f, 0, 0).status, N.NVME_SC_INVALID_OPCODE);
});

for (const pages of [1, 2, 5, 32]) {
  Deno.test(`${pages} pages written through PRPs are read back the same`, () => {
    const { rig, host } = makeHost();
    host.start();
    // The pages lie in memory in reverse order, so that none is reached by running on.
    const page = (base: number, i: number) => base + (pages - 1 - i) * 4096;
    const transfer = (opcode: number, base: number) => {
      for (let i = 1; i < pages; i++) {
        rig.store32(LIST + (i - 1) * 8, page(base, i));
        rig.store32(LIST + (i - 1) * 8 + 4, 0);
      }
      const prp2 = pages === 1 ? 0 : pages === 2 ? page(base, 1) : LIST;
      host.submit(1, opcode, 9, { prp1: page(base, 0), prp2, cdw10: 100, n: pages });
      host.ring(1);
      rig.run(100_000);
      assert.deepEqual(host.reap(1).map((c) => [c.cid, c.status]), [[9, 0]]);
    };
    for (let i = 0; i < pages; i++) fill(rig, page(DATA, i), 4096, i + 1);
    transfer(N.NVME_CMD_WRITE, DATA);
    transfer(N.NVME_CMD_READ, DATA + 0x40000);
    for (let i = 0; i < pages; i++) assert.ok(same(rig, page(DATA + 0x40000, i), 4096, i + 1));
  });
}

Deno.test("a first page with an offset and a chained list are followed", () => {
  const { rig, host } = makeHost();
  host.start();
  const data = DATA + 0x800;
  fill(rig, data, 5 * 4096, 3);
  // Two entries fit before the page ends: the second names the next list.
  const lists = [LIST + 0xff0, LIST + 0x2000];
  const pages = [1, 2, 3, 4, 5].map((i) => DATA + i * 4096);
  rig.store32(lists[0], pages[0]);
  rig.store32(lists[0] + 8, lists[1]);
  for (let i = 1; i < 5; i++) rig.store32(lists[1] + (i - 1) * 8, pages[i]);
  host.submit(1, N.NVME_CMD_WRITE, 1, { prp1: data, prp2: lists[0], cdw10: 7, n: 5 });
  host.ring(1);
  rig.run(100_000);
  host.submit(1, N.NVME_CMD_READ, 2, { prp1: 0x200000, prp2: 0x201000, cdw10: 8, n: 2 });
  host.ring(1);
  rig.run(100_000);
  assert.deepEqual(host.reap(1).map((c) => c.status), [0, 0]);
  for (let i = 0; i < 8192; i += 4) {
    assert.equal(rig.load32(0x200000 + i), 3 * 1048576 + 4096 + i);
  }
});

Deno.test("a list that only leads to itself ends in an error", () => {
  const { rig, host } = makeHost();
  host.start();
  rig.store32(LIST + 0xff8, LIST + 0xff8);
  host.submit(1, N.NVME_CMD_READ, 1, { prp1: DATA, prp2: LIST + 0xff8, n: 5 });
  host.ring(1);
  rig.run(100_000);
  assert.equal(host.reap(1)[0].status, N.NVME_SC_PRP_OFFSET_INVALID);
});

Deno.test("an unwritten block reads as a pattern of seed, block and word", () => {
  const { rig, nvme, host } = makeHost();
  host.start();
  host.submit(1, N.NVME_CMD_READ, 1, { prp1: DATA, cdw10: 55 });
  host.ring(1);
  rig.run(100_000);
  for (let w = 0; w < 1024; w++) {
    assert.equal(rig.load32(DATA + w * 4), nvme.medium.unwritten(55, w));
  }
  assert.equal(nvme.medium.written, 0);
});

Deno.test("what a command gets wrong comes back as its status", () => {
  const { rig, nvme, host } = makeHost();
  host.start();
  host.submit(1, N.NVME_CMD_READ, 1, { prp1: DATA, cdw10: nvme.medium.blocks });
  host.submit(1, N.NVME_CMD_READ, 2, { prp1: DATA, n: 33 });
  host.submit(1, N.NVME_CMD_READ, 3, { prp1: DATA, nsid: 4 });
  host.submit(1, 0x7e, 4, {});
  host.submit(1, N.NVME_CMD_FLUSH, 5, {});
  host.submit(1, N.NVME_CMD_READ, 6, { prp1: DATA, prp2: DATA + 4, n: 2 });
  host.ring(1);
  rig.run(100_000);
  const byCid = new Map(host.reap(1).map((c) => [c.cid, c.status]));
  assert.deepEqual([1, 2, 3, 4, 5, 6].map((cid) => byCid.get(cid)), [
    N.NVME_SC_LBA_RANGE,
    N.NVME_SC_INVALID_FIELD,
    N.NVME_SC_INVALID_NS,
    N.NVME_SC_INVALID_OPCODE,
    N.NVME_SC_SUCCESS,
    N.NVME_SC_PRP_OFFSET_INVALID,
  ]);
});

Deno.test("the phase tag flips at each turn of the completion queue", () => {
  const { rig, host } = makeHost();
  host.start(4);
  const phases: number[] = [];
  for (let i = 0; i < 20; i++) {
    host.submit(1, N.NVME_CMD_FLUSH, i, {});
    host.ring(1);
    rig.run(100_000);
    phases.push((rig.load32(IO_CQ + (i % 4) * 16 + 12) >>> 16) & 1);
    assert.deepEqual(host.reap(1).map((c) => [c.cid, c.sqHead]), [[i, (i + 1) % 4]]);
  }
  assert.deepEqual(phases, [...Array(20).keys()].map((i) => 1 - (i >> 2) % 2));
});

Deno.test("a full completion queue holds completions back and loses none", () => {
  const { rig, nvme, bar, host } = makeHost();
  // 16 entries to submit, 4 to complete.
  host.start(16);
  assert.equal(host.admin(N.NVME_ADMIN_DELETE_SQ, 0, 1).status, 0);
  assert.equal(host.admin(N.NVME_ADMIN_DELETE_CQ, 0, 1).status, 0);
  assert.equal(host.admin(N.NVME_ADMIN_CREATE_CQ, IO_CQ, 1 | 3 << 16, 1).status, 0);
  assert.equal(host.admin(N.NVME_ADMIN_CREATE_SQ, IO_SQ, 1 | 15 << 16, 1 | 1 << 16).status, 0);
  for (let cid = 0; cid < 10; cid++) host.submit(1, N.NVME_CMD_FLUSH, cid, {});
  host.ring(1);
  rig.run(1_000_000);
  assert.equal(nvme.outstanding, 0);
  assert.equal(rig.observer.busy(0), false, "waiting for the host is not work");
  const seen = new Set<number>();
  for (let head = 0, phase = 1, taken = 0; taken < 10;) {
    let found = 0;
    for (;; found++) {
      const word = rig.load32(IO_CQ + head * 16 + 12);
      if (((word >>> 16) & 1) !== phase) break;
      seen.add(word & 0xffff);
      head = (head + 1) % 4;
      if (head === 0) phase ^= 1;
    }
    assert.ok(found > 0 && found <= 3);
    taken += found;
    rig.store32(bar + N.cqDoorbell(1), head);
    rig.run(1000);
  }
  assert.equal(seen.size, 10);
});

Deno.test("the controller is busy while commands are in service", () => {
  const { rig, nvme, host } = makeHost();
  host.start();
  rig.observer.workChanges.length = 0;
  host.submit(1, N.NVME_CMD_FLUSH, 1, {});
  host.submit(1, N.NVME_CMD_FLUSH, 2, {});
  host.ring(1);
  rig.run(1);
  assert.equal(nvme.outstanding, 2);
  rig.run(100_000);
  assert.deepEqual(rig.observer.workChanges, [{ fn: 0, busy: true }, { fn: 0, busy: false }]);
});

Deno.test("a reset in mid-flight drops the commands and nothing of them happens later", () => {
  for (const flr of [false, true]) {
    const { rig, nvme, bar, host } = makeHost();
    host.start();
    for (let cid = 0; cid < 8; cid++) {
      host.submit(1, N.NVME_CMD_READ, cid, { prp1: DATA + cid * 4096 });
    }
    host.ring(1);
    rig.run(1);
    assert.equal(nvme.outstanding, 8);
    if (flr) nvme.configWrite(0x40 + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
    else rig.store32(bar + N.NVME_REG_CC, 0);
    assert.equal(nvme.outstanding, 0);
    assert.equal(nvme.dropped, 8);
    assert.equal(rig.observer.busy(0), false);
    const accesses = rig.observer.accesses;
    rig.run(1_000_000);
    assert.equal(rig.observer.accesses, accesses);
    assert.equal(rig.observer.failures.length, 0);
    if (flr) continue;
    host.start();
    host.submit(1, N.NVME_CMD_READ, 3, { prp1: DATA });
    host.ring(1);
    rig.run(100_000);
    assert.deepEqual(host.reap(1).map((c) => [c.cid, c.status]), [[3, 0]]);
  }
});

Deno.test("a refused data page gives a data transfer error and the next command is well", () => {
  const { rig, nvme, host } = makeHost();
  const remapper = nvme.port.remapper = new OffsetRemapper();
  host.start();
  remapper.refused.add((DATA + 4096) / 4096);
  host.submit(1, N.NVME_CMD_READ, 1, { prp1: DATA, prp2: DATA + 4096, n: 2 });
  host.ring(1);
  rig.run(100_000);
  host.submit(1, N.NVME_CMD_READ, 2, { prp1: DATA });
  host.ring(1);
  rig.run(100_000);
  const statuses = host.reap(1).map((c) => c.status);
  assert.deepEqual(statuses, [N.NVME_SC_DATA_XFER_ERROR, N.NVME_SC_SUCCESS]);
  assert.equal(nvme.dmaErrors, 1);
});

Deno.test("a failing fetch sets CFS and fetching resumes at the next doorbell", () => {
  const { rig, nvme, bar, host } = makeHost();
  host.start();
  setCommand(nvme, false);
  host.submit(1, N.NVME_CMD_FLUSH, 1, {});
  host.ring(1);
  rig.run(1_000_000);
  assert.equal(rig.observer.failures.length, 1, "it does not go on trying");
  assert.equal(rig.load32(bar + N.NVME_REG_CSTS), N.NVME_CSTS_RDY | N.NVME_CSTS_CFS);
  setCommand(nvme, true);
  rig.run(1_000_000);
  assert.equal(host.reap(1).length, 0);
  host.ring(1);
  rig.run(1_000_000);
  assert.equal(host.reap(1).length, 1);
});

Deno.test("a completion that cannot be written is lost and the controller says so", () => {
  const { rig, nvme, bar, host } = makeHost();
  host.start();
  host.submit(1, N.NVME_CMD_FLUSH, 1, {});
  host.ring(1);
  rig.run(1);
  setCommand(nvme, false);
  rig.run(100_000);
  assert.equal(nvme.dmaErrors, 1);
  assert.equal(nvme.outstanding, 0);
  assert.notEqual(rig.load32(bar + N.NVME_REG_CSTS) & N.NVME_CSTS_CFS, 0);
});

Deno.test("more commands than the controller has places for all complete", () => {
  const { rig, nvme, bar, host } = makeHost();
  host.enable();
  const entries = 512;
  const sq = 0x400000, cq = 0x500000;
  host.admin(N.NVME_ADMIN_CREATE_CQ, cq, 1 | (entries - 1) << 16, 1);
  host.admin(N.NVME_ADMIN_CREATE_SQ, sq, 1 | (entries - 1) << 16, 1 | 1 << 16);
  for (let i = 0; i < entries - 1; i++) rig.store32(sq + i * 64, N.NVME_CMD_FLUSH | i << 16);
  for (let i = 0; i < entries - 1; i++) rig.store32(sq + i * 64 + 4, 1);
  rig.store32(bar + N.sqDoorbell(1), entries - 1);
  rig.run(1);
  assert.equal(nvme.outstanding, 256);
  rig.run(1_000_000);
  const cids = new Set<number>();
  for (let i = 0; i < entries - 1; i++) cids.add(rig.load32(cq + i * 16 + 12) & 0xffff);
  assert.equal(cids.size, entries - 1);
});
