import { assert } from "../../base/assert.ts";
import {
  IDR0_ASID16,
  IDR0_COHACC,
  IDR0_S1P,
  IDR0_S2P,
  IDR0_ST_LEVEL_2,
  IDR0_STALL_MODEL_TERMINATE,
  IDR0_TERM_MODEL_ABORT,
  IDR0_TTENDIAN_LE,
  IDR0_TTF_AARCH64,
  IDR0_VMID16,
  IDR1_CMDQS_SHIFT,
  IDR1_EVENTQS_SHIFT,
  IDR1_SSIDSIZE_SHIFT,
  IDR3_BBML_SHIFT,
  IDR3_RIL,
  IDR5_GRAN4K,
  SMMU_ADDRESS_BITS,
} from "../../uapi/smmuv3_regs.ts";

/** Level of break-before-make support (FACTS 4.3). */
export type Bbml = 0 | 1 | 2;

/** What one SMMU can do. Read by software from the IDR registers. */
export interface SmmuCapability {
  /** S1P, S2P: the stages there are. Nested translation (both at once) is not. */
  readonly stage1: boolean;
  readonly stage2: boolean;
  readonly bbml: Bbml;
  /** RIL: TLBI commands may name a range. */
  readonly rangeInvalidation: boolean;
  /** COHACC: accesses are coherent with the processors' caches. Here nothing else depends on it. */
  readonly coherent: boolean;
  /** OAS: bits of the widest physical address, 32, 36, 40 or 42: {@link Memory} ends at 2^43. */
  readonly outputBits: 32 | 36 | 40 | 42;
  /** Bits of a StreamID, 1..16, and of a SubstreamID, 0..10. */
  readonly streamBits: number;
  readonly substreamBits: number;
  /** log2 of the most entries a queue may have, 0..19. */
  readonly commandQueueBits: number;
  readonly eventQueueBits: number;
  /** GBPA.ABORT after power-on, which the architecture leaves open. */
  readonly abortAtReset: boolean;
}

export const DEFAULT_SMMU_CAPABILITY: SmmuCapability = {
  stage1: true,
  stage2: true,
  bbml: 0,
  rangeInvalidation: true,
  coherent: true,
  outputBits: 42,
  streamBits: 16,
  substreamBits: 5,
  commandQueueBits: 8,
  eventQueueBits: 7,
  abortAtReset: false,
};

/** Bits of the widest virtual address (VAX 0). */
export const INPUT_BITS = 48;
/** AIDR: architecture 3.2, the first with BBML and RIL. */
export const AIDR = 2;

/** IDR0, IDR1, IDR3 and IDR5; the others read 0. */
export function idRegisters(c: SmmuCapability): [number, number, number, number] {
  assert(c.stage1 || c.stage2, "an SMMU has a stage");
  assert(c.streamBits >= 1 && c.streamBits <= 16, "SIDSIZE: 1 to 16 bits");
  assert(c.substreamBits >= 0 && c.substreamBits <= 10, "SSIDSIZE: 0 to 10 bits");
  assert(c.commandQueueBits >= 0 && c.commandQueueBits <= 19, "CMDQS: 0 to 19");
  assert(c.eventQueueBits >= 0 && c.eventQueueBits <= 19, "EVENTQS: 0 to 19");
  const idr0 = (c.stage2 ? IDR0_S2P | IDR0_VMID16 : 0) | (c.stage1 ? IDR0_S1P | IDR0_ASID16 : 0) |
    IDR0_TTF_AARCH64 | (c.coherent ? IDR0_COHACC : 0) | IDR0_TTENDIAN_LE |
    IDR0_STALL_MODEL_TERMINATE |
    IDR0_TERM_MODEL_ABORT | IDR0_ST_LEVEL_2;
  const idr1 = c.streamBits | c.substreamBits << IDR1_SSIDSIZE_SHIFT |
    c.eventQueueBits << IDR1_EVENTQS_SHIFT | c.commandQueueBits << IDR1_CMDQS_SHIFT;
  const idr3 = (c.rangeInvalidation ? IDR3_RIL : 0) | c.bbml << IDR3_BBML_SHIFT;
  const idr5 = SMMU_ADDRESS_BITS.indexOf(c.outputBits) | IDR5_GRAN4K;
  return [idr0, idr1, idr3, idr5];
}
