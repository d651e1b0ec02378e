import assert from "node:assert/strict";
import { EmulatorBug } from "../../../src/base/assert.ts";
import type { IommuGroup } from "../../../src/kernel/iommu/core.ts";
import * as E from "../../../src/uapi/errno.ts";
import { KernelRig, NIC, NIC_SID, NVME } from "../rig.ts";

const never = () => false;
const READ_DENIED = -6, CONTEXT_NOT_PRESENT = -2;

function start(): { rig: KernelRig; group: IommuGroup } {
  const rig = new KernelRig();
  return { rig, group: rig.dev().group as IommuGroup };
}

/** A rig whose NIC was handed over by the kernel before. */
function heldOver(): { rig: KernelRig; group: IommuGroup; first: number } {
  const rig = new KernelRig();
  const { first } = rig.persistentDevice(NIC);
  rig.liveUpdate();
  return { rig, group: rig.dev().group as IommuGroup, first };
}

Deno.test("every device is a group of its own, on a default domain from the start", () => {
  const { rig } = start();
  const groups = rig.kernel.iommu.groups;
  assert.deepEqual(groups.map((g) => [g.id, g.dev.name]), [[0, NIC], [1, NVME]]);
  for (const group of groups) {
    assert.equal(group.domain, group.defaultDomain);
    assert.deepEqual([group.owned, group.held], [false, false]);
  }
});

Deno.test("claiming blocks the device, releasing brings the default domain back", () => {
  // FACTS 1.5.
  const { rig, group } = start();
  const before = group.domain;
  assert.equal(group.claim("a", never), 0);
  assert.deepEqual([group.owned, group.domain.type], [true, "blocking"]);
  assert.equal(rig.translate(NIC_SID, 16), CONTEXT_NOT_PRESENT);
  group.release();
  assert.deepEqual([group.owned, group.domain], [false, before]);
  assert.equal(rig.translate(NIC_SID, 16), READ_DENIED);
});

Deno.test("the owner may claim again; somebody else gets EPERM until the last release", () => {
  // FACTS 1.5: group owned by another owner → EPERM.
  const { rig, group } = start();
  assert.equal(group.claim("a", never), 0);
  assert.equal(group.attach(rig.domain()), 0);
  const attached = group.domain;
  assert.equal(group.claim("a", never), 0);
  assert.equal(group.domain, attached, "a second claim of the owner does not block");
  assert.equal(group.claim("b", never), -E.EPERM);
  group.release();
  assert.equal(group.claim("b", never), -E.EPERM);
  assert.equal(group.domain, attached);
  group.release();
  assert.equal(group.claim("b", never), 0);
});

Deno.test("a group on a domain that is not its default cannot be claimed: EBUSY", () => {
  // FACTS 1.5: someone attached.
  const { rig, group } = start();
  assert.equal(group.attach(rig.domain()), 0);
  assert.equal(group.claim("a", never), -E.EBUSY);
  assert.equal(group.owned, false);
});

Deno.test("a release nobody claimed is a bug of the emulator", () => {
  assert.throws(() => start().group.release(), EmulatorBug);
});

Deno.test("attaching the domain a group has already does not touch hardware", () => {
  const { rig, group } = start();
  group.claim("a", never);
  const domain = rig.domain();
  group.attach(domain);
  const { commands } = countWrites(rig);
  assert.equal(group.attach(domain), 0);
  assert.equal(commands(), 0);
  group.detach();
  assert.ok(commands() > 0);
});

function countWrites(rig: KernelRig): { commands(): number } {
  let writes = 0;
  const { bus } = rig.machine, unit = rig.unit;
  bus.unmap(unit);
  bus.map(unit.regBase, unit.regSize, {
    read32: (offset) => unit.read32(offset),
    write32: (offset, value) => (writes++, unit.write32(offset, value)),
  });
  return { commands: () => writes };
}

