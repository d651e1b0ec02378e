import { PAGE_SIZE } from "../../base/units.ts";
import type { Fdt, FdtWriter } from "../../fdt/mod.ts";

/** Commands of the KHO notifier chain and what a subscriber answers (FACTS 6.1). */
export const KEXEC_KHO_DUMP = 0;
export const KEXEC_KHO_ABORT = 1;
export type KhoCommand = typeof KEXEC_KHO_DUMP | typeof KEXEC_KHO_ABORT;

export const NOTIFY_DONE = 0;
export const NOTIFY_OK = 1;
export const NOTIFY_STOP_MASK = 0x8000;
export const NOTIFY_BAD = 0x8002;

/** A "mem" entry: bytes of physical memory, with flags in the low bits of the address. */
export interface KhoMem {
  readonly address: number;
  readonly length: number;
}

/** Writes a "mem" property: {u64 address, u64 length} entries, native endian. */
export function memProperty(fdt: FdtWriter, entries: readonly KhoMem[]): number {
  const bytes = new Uint8Array(entries.length * 16);
  const view = new DataView(bytes.buffer);
  entries.forEach((entry, i) => {
    view.setUint32(i * 16, entry.address % 4294967296, true);
    view.setUint32(i * 16 + 4, Math.floor(entry.address / 4294967296), true);
    view.setUint32(i * 16 + 8, entry.length % 4294967296, true);
    view.setUint32(i * 16 + 12, Math.floor(entry.length / 4294967296), true);
  });
  return fdt.property("mem", bytes);
}

/** The entries of a node's "mem" property; none when it has no such property. */
export function readMem(fdt: Fdt, node: number): KhoMem[] {
  const bytes = node < 0 ? undefined : fdt.getprop(node, "mem");
  return bytes === undefined ? [] : decodeMem(bytes);
}

export function decodeMem(bytes: Uint8Array): KhoMem[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u64 = (at: number) => view.getUint32(at, true) + view.getUint32(at + 4, true) * 4294967296;
  const entries: KhoMem[] = [];
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    entries.push({ address: u64(at), length: u64(at + 8) });
  }
  return entries;
}

/** Little-endian value of a property of up to 8 bytes, below 2^53; undefined if absent. */
export function readNumber(fdt: Fdt, node: number, name: string): number | undefined {
  const bytes = fdt.getprop(node, name);
  if (bytes === undefined || bytes.length === 0 || bytes.length > 8) return undefined;
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

/** Like {@link readNumber}, all 64 bits of it. */
export function readBigInt(fdt: Fdt, node: number, name: string): bigint | undefined {
  const bytes = fdt.getprop(node, name);
  if (bytes === undefined || bytes.length === 0 || bytes.length > 8) return undefined;
  return bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);
}

/** Page-aligned bounds of an entry, flags dropped. */
export function pageBounds(mem: KhoMem): { start: number; end: number } {
  const start = Math.floor(mem.address / PAGE_SIZE) * PAGE_SIZE;
  return { start, end: Math.ceil((start + mem.length) / PAGE_SIZE) * PAGE_SIZE };
}
