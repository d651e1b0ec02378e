import { assert } from "../../base/assert.ts";
import { encodeCap, encodeEcap } from "../../uapi/vtd_regs.ts";
import { encodeScalable, PASID_BITS } from "../../uapi/vtd_scalable.ts";

/** What one remapping unit can do. Read by software from CAP and ECAP. */
export interface VtdCapability {
  /** Domain ids the unit tells apart: 16, 64, 256 … 65536. */
  readonly domains: number;
  /** Bit n: tables of agaw n (n + 2 levels) are supported; bits 1..3. */
  readonly sagaw: number;
  /** Bits of the widest DMA address, 39..57. */
  readonly mgaw: number;
  /**
   * Host address width in bits, 36..43: address bits above it are reserved in every table entry.
   * {@link Memory} ends at 8 TiB, so 43 leaves nothing out.
   */
  readonly hostWidth: number;
  /** CM: the unit may remember that an entry was not present. */
  readonly cachingMode: boolean;
  /** SLLPS: bit 0 = 2 MiB pages, bit 1 = 1 GiB pages. */
  readonly superpages: number;
  /** Fault recording registers, 1..{@link MAX_FAULT_RECORDS}. */
  readonly faultRecords: number;
  /** PSI, and with it MAMV: the largest AM, 0..63. */
  readonly pageSelective: boolean;
  readonly maxAddressMask: number;
  /** ECAP.PT and ECAP.SC. */
  readonly passThrough: boolean;
  readonly snoopControl: boolean;
  /** ECAP.QI: the invalidation queue. */
  readonly queuedInvalidation: boolean;
  /** ECAP.SMTS: scalable-mode tables; needs the queue. The fields below mean nothing without. */
  readonly scalable: boolean;
  /** ECAP.PASID and PSS: bits of a PASID, 1..20; 0 = requests with a PASID are refused. */
  readonly pasidBits: number;
  /** ECAP.FLTS and SLTS: first-level and second-level tables under a PASID entry. */
  readonly firstLevel: boolean;
  readonly secondLevel: boolean;
  /** ECAP.SLADS: accessed and dirty bits in second-level tables, where SLADE asks for them. */
  readonly slads: boolean;
  /** ECAP.NEST: first-level tables over second-level ones; needs both. */
  readonly nested: boolean;
  /** ECAP.DT and PRS: devices may keep translations of their own, and ask for pages. */
  readonly pageRequests: boolean;
  /** CAP.FL5LP and FL1GP: five-level first-level tables, and first-level pages of 1 GiB. */
  readonly fiveLevelFirst: boolean;
  readonly firstLevel1GiB: boolean;
}

export const DEFAULT_CAPABILITY: VtdCapability = {
  domains: 65536,
  sagaw: 0b0110,
  mgaw: 48,
  hostWidth: 43,
  cachingMode: false,
  superpages: 0b11,
  faultRecords: 8,
  pageSelective: true,
  maxAddressMask: 18,
  passThrough: true,
  snoopControl: true,
  queuedInvalidation: false,
  scalable: false,
  pasidBits: 0,
  firstLevel: false,
  secondLevel: false,
  slads: false,
  nested: false,
  pageRequests: false,
  fiveLevelFirst: false,
  firstLevel1GiB: false,
};

/** All that the model knows: scalable mode, up to five levels. */
export const SCALABLE_CAPABILITY: VtdCapability = {
  ...DEFAULT_CAPABILITY,
  sagaw: 0b1110,
  mgaw: 57,
  queuedInvalidation: true,
  scalable: true,
  pasidBits: PASID_BITS,
  firstLevel: true,
  secondLevel: true,
  slads: true,
  nested: true,
  pageRequests: true,
  fiveLevelFirst: true,
  firstLevel1GiB: true,
};

/** Bytes of the unit's register window. */
export const REGISTER_BYTES = 4096;
/** ECAP.IRO and CAP.FRO: IVA at 0x100, IOTLB at 0x108, fault records from 0x200. */
export const IRO = 0x10;
export const FRO = 0x20;
/** As many as the window holds. */
export const MAX_FAULT_RECORDS = (REGISTER_BYTES - FRO * 16) / 16;

/** CAP as [low, high]. */
export function capRegister(c: VtdCapability): [number, number] {
  const nd = (Math.log2(c.domains) - 4) / 2;
  assert(Number.isInteger(nd) && nd >= 0 && nd <= 6, `ND cannot say ${c.domains} domains`);
  assert(c.sagaw !== 0 && (c.sagaw & ~0b1110) === 0, "SAGAW: bits 1 to 3");
  assert(c.mgaw >= 39 && c.mgaw <= 57, "MGAW: 39 to 57 bits");
  assert(c.hostWidth >= 36 && c.hostWidth <= 43, "host address width: 36 to 43 bits");
  assert((c.superpages & ~0b11) === 0, "SLLPS: 2 MiB and 1 GiB");
  assert(c.faultRecords >= 1 && c.faultRecords <= MAX_FAULT_RECORDS, "NFR: does not fit");
  assert(c.maxAddressMask >= 0 && c.maxAddressMask <= 63, "MAMV: 0 to 63");
  const [low, high] = encodeCap({
    domains: c.domains,
    writeBufferFlush: false,
    cachingMode: c.cachingMode,
    sagaw: c.sagaw,
    mgaw: c.mgaw,
    faultRecordOffset: FRO,
    superpages: c.superpages,
    pageSelective: c.pageSelective,
    faultRecords: c.faultRecords,
    maxAddressMask: c.maxAddressMask,
    drain: true,
    fiveLevelFirst: c.scalable && c.fiveLevelFirst,
  });
  return [low, (high | beyondLegacy(c).capHigh) >>> 0];
}

/** ECAP as [low, high]. */
export function ecapRegister(c: VtdCapability): [number, number] {
  assert(!c.scalable || c.queuedInvalidation, "SMTS: needs QI");
  assert(c.pasidBits >= 0 && c.pasidBits <= PASID_BITS, "PSS: at most 20 bits");
  const [low, high] = encodeEcap({
    coherent: true,
    queuedInvalidation: c.queuedInvalidation,
    deviceTlb: c.scalable && c.pageRequests,
    interruptRemapping: false,
    passThrough: c.passThrough,
    snoopControl: c.snoopControl,
    iotlbOffset: IRO,
  });
  const more = beyondLegacy(c);
  return [(low | more.ecapLow) >>> 0, (high | more.ecapHigh) >>> 0];
}

function beyondLegacy(c: VtdCapability): { capHigh: number; ecapLow: number; ecapHigh: number } {
  if (!c.scalable) return { capHigh: 0, ecapLow: 0, ecapHigh: 0 };
  return encodeScalable({ ...c, nested: nests(c), ridPasid: true });
}

/** PGTT 3 is possible. */
export function nests(c: VtdCapability): boolean {
  return c.nested && c.firstLevel && c.secondLevel;
}

/** Bits of the high word of an address field, up to bit 51, that lie above the host's width. */
export function reservedAddressBits(hostWidth: number): number {
  return 0xfffff & ~((1 << (hostWidth - 32)) - 1);
}
