import assert from "node:assert/strict";
import { formatLogLine } from "../../../../src/kernel/dmesg.ts";
import { DMA_INTERRUPT } from "../../../../src/machine/interrupt_range.ts";
import { formatBdf } from "../../../../src/uapi/pci_regs.ts";
import { DMA_FSTS_PFO, DMAR_FSTS_REG, faultReasonText } from "../../../../src/uapi/vtd_regs.ts";
import { NIC_SID } from "../../rig.ts";
import { LEGACY } from "./legacy.ts";
import { SCALABLE } from "./scalable.ts";
import { type FaultCase, recordOf, Tables } from "./vtd.ts";

/**
 * Each fault as a kernel meets it: tables that a hand has been at, a device's access, the 128 bits of
 * the fault recording register, and the line in the log.
 */

const PROFILES: [string, FaultCase[]][] = [["intel-legacy", LEGACY], ["intel-scalable", SCALABLE]];

/** Reasons that the log has a text for, and why no request here ever ends in them. */
const NEVER: Record<number, string> = {
  0x00: "no fault: software's own",
  0x0d: "only translation requests, see tests/machine/vtd/page_requests_test.ts",
  0x32: "only page requests, see there",
  0x44: "only translation requests, see there",
  0x47: "only page requests, see there",
  0x5c: "only requests to execute, which no device makes",
  0x5d: "only requests with supervisor privilege, which no device makes",
  0x7c: "walks snoop (ECAP.C is 1): accessed and dirty bits can always be set",
  0x82: "only requests to execute, which no device makes",
  0x90: "walks snoop (ECAP.C is 1): accessed and dirty bits can always be set",
};

/** What the log says of a fault. */
function lineOf({ reason, write, iova, pasid, sid = NIC_SID, text }: FaultCase): string {
  const tag = pasid === undefined ? "NO_PASID" : `PASID 0x${pasid.toString(16)}`;
  const page = (BigInt(iova) & ~0xfffn).toString(16);
  return `DMAR: [DMA ${write ? "Write" : "Read"} ${tag}] Request device ` +
    `[${formatBdf(sid >> 8, sid & 0xff)}] fault addr 0x${page} ` +
    `[fault reason 0x${reason.toString(16).padStart(2, "0")}] ${text}`;
}

for (const [profile, cases] of PROFILES) {
  for (const c of cases) {
    const reason = c.reason.toString(16).padStart(2, "0");
    Deno.test(`${profile}: fault ${reason}: ${c.name}: 128 bits, and a line in the log`, () => {
      const at = new Tables(profile, c.vtd);
      c.prepare(at);
      at.forget();
      assert.equal(at.access(c.write, c.iova, c.pasid, c.sid), -c.reason);
      assert.deepEqual(at.record(), recordOf(c));
      at.rig.run(1);
      assert.deepEqual(at.lines, [lineOf(c)]);
      // The kernel has cleared F: the next fault finds room.
      assert.equal(BigInt("0x" + at.record()[0]) >> 63n, 0n);
    });
  }
}

Deno.test("no reason is forgotten: each that has a text is reached, or it is said why not", () => {
  const reached = new Set([...LEGACY, ...SCALABLE].map((c) => c.reason));
  for (let reason = 0; reason < 256; reason++) {
    const known = faultReasonText(reason) !== "Unknown";
    const tested = reached.has(reason), never = reason in NEVER;
    assert.equal(tested || never, known, `reason 0x${reason.toString(16)}`);
    assert.ok(!(tested && never), `0x${reason.toString(16)} is reached after all`);
  }
});

Deno.test("records and lines are those of FACTS 10.4 and 3.5, to the letter", () => {
  const write = { reason: 5, write: true, iova: 0xdeadb123, sid: 0x300 };
  assert.deepEqual(recordOf(write), ["8000000500000300", "00000000deadb000"]);
  assert.equal(recordOf({ ...write, reason: 6, write: false })[0], "c000000600000300");
  assert.equal(recordOf({ ...write, pasid: 0xabcde })[0], "8abcde0580000300");
  const text = "PTE Write access is not set";
  assert.equal(
    lineOf({ ...write, text, name: "", prepare: () => {} }),
    "DMAR: [DMA Write NO_PASID] Request device [03:00.0] fault addr 0xdeadb000 " +
      "[fault reason 0x05] PTE Write access is not set",
  );
  const at = new Tables("intel-scalable");
  at.access(false, 0x1000, 0x7fff);
  at.rig.run(1);
  assert.equal(
    at.rig.log.at(-1),
    "DMAR: [DMA Read PASID 0x7fff] Request device [3a:00.0] fault addr 0x1000 " +
      "[fault reason 0x51] SM: Present bit in Directory Entry is clear",
  );
  const line = at.rig.lines.at(-1);
  assert.ok(line);
  assert.match(formatLogLine(line), /^\[ +\d+\.\d{6}\] DMAR: /);
});