Deno.test("a domain of another kind of device works; hardware has one table under one DID", () => {
  const { rig, group } = start();
  const other = rig.dev(NVME).group as IommuGroup;
  for (const g of [group, other]) assert.equal(g.claim("a", never), 0);
  const shared = rig.domain();
  shared.map(16, 0x500, 1, 3);
  assert.deepEqual([group.attach(shared), other.attach(shared)], [0, 0]);
  assert.deepEqual([0x3a00, 0x3b00].map((sid) => rig.translate(sid, 16)), [0x500, 0x500]);
  group.detach();
  assert.deepEqual([0x3a00, 0x3b00].map((sid) => rig.translate(sid, 16)), [-2, 0x500]);
});

Deno.test("a domain knows the devices that are on it, and no others", () => {
  const { rig, group } = start();
  const other = rig.dev(NVME).group as IommuGroup;
  for (const g of [group, other]) g.claim("a", never);
  const a = rig.domain(), b = rig.domain();
  group.attach(a);
  other.attach(a);
  assert.deepEqual(a.attachments.map((x) => x.sid), [0x3a00, 0x3b00]);
  group.attach(b);
  assert.deepEqual([a.attachments.map((x) => x.sid), b.attachments.map((x) => x.sid)], [[0x3b00], [
    0x3a00,
  ]]);
  group.detach();
  other.release();
  assert.deepEqual([a.attachments.length, b.attachments.length], [0, 0]);
});

Deno.test("a held group runs on its restored domain and is nobody's but its heir's", () => {
  // FACTS 10.6: iommufd bind by others → EPERM.
  const { rig, group, first } = heldOver();
  assert.deepEqual([group.held, group.owned, group.domain.persistentId], [true, true, 1]);
  const before = group.domain;
  const { commands } = countWrites(rig);
  assert.equal(group.claim("stranger", never), -E.EPERM);
  assert.deepEqual([group.held, group.domain], [true, before]);
  assert.equal(group.claim("heir", (d) => d.persistentOwner === 1), 0);
  assert.deepEqual([group.held, group.owned, group.domain], [false, true, before]);
  assert.equal(commands(), 0, "the device goes on, undisturbed");
  assert.equal(rig.translate(NIC_SID, 17), first + 1);
  assert.equal(group.claim("stranger", (d) => d.persistentOwner === 1), -E.EPERM);
  assert.equal(group.claim("heir", never), 0);
});

Deno.test("what was held is an ordinary group once its heir lets go", () => {
  const { rig, group } = heldOver();
  assert.equal(group.claim("heir", () => true), 0);
  group.release();
  assert.equal(group.owned, false);
  assert.equal(rig.translate(NIC_SID, 16), READ_DENIED);
  for (const owner of ["next", "and another"]) {
    assert.equal(group.claim(owner, never), 0, "it can be claimed again");
    assert.equal(rig.translate(NIC_SID, 16), CONTEXT_NOT_PRESENT);
    group.release();
    assert.equal(rig.translate(NIC_SID, 16), READ_DENIED);
  }
});

Deno.test("without memory for a default domain a released group is blocked, and can be claimed", () => {
  const { rig, group } = heldOver();
  assert.equal(group.claim("heir", () => true), 0);
  rig.chooser.arm("fault:alloc_page");
  group.release();
  assert.equal(group.domain.type, "blocking");
  assert.equal(rig.translate(NIC_SID, 16), CONTEXT_NOT_PRESENT);
  assert.equal(group.claim("next", never), 0);
});

Deno.test("only a device on a dumped domain is handed over, and only if the image has the dump", () => {
  const { rig, group } = start();
  const hands = () => rig.kernel.pci.devices.map((d) => rig.kernel.iommu.handsOver(d));
  const { domain } = rig.persistentDevice(NIC);
  rig.load();
  assert.deepEqual(hands(), [false, false]);
  rig.activate();
  assert.deepEqual(hands(), [false, false], "loaded before the dump was made");
  rig.load();
  assert.deepEqual(hands(), [true, false]);
  group.detach();
  assert.deepEqual(hands(), [false, false]);
  group.attach(domain);
  assert.deepEqual(hands(), [true, false]);
  rig.deactivate();
  assert.deepEqual(hands(), [false, false]);
});
