import { CONTEXT_DID_SHIFT_WORD2 } from "../../../uapi/vtd_regs.ts";
import type { DmarDomain } from "./domain.ts";
import type { IntelUnit } from "./unit.ts";

const AT = "zap_context_table_entries";
/** Words of a context entry as the posted code clears it: its two halves of legacy mode. */
const WORDS = 4;
/** Where a dmar_domain has the node by which it is in its unit's list; bytes of a pointer. */
const LIST_NODE = 0x78, POINTER = 8;

/** The posted code's own way of blocking a device is to be taken, in one respect or another. */
export function zaps({ kernel }: IntelUnit): boolean {
  return kernel.has("D17") || kernel.has("D18") || kernel.has("D30");
}

/**
 * Blocks one device before a kexec as patch 3 does it (seed lines 494-508): the context entry is
 * cleared, and what the unit remembers of it is flushed by a domain id and a source id, of which
 * the posted code has neither. It knows of legacy mode only.
 */
export function zap(unit: IntelUnit, sid: number): void {
  const { kernel } = unit;
  const place = unit.contexts.entryOf(sid);
  if (place === undefined) return;
  if (!kernel.has("D30")) unit.contexts.clearPasids(sid);
  const { memory } = kernel.machine;
  const { table, word } = place;
  const did = (memory.load(table, word + 2) >>> CONTEXT_DID_SHIFT_WORD2) & 0xffff;
  for (let i = 0; i < WORDS; i++) memory.store(table, word + i, 0);
  const old = kernel.has("D17") ? kernel.kasan.uninitialised("did_old", 0xffff, AT) : did;
  unit.invalidation.contextDevice(kernel.has("D18") ? randomSource(unit) : sid, old);
  unit.invalidation.iotlbDomain(old);
}

function randomSource({ kernel }: IntelUnit): number {
  const bus = kernel.kasan.uninitialised("bus", 0xff, AT);
  return (bus << 8) | kernel.kasan.uninitialised("devfn", 0xff, AT);
}

/**
 * A domain's first device on a unit puts it into the unit's list (seed line 477), from which nothing
 * ever takes it: neither when its last device leaves, nor when it is freed.
 */
export function listDomain(unit: IntelUnit, domain: DmarDomain): void {
  const { kernel, listed } = unit;
  const at = "domain_attach_iommu";
  if (listed.includes(domain)) {
    // With CONFIG_DEBUG_LIST the node is left where it is.
    kernel.dmesg.splat("WARNING: list_add double add", `RIP: ${at}`);
    return;
  }
  if (listed.length > 0) kernel.kasan.check(listed[0], LIST_NODE + POINTER, POINTER, "Write", at);
  listed.unshift(domain);
}

/** The walk over that list at shutdown. */
export function walkDomainList({ kernel, listed }: IntelUnit): void {
  for (const domain of listed) kernel.kasan.check(domain, LIST_NODE, POINTER, "Read", AT);
}
