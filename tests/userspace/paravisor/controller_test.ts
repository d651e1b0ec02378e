import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../../src/base/units.ts";
import * as N from "../../../src/uapi/nvme_regs.ts";
import type { GuestCpu } from "../../../src/userspace/guest/cpu.ts";
import { GuestNvmeDriver } from "../../../src/userspace/guest/nvme_driver.ts";
import { Controller } from "../../../src/userspace/paravisor/controller.ts";
import { Disk } from "../../../src/userspace/paravisor/disk.ts";
import { DmaMemory } from "../../../src/userspace/paravisor/dma_memory.ts";
import { NvmeHost } from "../../machine/devices/nvme_host.ts";
import { Rig } from "../../machine/devices/rig.ts";

/** The guest's memory ends here, and the paravisor's begins. */
const RAM_END = 0x400000, GUEST_BAR = 0xf0000000;
const BLOCKS = 4096;

/** A disk, a paravisor's two halves, and the processor of a guest above them. */
class Stack implements GuestCpu {
  readonly rig = new Rig();
  readonly nvme;
  readonly #bar: number;
  readonly #dma: DmaMemory;
  disk: Disk;
  controller: Controller;
  /** The program does nothing; the disk does. */
  stopped = false;

  constructor(latency = 10_000) {
    const { nvme, bar } = this.rig.nvme({ latency, blocks: BLOCKS });
    this.nvme = nvme;
    this.#bar = bar;
    const pages = Array.from({ length: Disk.bytes / PAGE_SIZE }, (_, i) => RAM_END + i * PAGE_SIZE);
    this.#dma = new DmaMemory(RAM_END, pages);
    this.disk = new Disk(this.rig, bar, this.#dma);
    this.disk.start();
    for (let i = 0; this.disk.ready() !== true; i++) {
      assert.ok(i < 1000, `the disk does not come up: ${this.disk.ready()}`);
      this.rig.run(5_000);
    }
    this.controller = this.#play();
  }

  #play(): Controller {
    const { disk } = this;
    return new Controller(this.rig, {
      get full() {
        return disk.full;
      },
      physical: (gpa) => gpa < RAM_END ? gpa : undefined,
      submit: (command, tag) => disk.submit(command, tag),
      ring: () => disk.ring(),
    }, disk.blocks);
  }

