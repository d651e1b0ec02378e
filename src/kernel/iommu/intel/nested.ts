import { PAGE_SIZE } from "../../../base/units.ts";
import { EINVAL, ENOSPC, EOPNOTSUPP } from "../../../uapi/errno.ts";
import { iommu_hwpt_vtd_s1 } from "../../../uapi/iommufd.ts";
import { NestedDomain } from "../domain.ts";
import type { Target } from "./contexts.ts";
import type { DmarDomain } from "./domain.ts";

/**
 * First-level tables of a guest's own over the second-level ones of its parent, under a DID of its
 * own.
 */
export class IntelNestedDomain extends NestedDomain {
  constructor(
    readonly parent: DmarDomain,
    readonly top: number,
    readonly levels: number,
    readonly did: number,
  ) {
    super();
    parent.nested.add(this);
  }

  /** What an entry that leads here says. */
  get target(): Target {
    const { parent, top, levels, did } = this;
    return { ...parent.target, did, first: { top, levels } };
  }

  free(): void {
    const { unit, nested } = this.parent;
    unit.invalidation.iotlbDomain(this.did);
    nested.delete(this);
    unit.freeDid(this.did);
  }
}

/** Bits of an address that tables of four levels translate. */
const FOUR_LEVELS = 48;

/**
 * EOPNOTSUPP where the unit has no NEST, for flags, or a parent that notes what is written; EINVAL
 * for data that is too short, tables that are not page-aligned or not of four levels; ENOSPC.
 */
export function allocNested(parent: DmarDomain, data: Uint8Array): IntelNestedDomain | number {
  const { unit } = parent;
  if (!unit.scalable || !unit.features.nested || parent.dirty !== undefined) return -EOPNOTSUPP;
  if (data.length < iommu_hwpt_vtd_s1.size) return -EINVAL;
  const { flags, pgtbl_addr, addr_width, reserved } = iommu_hwpt_vtd_s1.decode(data);
  if (flags !== 0n || reserved !== 0) return -EOPNOTSUPP;
  const top = Number(pgtbl_addr) / PAGE_SIZE;
  if (addr_width !== FOUR_LEVELS || !Number.isInteger(top)) return -EINVAL;
  const did = unit.allocDid();
  return did < 0 ? -ENOSPC : new IntelNestedDomain(parent, top, 4, did);
}
