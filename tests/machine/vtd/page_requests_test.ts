import assert from "node:assert/strict";
import { ATS_NO_ACCESS, DMA_PAGE_REFUSED } from "../../../src/machine/ats.ts";
import { DMA_MASTER_ABORT, type DmaObserver } from "../../../src/machine/dma_port.ts";
import { AtsPort } from "../../../src/machine/pci/ats_port.ts";
import type { VtdCapability } from "../../../src/machine/vtd/capability.ts";
import * as pr from "../../../src/uapi/vtd_page_requests.ts";
import { DMA_GCMD_TE } from "../../../src/uapi/vtd_regs.ts";
import { RW, SID } from "./bench.ts";
import { desc, ScalableBench } from "./scalable_bench.ts";

/** Of the context entry. */
const DTE = 4n, PRE = 16n;
const PAGE = 0x7000n, FRAME = 0x3000;

/** What the port's observer heard. */
class Heard implements DmaObserver {
  readonly lines: string[] = [];
  readonly done = (_fn: number, write: boolean, _hi: number, lo: number, pfn: number) =>
    void this.lines.push(`${write ? "write" : "read"} ${lo.toString(16)} -> ${pfn.toString(16)}`);
  readonly failed = (_fn: number, _write: boolean, _hi: number, _lo: number, code: number) =>
    void this.lines.push(`failed ${code}`);
  readonly work = () => {};
  readonly starved = () => {};
  readonly asked = () => void this.lines.push("asked");
  readonly answered = () => void this.lines.push("answered");
  readonly unasked = () => void this.lines.push("unasked");
}

/** A unit with a device that has ATS and PRI on, tables that are empty, and a request queue. */
class PageBench extends ScalableBench {
  readonly heard = new Heard();
  readonly port: AtsPort;
  readonly requests = this.frame();
  requestInterrupts = 0;
  readonly top: number;

  constructor(flags = DTE | PRE, capability: Partial<VtdCapability> = {}) {
    super(capability);
    const { memory, queue, hash, heard, unit } = this;
    this.port = new AtsPort(0, SID, memory, queue, hash, heard);
    this.port.busMaster = this.port.ats = this.port.pri = true;
    this.port.allocation = 4;
    this.port.agent = unit.deviceTlbs;
    unit.deviceTlbs?.endpoints.set(SID, this.port);
    unit.onPageRequest = () => this.requestInterrupts++;
    this.top = this.pasid(this.device(SID, flags), 0);
    this.enable();
    this.startQueue();
    unit.write32(pr.DMAR_PQA_REG, this.requests << 12);
    unit.write32(pr.DMAR_PQA_REG + 4, this.requests >>> 20);
    unit.write32(pr.DMAR_PECTL_REG, 0);
  }

  access(iova: bigint, write = true): number {
    return this.port.access(Number(iova >> 32n), Number(iova & 0xffffffffn), 64, write);
  }

  /** Asks for the page the last access missed; the answer goes into the list. */
  ask(answers: boolean[] = []): boolean {
    const { missing } = this.port;
    assert.ok(missing);
    return this.port.ask([missing], (granted) => void answers.push(granted));
  }

  /** A page group response. */
  respond(group: number, code: number, sid = SID): void {
    this.submit([
      9n | BigInt(code) << 12n | BigInt(sid) << 16n,
      BigInt(group) << 3n | 4n,
    ]);
  }

  get offsets(): [head: number, tail: number] {
    return [this.unit.read32(pr.DMAR_PQH_REG), this.unit.read32(pr.DMAR_PQT_REG)];
  }

  get status(): number {
    return this.unit.read32(pr.DMAR_PRS_REG);
  }
}

Deno.test("a page that is not there is no fault: the device asks, waits, and goes on", () => {
  const b = new PageBench();
  assert.equal(b.access(PAGE), ATS_NO_ACCESS);
  assert.equal(b.access(PAGE, false), ATS_NO_ACCESS);
  assert.deepEqual(b.heard.lines, [], "nothing has happened yet");
  assert.equal([...b.unit.faults.pending()].length, 0);
  assert.equal(b.access(PAGE), ATS_NO_ACCESS);
  const answers: boolean[] = [];
  assert.ok(b.ask(answers));
  assert.deepEqual(b.offsets, [0, 32]);
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => b.load(b.requests, i)),
    [BigInt(SID) << 16n | 1n, 2n | 4n | PAGE, 0n, 0n],
    "type 1, no PASID; write, last in group 0",
  );
  assert.deepEqual([b.status, b.requestInterrupts], [pr.DMA_PRS_PPR, 1]);
  b.map(b.top, PAGE, BigInt(FRAME) << 12n | RW);
  b.respond(0, pr.QI_RESP_SUCCESS);
  assert.deepEqual(answers, [], "the answer takes its time");
  b.queue.runUntil(1000);
  assert.deepEqual(answers, [true]);
  assert.equal(b.access(PAGE), FRAME);
  assert.deepEqual(b.heard.lines, ["asked", "answered", "write 7000 -> 3000"]);
});

