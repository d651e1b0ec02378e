import assert from "node:assert/strict";
import { type Fdt, openFdt } from "../../../src/fdt/mod.ts";
import { BUILTIN } from "../../../src/scenario/builtin.ts";
import { loadScenario } from "../../../src/scenario/load.ts";
import { prepare, runScenario } from "../../../src/scenario/run.ts";
import {
  GUESTMEMFS_KHO,
  INTEL_IOMMU_KHO,
  IOMMUFD_KHO,
  KHO_COMPATIBLE,
  KHO_MEM,
  type KhoProperty,
  PCI_KHO,
} from "../../../src/uapi/kho_abi.ts";

/** The tree that rfc-v1 hands over in the tour: three persistent iommufds, four devices. */
function handedOver(): Fdt {
  const run = prepare(loadScenario(BUILTIN.get("tour") ?? "", "tour"), 1);
  let dt: Uint8Array | undefined;
  run.platform.onJump = (kernel) => dt = kernel.kexec.loaded?.dt;
  runScenario(run);
  assert.ok(dt !== undefined);
  return openFdt(dt);
}

const properties = (records: readonly Record<string, KhoProperty>[]) =>
  records.flatMap((r) => Object.values(r));

const KNOWN: Record<string, KhoProperty[]> = {
  "": [KHO_COMPATIBLE],
  iommufd: [
    KHO_COMPATIBLE,
    ...properties([IOMMUFD_KHO.ioas, IOMMUFD_KHO.area, IOMMUFD_KHO.hwpt, IOMMUFD_KHO.device]),
    ...properties([IOMMUFD_KHO.carried]),
  ],
  "intel-iommu": [
    KHO_COMPATIBLE,
    ...properties([INTEL_IOMMU_KHO.domain, INTEL_IOMMU_KHO.device, INTEL_IOMMU_KHO.unit]),
  ],
  pci: [KHO_COMPATIBLE, ...properties([PCI_KHO.device])],
  guestmemfs: [KHO_COMPATIBLE, KHO_MEM, GUESTMEMFS_KHO.mappings.numInodes],
};

Deno.test("the kernel writes what the table of the KHO formats says, all of it and no more", () => {
  const fdt = handedOver();
  const seen = new Map<string, Set<string>>();
  const walk = (node: number, family: string): void => {
    for (const { name, value } of fdt.props(node)) {
      const known = KNOWN[family].find((p) => p.name === name);
      assert.ok(known !== undefined, `${family}: ${name} is in no table`);
      if (known.meaning.endsWith(" list")) assert.equal(value.length % known.width, 0, name);
      else if (known.width > 0) assert.equal(value.length, known.width, name);
      seen.set(family, (seen.get(family) ?? new Set()).add(name));
    }
    for (const child of fdt.subnodes(node)) walk(child, family === "" ? fdt.name(child) : family);
  };
  walk(fdt.root, "");
  for (const [family, known] of Object.entries(KNOWN)) {
    for (const { name } of known) assert.ok(seen.get(family)?.has(name), `${family}: no ${name}`);
  }
});
