import assert from "node:assert/strict";
import { type KernelRig, NIC } from "../rig.ts";

/** Why the unit refuses an access, as `translate` answers it. */
export const ROOT_NOT_PRESENT = -1, CONTEXT_NOT_PRESENT = -2, WRITE_DENIED = -5, READ_DENIED = -6;
export const never = () => false;

/** The group of a device, claimed. */
export function claimed(rig: KernelRig, name = NIC) {
  const { group } = rig.dev(name);
  assert.ok(group !== undefined);
  assert.equal(group.claim("me", never), 0);
  return group;
}

/** A domain that maps page 16 on to `pfn`. */
export function mapping(rig: KernelRig, pfn: number, name = NIC) {
  const domain = rig.domain(0, name);
  assert.equal(domain.map(16, pfn, 4, 3), 0);
  return domain;
}

/** Whatever hardware has cached for a page must be what its tables say now (FACTS 10.3, I12). */
export function assertNothingStale(rig: KernelRig): void {
  const { memory } = rig.machine;
  const roots = new Map<number, { root: number; levels: number }>();
  for (const dev of rig.kernel.pci.devices) {
    const table = rig.contextTableOf(dev.bus);
    if (table < 0 || (memory.load(table, dev.devfn * 4) & 1) === 0) continue;
    const did = (memory.load(table, dev.devfn * 4 + 2) >>> 8) & 0xffff;
    const levels = (memory.load(table, dev.devfn * 4 + 2) & 7) + 2;
    roots.set(did, { root: memory.load(table, dev.devfn * 4) >>> 12, levels });
  }
  for (const entry of rig.unit.iotlb.entries()) {
    const context = roots.get(entry.did);
    assert.ok(context !== undefined, `IOTLB entry of DID ${entry.did}, which nobody has`);
    let table = context.root;
    for (let level = context.levels; level > 1; level--) {
      table = memory.load(table, (Math.floor(entry.page / 512 ** (level - 1)) & 511) * 2) >>> 12;
    }
    assert.equal(memory.load(table, (entry.page & 511) * 2) >>> 12, entry.pfn);
  }
  for (const entry of rig.unit.contextCache.entries()) {
    assert.ok(roots.has(entry.did), `cached context of DID ${entry.did}, which nobody has`);
  }
}
