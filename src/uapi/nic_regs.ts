/**
 * The receive side of an e1000/igb network card: register offsets in BAR 0, bits, and the legacy
 * receive descriptor (Intel 8254x manual 3.2.3 and chapter 13; 82576 keeps the offsets).
 */

/** Size of BAR 0 in bytes. */
export const NIC_BAR_SIZE = 0x20000;
export const NIC_VENDOR = 0x8086;
/** 82576, driver igb. */
export const NIC_DEVICE = 0x10c9;
/** A card whose requests carry the source id of function 1 of its slot. */
export const NIC_DEVICE_ALIASED = 0x10ca;

export const E1000_CTRL = 0x0000;
/** Resets the card; clears itself. */
export const E1000_CTRL_RST = 0x04000000;
export const E1000_STATUS = 0x0008;
/** Full duplex. */
export const E1000_STATUS_FD = 0x1;
/** Link up. */
export const E1000_STATUS_LU = 0x2;
export const E1000_RCTL = 0x0100;
/** Receive enable. */
export const E1000_RCTL_EN = 0x2;
/** Descriptor ring: 64-bit base address, 16-byte aligned. */
export const E1000_RDBAL = 0x2800;
export const E1000_RDBAH = 0x2804;
/** Bytes in the ring, a multiple of 128. */
export const E1000_RDLEN = 0x2808;
/** Next descriptor the card fills; the card's own. */
export const E1000_RDH = 0x2810;
/** One past the last descriptor the card may fill. RDH == RDT: none free. */
export const E1000_RDT = 0x2818;
/**
 * Ours, where real cards have a register for each queue: the PASID that receive DMA carries. It
 * does only while PCI's PASID capability is enabled.
 */
export const NIC_RXPASID = 0x2830;
export const NIC_RXPASID_VALID = 1 << 31;
export const NIC_RXPASID_MASK = 0xfffff;
/** Packets missed for want of a descriptor; cleared by reading, like all statistics. */
export const E1000_MPC = 0x4010;
/** Good packets received; cleared by reading. */
export const E1000_GPRC = 0x4074;

/**
 * Legacy receive descriptor: u64 buffer, u16 length, u16 checksum, u8 status, u8 errors,
 * u16 special. In words: buffer low, buffer high, length | checksum << 16, status | ...
 */
export const RX_DESC_BYTES = 16;
export const RX_DESC_LENGTH = 8;
export const RX_DESC_STATUS = 12;
/** Descriptor done. */
export const RXD_STAT_DD = 0x1;
/** End of packet. */
export const RXD_STAT_EOP = 0x2;
/** A receive buffer holds this many bytes (RCTL.BSIZE 00). */
export const RX_BUFFER_BYTES = 2048;

/**
 * Packets on our wire, in 32-bit words: the wire's sequence number, the sender's stream number
 * (never 0), data, and last the checksum over all words before it.
 */
export const PACKET_SEQUENCE = 0;
export const PACKET_STREAM = 1;
export const PACKET_DATA = 2;

/** The checksum of the first `words` words of a packet, sensitive to their order. An int32. */
export function packetChecksum(packet: Uint32Array, words: number): number {
  let sum = 0;
  for (let i = 0; i < words; i++) {
    const word = packet[i], h = Math.imul(sum ^ word, 0x9e3779b1);
    sum = ((h << 13) | (h >>> 19)) + word | 0;
  }
  return sum;
}
