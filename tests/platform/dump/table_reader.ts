import type { Core } from "./elf_reader.ts";

/** Walks VT-d tables in a core file by the VT-d specification. Knows nothing of the emulator. */

const PAGE = 4096n;
const ADDRESS = 0x000ffffffffff000n;
const READ = 1n, WRITE = 2n, LARGE = 1n << 7n;

/** What one 4 KiB page of IOVA leads to. */
export interface Leaf {
  readonly phys: bigint;
  /** 1 read, 2 write. */
  readonly rights: number;
}

/** Every mapped page under a second-level table, and every table page on the way. */
export function walkAll(
  core: Core,
  pgd: bigint,
  agaw: number,
): { leaves: Map<bigint, Leaf>; tables: bigint[] } {
  const leaves = new Map<bigint, Leaf>(), tables: bigint[] = [];
  const walk = (table: bigint, level: number, base: bigint) => {
    tables.push(table);
    const span = PAGE << BigInt(9 * (level - 1));
    for (let i = 0n; i < 512n; i++) {
      const entry = core.u64(table + i * 8n);
      if ((entry & (READ | WRITE)) === 0n) continue;
      const iova = base + i * span;
      if (level > 1 && (entry & LARGE) === 0n) {
        walk(entry & ADDRESS, level - 1, iova);
        continue;
      }
      for (let offset = 0n; offset < span; offset += PAGE) {
        const phys = (entry & ADDRESS) + offset;
        leaves.set(iova + offset, { phys, rights: Number(entry & (READ | WRITE)) });
      }
    }
  };
  walk(pgd, agaw + 2, 0n);
  return { leaves, tables };
}

/** The context entry of a device, from the unit's root table; undefined when not present. */
export function contextOf(
  core: Core,
  root: bigint,
  bus: number,
  devfn: number,
): { pgd: bigint; agaw: number; did: number } | undefined {
  const rootEntry = core.u64(root + BigInt(bus) * 16n);
  if ((rootEntry & 1n) === 0n) return undefined;
  const at = (rootEntry & ADDRESS) + BigInt(devfn) * 16n;
  const lo = core.u64(at), hi = core.u64(at + 8n);
  if ((lo & 1n) === 0n) return undefined;
  return { pgd: lo & ADDRESS, agaw: Number(hi & 7n), did: Number((hi >> 8n) & 0xffffn) };
}