Deno.test("a read-only page is asked for when it is to be written", () => {
  const b = new PageBench();
  b.map(b.top, PAGE, BigInt(FRAME) << 12n | 1n);
  assert.equal(b.access(PAGE, false), FRAME);
  assert.equal(b.access(PAGE, true), ATS_NO_ACCESS);
});

Deno.test("several pages are one group, the last of them marked; PASIDs are told", () => {
  const b = new PageBench();
  b.port.pasid = 42;
  const pages = [{ hi: 0, lo: 0x1000, write: true }, { hi: 5, lo: 0x2000, write: false }];
  const answers: boolean[] = [];
  assert.ok(b.port.ask(pages, (granted) => void answers.push(granted)));
  assert.ok(b.port.ask([pages[0]], () => {}));
  const words = (i: number) => [b.load(b.requests, i * 4), b.load(b.requests, i * 4 + 1)];
  const first = BigInt(SID) << 16n | 1n | 1n << 8n | 42n << 32n;
  assert.deepEqual(words(0), [first, 0x1000n | 2n]);
  assert.deepEqual(words(1), [first, 5n << 32n | 0x2000n | 4n | 1n]);
  assert.deepEqual(words(2), [first, 0x1000n | 1n << 3n | 4n | 2n], "the next group");
  assert.equal(b.requestInterrupts, 1, "one interrupt until PPR is cleared");
  assert.ok(!b.port.ask([pages[0], pages[1]], () => {}), "four requests may be open");
  b.submit([9n | 1n << 4n | BigInt(SID) << 16n | 42n << 32n, 0n]);
  b.queue.runUntil(1000);
  assert.deepEqual(answers, [true]);
});

Deno.test("a response that says no costs the DMA; FAILURE stops the requests as well", () => {
  for (const [code, still] of [[pr.QI_RESP_INVALID, true], [pr.QI_RESP_FAILURE, false]] as const) {
    const b = new PageBench();
    b.access(PAGE);
    const answers: boolean[] = [];
    b.ask(answers);
    b.respond(0, code);
    b.queue.runUntil(1000);
    assert.deepEqual(answers, [false]);
    assert.deepEqual(b.heard.lines, ["asked", "answered", `failed ${DMA_PAGE_REFUSED}`]);
    assert.equal(b.port.pri, still);
  }
});

Deno.test("a response to nothing is noticed by the device it names, and by no other", () => {
  const b = new PageBench();
  b.respond(7, pr.QI_RESP_SUCCESS, SID + 8);
  b.respond(7, pr.QI_RESP_SUCCESS);
  assert.deepEqual(b.heard.lines, ["unasked"]);
});

Deno.test("a full queue sets PRO, loses requests, and lets their devices ask again", () => {
  const b = new PageBench();
  b.port.allocation = 1000;
  const answers: boolean[] = [];
  const ask = () => {
    b.access(PAGE);
    b.ask(answers);
  };
  for (let i = 0; i < 127; i++) ask();
  assert.equal(b.status, pr.DMA_PRS_PPR);
  assert.deepEqual(b.offsets, [0, 127 * 32], "one place stays empty");
  ask();
  assert.equal(b.status, pr.DMA_PRS_PPR | pr.DMA_PRS_PRO);
  b.queue.runUntil(1000);
  assert.deepEqual(answers, [true], "the unit answers what it cannot keep");
  b.unit.write32(pr.DMAR_PQH_REG, 64);
  ask();
  assert.deepEqual(b.offsets, [64, 127 * 32], "nothing is taken while PRO is set");
  b.unit.write32(pr.DMAR_PRS_REG, pr.DMA_PRS_PPR | pr.DMA_PRS_PRO);
  assert.equal(b.status, 0);
  ask();
  assert.deepEqual(b.offsets, [64, 0], "the tail goes round");
  assert.equal(b.requestInterrupts, 2);
});

Deno.test("who is told to ask again, and again, does so ever more seldom", () => {
  const b = new PageBench();
  b.unit.write32(pr.DMAR_PQH_REG, 32);
  const times: number[] = [];
  const again = () => {
    times.push(b.queue.now);
    b.access(PAGE);
    const { missing } = b.port;
    if (missing !== undefined) b.port.ask([missing], again);
  };
  again();
  b.queue.runUntil(10_000_000);
  const waits = times.slice(1).map((t, i) => t - times[i]);
  assert.deepEqual(waits.slice(0, 4), [500, 1000, 2000, 4000]);
  assert.equal(Math.max(...waits), 1_024_000);
  b.map(b.top, PAGE, BigInt(FRAME) << 12n | RW);
  b.queue.runUntil(12_000_000);
  assert.equal(b.port.missing, undefined);
  b.access(PAGE + 0x1000n);
  const start = b.queue.now;
  b.port.ask([b.port.missing!], () => times.push(b.queue.now));
  b.queue.runUntil(start + 1000);
  assert.equal(times.at(-1), start + 500, "once something helped it is quick again");
});

