/**
 * A write into the interrupt address range is an interrupt message: it goes to no memory, and no
 * unit translates it, whatever its tables say. The code stands beside those of dma_port.ts.
 */
export const DMA_INTERRUPT = -1002;

/** True for 0xfee00000–0xfeefffff (FACTS 3.5). */
export function inInterruptRange(hi: number, lo: number): boolean {
  return hi === 0 && (lo >>> 20) === 0xfee;
}

/** The same by frame. */
export function isInterruptFrame(pfn: number): boolean {
  return (pfn & ~0xff) === 0xfee00;
}