  /** The program goes, and another one comes that knows only what it left. */
  replace(down = 0): void {
    const saved = JSON.stringify([this.disk.save(), this.controller.save()]);
    this.rig.run(down);
    const [disk, controller] = JSON.parse(saved);
    this.disk = new Disk(this.rig, this.#bar, this.#dma);
    this.disk.resume(disk);
    this.controller = this.#play();
    this.controller.restore(controller);
  }

  load32(gpa: number): number {
    return gpa < GUEST_BAR ? this.rig.load32(gpa) : this.controller.load32(gpa - GUEST_BAR);
  }

  store32(gpa: number, value: number): void {
    if (gpa < GUEST_BAR) this.rig.store32(gpa, value);
    else this.controller.store32(gpa - GUEST_BAR, value);
  }

  loadWords(gpa: number, into: Uint32Array): void {
    this.rig.loadWords(gpa, into);
  }

  storeWords(gpa: number, words: Uint32Array): void {
    this.rig.storeWords(gpa, words);
  }

  run(ns: number): void {
    for (let at = 0; at < ns; at += 5_000) {
      this.rig.run(5_000);
      if (this.stopped) continue;
      this.disk.reap((tag, status) => this.controller.done(tag, status));
      this.controller.step();
    }
  }

  /** A guest's driver on top, and a way to let it run. */
  guest(depth: number, maxPages: number) {
    const driver = new GuestNvmeDriver(this, 0x8000);
    driver.start({ bar: GUEST_BAR, memoryGpa: 0x100000, depth, maxPages, seed: 5, iovaBase: 0 });
    const play = (polls: number) => {
      for (let i = 0; i < polls; i++) {
        this.run(5_000);
        driver.poll(1000);
      }
    };
    return { driver, play };
  }
}

Deno.test("a guest's commands all complete exactly once with the right data", () => {
  for (const [depth, maxPages] of [[16, 5], [64, 2], [4, 32]]) {
    const stack = new Stack();
    const { driver, play } = stack.guest(depth, maxPages);
    play(300);
    const c = driver.counters();
    assert.ok(c.completed > 100, `${c.completed} completed`);
    assert.equal(c.errors + c.corrupt + c.lost + c.repeated, 0);
    assert.equal(stack.nvme.dmaErrors, 0);
  }
});

Deno.test("whenever the program is replaced, no command is lost and none repeated (FACTS 9 R26)", () => {
  const stack = new Stack(40_000);
  const { driver, play } = stack.guest(48, 3);
  play(200);
  for (let life = 0; life < 20; life++) {
    play(1 + life % 7);
    // Meanwhile some, none or all of what the disk has in hand is completed.
    stack.replace(life * 5_000);
  }
  const before = driver.counters().completed;
  play(200);
  const c = driver.counters();
  assert.ok(c.completed > before + 100);
  assert.equal(c.errors + c.corrupt + c.lost + c.repeated, 0);
});

const write = N.NVME_CMD_WRITE, read = N.NVME_CMD_READ;

type Io = Parameters<NvmeHost["submit"]>[3] & { opcode?: number };

const ANSWERS: { name: string; io: Io; status: number }[] = [
  { name: "a write of a block", io: { prp1: 0x10000 }, status: 0 },
  { name: "the last block", io: { prp1: 0x10000, cdw10: BLOCKS - 1 }, status: 0 },
  { name: "two blocks", io: { prp1: 0x10000, prp2: 0x12000, n: 2 }, status: 0 },
  {
    name: "another namespace",
    io: { prp1: 0x10000, nsid: 2 },
    status: N.NVME_SC_INVALID_NS,
  },
  { name: "another command", io: { prp1: 0x10000, opcode: 9 }, status: N.NVME_SC_INVALID_OPCODE },
  {
    name: "beyond the end of the disk",
    io: { prp1: 0x10000, prp2: 0x12000, n: 2, cdw10: BLOCKS - 1 },
    status: N.NVME_SC_LBA_RANGE,
  },
  { name: "far beyond", io: { prp1: 0x10000, cdw11: 1 }, status: N.NVME_SC_LBA_RANGE },
  {
    name: "data that begins inside a page",
    io: { prp1: 0x10800 },
    status: N.NVME_SC_PRP_OFFSET_INVALID,
  },
  {
    name: "a list that runs into another page",
    io: { prp1: 0x10000, prp2: 0x11ff8, n: 3 },
    status: N.NVME_SC_PRP_OFFSET_INVALID,
  },
  {
    name: "more than a list holds",
    io: { prp1: 0x10000, prp2: 0x12000, n: 33 },
    status: N.NVME_SC_PRP_OFFSET_INVALID,
  },
  {
    name: "memory that is not the guest's",
    io: { prp1: RAM_END, opcode: read },
    status: N.NVME_SC_DATA_XFER_ERROR,
  },
  {
    name: "a second page that is not",
    io: { prp1: 0x10000, prp2: RAM_END, n: 2 },
    status: N.NVME_SC_DATA_XFER_ERROR,
  },
];

Deno.test("what the played controller answers, and what reaches the disk", async (t) => {
  const stack = new Stack();
  const host = new NvmeHost(stack, GUEST_BAR);
  host.start();
  let cid = 100;
  for (const { name, io: { opcode = write, ...io }, status } of ANSWERS) {
    await t.step(`${name}: 0x${status.toString(16)}`, () => {
      const { accesses } = stack.rig.observer;
      host.submit(1, opcode, ++cid, io);
      host.ring(1);
      stack.run(40_000);
      const [done, ...more] = host.reap(1);
      assert.deepEqual([done.cid, done.status, more.length], [cid, status, 0]);
      assert.equal(stack.rig.observer.accesses > accesses, status === 0);
    });
  }
});

const OWN_SQ = 0x5000, OWN_CQ = 0x6000;

const ADMIN: {
  name: string;
  opcode: number;
  prp1?: number;
  dw10: number;
  dw11?: number;
  status: number;
}[] = [
  {
    name: "CREATE_CQ with id 0",
    opcode: N.NVME_ADMIN_CREATE_CQ,
    dw10: 7 << 16,
    status: N.NVME_SC_QID_INVALID,
  },
  {
    name: "CREATE_CQ beyond the last",
    opcode: N.NVME_ADMIN_CREATE_CQ,
    dw10: 5 | 7 << 16,
    status: N.NVME_SC_QID_INVALID,
  },
  {
    name: "CREATE_CQ of one that exists",
    opcode: N.NVME_ADMIN_CREATE_CQ,
    dw10: 1 | 7 << 16,
    status: N.NVME_SC_QID_INVALID,
  },
  {
    name: "CREATE_CQ of one entry",
    opcode: N.NVME_ADMIN_CREATE_CQ,
    dw10: 2,
    status: N.NVME_SC_QUEUE_SIZE,
  },
  {
    name: "CREATE_SQ without a CQ",
    opcode: N.NVME_ADMIN_CREATE_SQ,
    dw10: 2 | 7 << 16,
    dw11: 3 << 16,
    status: N.NVME_SC_CQ_INVALID,
  },
  { name: "CREATE_CQ", opcode: N.NVME_ADMIN_CREATE_CQ, prp1: OWN_CQ, dw10: 2 | 7 << 16, status: 0 },
  {
    name: "CREATE_SQ",
    opcode: N.NVME_ADMIN_CREATE_SQ,
    prp1: OWN_SQ,
    dw10: 2 | 7 << 16,
    dw11: 2 << 16,
    status: 0,
  },
  { name: "DELETE_SQ", opcode: N.NVME_ADMIN_DELETE_SQ, dw10: 2, status: 0 },
  {
    name: "DELETE_SQ again",
    opcode: N.NVME_ADMIN_DELETE_SQ,
    dw10: 2,
    status: N.NVME_SC_QID_INVALID,
  },
  {
    name: "DELETE_CQ of the admin queue",
    opcode: N.NVME_ADMIN_DELETE_CQ,
    dw10: 0,
    status: N.NVME_SC_QID_INVALID,
  },
  {
    name: "a feature it has",
    opcode: N.NVME_ADMIN_GET_FEATURES,
    dw10: N.NVME_FEAT_NUM_QUEUES,
    status: 0,
  },
  {
    name: "a feature it has not",
    opcode: N.NVME_ADMIN_SET_FEATURES,
    dw10: 0x7f,
    status: N.NVME_SC_INVALID_FIELD,
  },
  {
    name: "IDENTIFY into half a page",
    opcode: N.NVME_ADMIN_IDENTIFY,
    prp1: 0x10800,
    dw10: N.NVME_ID_CNS_CTRL,
    status: N.NVME_SC_PRP_OFFSET_INVALID,
  },
  {
    name: "IDENTIFY of something else",
    opcode: N.NVME_ADMIN_IDENTIFY,
    prp1: 0x10000,
    dw10: 0x55,
    status: N.NVME_SC_INVALID_FIELD,
  },
  {
    name: "IDENTIFY of no namespace",
    opcode: N.NVME_ADMIN_IDENTIFY,
    prp1: 0x10000,
    dw10: N.NVME_ID_CNS_NS,
    status: N.NVME_SC_INVALID_NS,
  },
  { name: "no admin command", opcode: 0x7f, dw10: 0, status: N.NVME_SC_INVALID_OPCODE },
];

Deno.test("admin commands of the played controller", async (t) => {
  const stack = new Stack();
  const host = new NvmeHost(stack, GUEST_BAR);
  host.start();
  const { accesses } = stack.rig.observer;
  for (const { name, opcode, prp1 = 0, dw10, dw11 = 0, status } of ADMIN) {
    await t.step(`${name}: 0x${status.toString(16)}`, () => {
      assert.equal(host.admin(opcode, prp1, dw10, dw11).status, status);
    });
  }
  assert.equal(stack.rig.observer.accesses, accesses, "the disk heard of none");
});

Deno.test("a guest that takes nothing off its queue finds everything there later", () => {
  const stack = new Stack();
  const host = new NvmeHost(stack, GUEST_BAR);
  host.start(4);
  const found: number[] = [];
  for (let cid = 0; cid < 12; cid++) {
    host.submit(1, write, cid, { prp1: 0x10000 });
    host.ring(1);
    stack.run(40_000);
    if (cid % 6 === 5) stack.replace();
    if (cid % 3 === 2) found.push(...host.reap(1, 2).map((c) => c.cid));
  }
  for (let i = 0; i < 8; i++) {
    stack.run(5_000);
    found.push(...host.reap(1, 2).map((c) => c.cid));
  }
  assert.deepEqual(found, Array.from({ length: 12 }, (_, i) => i));
});

Deno.test("a guest that resets its controller is told nothing of what was before", () => {
  const stack = new Stack(500_000);
  const host = new NvmeHost(stack, GUEST_BAR);
  host.start();
  for (let cid = 1; cid < 4; cid++) host.submit(1, write, cid, { prp1: 0x10000 });
  host.ring(1);
  stack.run(20_000);
  assert.equal(stack.disk.inFlight, 3);
  stack.store32(GUEST_BAR + N.NVME_REG_CC, 0);
  assert.equal(stack.load32(GUEST_BAR + N.NVME_REG_CSTS), 0);
  host.start();
  stack.run(2_000_000);
  assert.equal(stack.disk.inFlight, 0);
  assert.deepEqual(host.reap(1), []);
});
