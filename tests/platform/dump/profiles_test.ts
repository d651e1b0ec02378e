import assert from "node:assert/strict";
import { stateOf } from "../../../src/platform/dump/state.ts";
import { fingerprint } from "../../../src/platform/fingerprint.ts";
import { KernelRig, NIC_SID } from "../../kernel/rig.ts";

/** Where hardware says the table is that everything begins with. */
function rootInHardware(rig: KernelRig): number {
  const { units, smmus, amdvis } = rig.machine;
  if (units.length > 0) return units[0].rootPfn;
  if (amdvis.length > 0) return amdvis[0].deviceTablePfn;
  return (smmus[0].streams.low >>> 12) + (smmus[0].streams.high << 20);
}

for (const profile of ["intel-legacy", "arm-smmuv3-bbml0", "amd"]) {
  Deno.test(`${profile}: the state names each unit and the table it begins with`, () => {
    const rig = new KernelRig({ profile });
    const { units, domains } = stateOf(rig.kernel);
    const { drhds, smmus, ivhds } = rig.machine.firmware;
    const [{ regBase }] = [...drhds, ...smmus, ...ivhds];
    assert.deepEqual(units, [{
      reg_base: `0x${regBase.toString(16)}`,
      root: `0x${(rootInHardware(rig) * 4096).toString(16)}`,
    }]);
    assert.deepEqual(domains, []);
  });

  Deno.test(`${profile}: the fingerprint tells one domain from another, and knows them again`, () => {
    const rig = new KernelRig({ profile });
    const group = rig.dev().group!;
    const print = () => fingerprint(rig.machine, rig.kernel);
    const before = print();
    assert.match(before, new RegExp(`^context ${NIC_SID} did \\d+ root \\d+$`, "m"));
    group.claim("owner", () => false);
    const blocked = print();
    assert.notEqual(blocked, before);
    const domain = rig.kernel.iommuDriver?.allocPaging(rig.dev(), {});
    assert.ok(typeof domain === "object");
    group.attach(domain);
    domain.map(16, 0x900, 4, 3);
    assert.notEqual(print(), blocked);
    domain.unmap(0, 512 * 512 * 512);
    group.detach();
    domain.free();
    assert.equal(print(), blocked);
    group.release();
    assert.equal(print(), before);
  });
}
