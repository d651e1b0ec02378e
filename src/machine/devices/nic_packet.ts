import { mix32 } from "../../base/choice.ts";
import {
  PACKET_DATA,
  PACKET_SEQUENCE,
  PACKET_STREAM,
  packetChecksum,
} from "../../uapi/nic_regs.ts";

/** The number that tells one sender's packets from another's; never 0. */
export function streamOf(seed: number, fn: number): number {
  return (mix32(seed, fn, 0x6e6963) | 1) >>> 0;
}

/**
 * Makes the packet `sequence` of a stream: a pure function of its arguments. `words`: length in
 * 32-bit words, checksum included, at least 16.
 */
export function fillPacket(
  into: Uint32Array,
  words: number,
  stream: number,
  sequence: number,
): void {
  into[PACKET_SEQUENCE] = sequence;
  into[PACKET_STREAM] = stream;
  // One well-mixed start and a cheap step after it: this runs for each word of each packet.
  let word = mix32(stream, sequence, 0) | 0;
  for (let i = PACKET_DATA; i < words - 1; i++) {
    word = (Math.imul(word, 1664525) + 1013904223) | 0;
    into[i] = word;
  }
  into[words - 1] = packetChecksum(into, words - 1);
}