for (const [profile, reason] of [["intel-legacy", 0x06], ["intel-scalable", 0x79]] as const) {
  Deno.test(`${profile}: more faults than registers: overflow is noted, and cleared by the kernel`, () => {
    const at = new Tables(profile);
    const count = at.unit.cap.faultRecords;
    for (let i = 0; i < count + 3; i++) at.access(false, 0x1000 * (i + 1));
    assert.equal(at.unit.read(DMAR_FSTS_REG) & DMA_FSTS_PFO, DMA_FSTS_PFO);
    for (let i = 0; i < count; i++) {
      const iova = 0x1000 * (i + 1);
      assert.deepEqual(at.record(i), recordOf({ reason, write: false, iova }));
    }
    at.rig.run(1);
    assert.equal(at.unit.read(DMAR_FSTS_REG), 0);
    assert.equal(at.lines.length, count, "those that overflowed are lost");
    assert.equal(at.rig.unit.faults.lost, 3);
    at.access(true, 0x99000);
    at.rig.run(1);
    assert.match(at.lines.at(-1) ?? "", /DMA Write .* fault addr 0x99000 /);
  });
}

/** Entries with an FPD bit on the way of a request that cannot be served. */
const QUIET: [name: string, profile: string, prepare: (at: Tables) => void, pasid?: number][] = [
  ["context entry", "intel-legacy", (at) => at.change(...at.context, (v) => v | 2n)],
  ["context entry that is not present", "intel-legacy", (at) => at.store(...at.context, 2n)],
  ["context entry", "intel-scalable", (at) => at.change(...at.context, (v) => v | 2n)],
  ["directory entry", "intel-scalable", (at) => at.change(...at.directory(0), (v) => v | 2n)],
  ["PASID entry", "intel-scalable", (at) => at.change(...at.entry(0), (v) => v | 2n)],
  ["PASID entry that is not present", "intel-scalable", (at) => at.store(...at.entry(9), 2n), 9],
];

for (const [name, profile, prepare, pasid] of QUIET) {
  Deno.test(`${profile}: FPD in the ${name}: the access is refused without a record or a line`, () => {
    const at = new Tables(profile);
    prepare(at);
    at.forget();
    assert.ok(at.access(true, 0xdeadb123, pasid) < 0);
    assert.deepEqual(at.record(), ["0".repeat(16), "0".repeat(16)]);
    at.rig.run(1);
    assert.deepEqual(at.lines, []);
    assert.equal(at.unit.read(DMAR_FSTS_REG), 0);
    assert.equal(at.rig.unit.faults.suppressed, 1);
  });
}

Deno.test("FPD does not help where no context entry was read", () => {
  const at = new Tables("intel-legacy");
  at.change(...at.context, (v) => v | 2n);
  at.store(...at.root, 0n);
  at.forget().access(true, 0x1000);
  at.rig.run(1);
  assert.equal(at.lines.length, 1);
});

for (const [profile] of PROFILES) {
  Deno.test(`${profile}: a write into the MSI window is an interrupt, whatever is mapped there`, () => {
    const at = new Tables(profile);
    assert.equal(at.domain.map(0xfee00, 0x500, 256, 3), 0);
    for (const iova of [0xfee00000, 0xfeefffff]) assert.equal(at.access(true, iova), DMA_INTERRUPT);
    assert.deepEqual(at.record(), ["0".repeat(16), "0".repeat(16)]);
    for (const iova of [0xfedfffff, 0xfef00000]) assert.ok(at.access(true, iova) < 0);
    at.rig.run(1);
    assert.equal(at.lines.length, 2, "the pages around the window are ordinary ones");
    // A blocked device's interrupts come through as well: interrupt remapping is another matter.
    at.rig.dev().group?.detach();
    assert.equal(at.access(true, 0xfee00000), DMA_INTERRUPT);
  });
}

Deno.test("with a PASID the MSI window is no exception: its addresses are translated", () => {
  const at = new Tables("intel-scalable");
  const domain = at.rig.domain();
  assert.equal(domain.map(0xfee00, 0x500, 1, 3), 0);
  assert.equal(at.rig.dev().group?.attachPasid(5, domain), 0);
  assert.equal(at.access(true, 0xfee00123, 5), 0x500);
  assert.equal(at.access(false, 0xfee00123, 5), 0x500);
});