Deno.test("a masked request interrupt is held back, and gone once PPR is cleared", () => {
  const b = new PageBench();
  b.unit.write32(pr.DMAR_PECTL_REG, 1 << 31);
  b.access(PAGE);
  b.ask();
  assert.equal(b.requestInterrupts, 0);
  assert.equal(b.unit.read32(pr.DMAR_PECTL_REG) >>> 0, 0xc0000000);
  b.unit.write32(pr.DMAR_PRS_REG, pr.DMA_PRS_PPR);
  b.unit.write32(pr.DMAR_PECTL_REG, 0);
  assert.equal(b.requestInterrupts, 0);
});

Deno.test("what the context entry does not allow is refused", async (t) => {
  await t.step("no DTE: no translations, and no translated requests", () => {
    const b = new PageBench(PRE);
    assert.equal(b.access(PAGE), -0x44);
    assert.equal([...b.unit.faults.pending()][0].reason, 0x44);
  });
  await t.step("no PRE: no page requests", () => {
    const b = new PageBench(DTE);
    b.access(PAGE);
    const answers: boolean[] = [];
    b.ask(answers);
    b.queue.runUntil(1000);
    assert.deepEqual([answers, b.offsets], [[false], [0, 0]]);
    assert.equal([...b.unit.faults.pending()][0].reason, 0x47);
  });
  await t.step("no context: a fault like any other", () => {
    const b = new PageBench();
    b.storeScalable(SID, 0n, 0n, 0n, 0n);
    assert.equal(b.access(PAGE), -0x41);
  });
  await t.step("tables of legacy mode: neither", () => {
    const b = new PageBench();
    b.setRoot(b.root, 0);
    assert.equal(b.access(PAGE), -0x0d);
    const answers: boolean[] = [];
    b.port.ask([{ hi: 0, lo: 0x7000, write: true }], (granted) => void answers.push(granted));
    b.queue.runUntil(1000);
    assert.deepEqual(answers, [false]);
    assert.deepEqual([...b.unit.faults.pending()].map((f) => f.reason), [0x0d, 0x32]);
  });
  await t.step("translation off: nothing, and nothing is recorded", () => {
    const b = new PageBench();
    b.command(0, DMA_GCMD_TE);
    assert.equal(b.access(PAGE), DMA_MASTER_ABORT);
    assert.equal([...b.unit.faults.pending()].length, 0);
  });
  await t.step("a unit without page requests has no registers for them", () => {
    const b = new PageBench(0n, { pageRequests: false });
    assert.equal(b.unit.deviceTlbs, undefined);
    assert.equal(b.unit.read32(pr.DMAR_PQA_REG), 0);
  });
});

Deno.test("what a device remembers is used until an invalidation reaches the device", async (t) => {
  /** Descriptors, and whether the page is forgotten by them. */
  const cases: [string, bigint[][], boolean][] = [
    ["IOTLB and PASID cache", [desc.pasidCache(3), desc.iotlb(1)], false],
    ["its page", [[3n | BigInt(SID) << 32n, PAGE]], true],
    ["another page", [[3n | BigInt(SID) << 32n, PAGE + 0x1000n]], false],
    ["another device", [[3n | BigInt(SID + 8) << 32n, PAGE]], false],
    ["a PASID", [[8n | BigInt(SID) << 16n | 42n << 32n, PAGE]], false],
    ["eight pages around it", [[3n | BigInt(SID) << 32n, 0x3000n | 1n]], true],
    ["eight pages further up", [[3n | BigInt(SID) << 32n, 0xb000n | 1n]], false],
    ["everything", [[3n | BigInt(SID) << 32n, 0x7ffffffffffff001n]], true],
  ];
  for (const [name, descriptors, forgotten] of cases) {
    await t.step(name, () => {
      const b = new PageBench();
      b.map(b.top, PAGE, BigInt(FRAME) << 12n | RW);
      b.access(PAGE);
      b.map(b.top, PAGE, 0n);
      b.submit(desc.iotlb(1));
      assert.equal(b.access(PAGE), FRAME, "the tables do not have it any more");
      b.submit(...descriptors);
      assert.equal(b.access(PAGE), forgotten ? ATS_NO_ACCESS : FRAME);
    });
  }
});

Deno.test("without ATS a device's requests are translated as ever", () => {
  const b = new PageBench();
  b.port.ats = false;
  b.port.remapper = b.unit;
  assert.equal(b.access(PAGE), -0x79);
  b.port.ats = true;
  b.port.pri = false;
  assert.equal(b.access(PAGE), ATS_NO_ACCESS);
  assert.deepEqual(b.heard.lines, ["failed -121", `failed ${ATS_NO_ACCESS}`]);
});
