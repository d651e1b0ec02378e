import assert from "node:assert/strict";
import { formatSbdf } from "../../../../src/uapi/pci_regs.ts";
import * as Q from "../../../../src/uapi/smmuv3_queues.ts";
import { code, NT } from "../../../machine/smmuv3/bench.ts";
import { NIC_SID } from "../../rig.ts";
import { cachedBlock, cutInPlace, type EventCase, EVENTS, Streams } from "./smmu.ts";

/**
 * Each event as a kernel meets it: tables that a hand has been at, a device's access, the 256 bits of
 * the record in the event queue, and what the log says.
 */

const hex = (n: bigint) => `0x${n.toString(16)}`;

/** The record, four qwords. */
function recordOf(at: Streams, c: EventCase): bigint[] {
  const { event, ssid, sid = NIC_SID } = c;
  const tag = ssid === undefined ? 0n : 1n << 11n | BigInt(ssid) << 12n;
  return [BigInt(event) | tag | BigInt(sid) << 32n, ...c.record(at)];
}

/** What the log says of it. */
function linesOf(at: Streams, c: EventCase): string[] {
  const { event, ssid = 0, sid = NIC_SID, text } = c;
  const record = recordOf(at, c);
  const [, , address, second] = record;
  const name = Q.smmuFaultText(code(event))?.split(":")[0];
  const lines = [
    `event 0x${event.toString(16).padStart(2, "0")} received:`,
    ...record.map((q) => ` 0x${q.toString(16).padStart(16, "0")}`),
    `event: ${name} client: ${formatSbdf(0, sid >> 8, sid & 0xff)} sid: ${hex(BigInt(sid))} ` +
    `ssid: ${hex(BigInt(ssid))} iova: ${hex(address)} ipa: ${hex(second)}`,
  ];
  return text === undefined ? lines : [...lines, `event: ${text}`];
}

for (const c of EVENTS) {
  const number = c.event.toString(16).padStart(2, "0");
  Deno.test(`SMMUv3: event ${number}: ${c.name}: 256 bits, and lines in the log`, () => {
    const at = new Streams(c.profile);
    if (c.event !== Q.F_TLB_CONFLICT) {
      c.prepare(at);
      at.forget();
    } else c.prepare(at);
    assert.equal(at.access(c.write, c.iova, c.ssid, c.sid), code(c.event));
    assert.deepEqual(at.record(), recordOf(at, c));
    at.rig.run(1);
    assert.deepEqual(at.lines, linesOf(at, c));
    assert.deepEqual([...at.rig.machine.smmus[0].events.pending()], [], "consumed");
  });
}

Deno.test("SMMUv3: no event is forgotten: each that there is is reached", () => {
  const reached = new Set(EVENTS.map((c) => c.event));
  for (let event = 0; event < 0xf0; event++) {
    assert.equal(reached.has(event), Q.smmuFaultText(code(event)) !== "Unknown", `${event}`);
  }
});

Deno.test("SMMUv3: a blocked device is aborted without a record or a line", () => {
  const at = new Streams();
  at.leaf(3);
  assert.equal(at.access(true, 0x3000), 0x500);
  at.rig.dev().group?.detach();
  assert.equal(at.access(true, 0x3000), code(Q.SMMU_STE_ABORT));
  at.rig.run(1);
  assert.deepEqual(at.lines, []);
});

/** Levels of break-before-make, the nT bit over the change, and what an access then meets. */
const CHANGES: { profile: string; nT: boolean; want: number }[] = [
  { profile: "arm-smmuv3-bbml0", nT: false, want: code(Q.F_TLB_CONFLICT) },
  { profile: "arm-smmuv3-bbml0", nT: true, want: code(Q.F_TLB_CONFLICT) },
  { profile: "arm-smmuv3-bbml1", nT: false, want: code(Q.F_TLB_CONFLICT) },
  { profile: "arm-smmuv3-bbml1", nT: true, want: 0x801 },
  { profile: "arm-smmuv3-bbml2", nT: false, want: 0x801 },
];

for (const { profile, nT, want } of CHANGES) {
  const how = want < 0 ? "a conflict" : "no fault";
  Deno.test(`${profile}${nT ? ", nT" : ""}: a size that changes under way is ${how} (FACTS 4.3)`, () => {
    const at = new Streams(profile);
    cachedBlock(at, nT ? NT : 0n);
    cutInPlace(at);
    assert.equal(at.access(true, 0x201000), want);
    at.rig.run(1);
    assert.equal(at.lines.length > 0, want < 0);
    // Made invalid and flushed in between, the table is as good as any.
    at.smmu.commands.invalidatePages(at.domain.did, 512, 512);
    assert.equal(at.access(true, 0x201000), 0x801);
  });
}
