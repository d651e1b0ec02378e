import assert from "node:assert/strict";
import type { State } from "../../../src/platform/dump/state.ts";
import { memOf, type Node, nodeAt, number, readBlob } from "./blob_reader.ts";
import { Core } from "./elf_reader.ts";
import { fileOf, keep, type Kept, platform, stateIn, updates } from "./rig.ts";
import { contextOf, walkAll } from "./table_reader.ts";

const BLOCK = 2n << 20n;
/** Of a guestmemfs inode: size, then offsets of its fields. */
const INODE = 296n, MAPPINGS = 280n, NUM_MAPPINGS = 288n;

interface Read {
  readonly blob: Node;
  readonly core: Core;
  readonly state: State;
}

function read(kept: Kept, n: number): Read {
  const blob = readBlob(fileOf(kept, `kho-${n}.dtb`));
  return { blob, core: new Core(fileOf(kept, `vmcore-${n}`)), state: stateIn(kept, n) };
}

/** Where a byte of a guestmemfs file lies, from the structures that are handed over in memory. */
function fileByte({ blob, core }: Read, ino: bigint, offset: bigint): bigint {
  const [data] = memOf(nodeAt(blob, "guestmemfs/fs_mem"));
  const [, inodes] = memOf(nodeAt(blob, "guestmemfs/superblock"));
  const inode = inodes.address + ino * INODE;
  const blocks = core.u64(inode + NUM_MAPPINGS) & 0xffffffffn;
  assert.ok(offset / BLOCK < blocks, "inside the file");
  const block = core.u64(core.u64(inode + MAPPINGS) + (offset / BLOCK) * 8n);
  // Bit 0 of the address: no struct pages.
  return data.address - 1n + block * BLOCK + offset % BLOCK;
}

/** IOVA to physical address and rights, as areas and files have it. */
function expected(from: Read): Map<bigint, { phys: bigint; rights: number }> {
  const map = new Map<bigint, { phys: bigint; rights: number }>();
  for (const { ioases } of from.state.iommufds) {
    for (const area of ioases.flatMap((ioas) => ioas.areas)) {
      const ino = BigInt(area.file_handle), offset = BigInt(area.file_offset);
      for (let at = 0n; at < BigInt(area.length); at += 4096n) {
        const phys = fileByte(from, ino, offset + at);
        map.set(BigInt(area.iova) + at, { phys, rights: area.prot & 3 });
      }
    }
  }
  return map;
}

function checkTables(from: Read): Map<bigint, { phys: bigint; rights: number }> {
  const domain = nodeAt(from.blob, "intel-iommu/domains/1");
  const pgd = number(domain, "pgd"), agaw = Number(number(domain, "agaw"));
  const { leaves, tables } = walkAll(from.core, pgd, agaw);
  assert.equal(leaves.size, 4096, "16 MiB");
  assert.deepEqual(leaves, expected(from));
  // Every table that was walked is under "mem", and nothing else is.
  const kept = memOf(domain).flatMap(({ address, length }) =>
    Array.from({ length: Number(length / 4096n) }, (_, i) => address + BigInt(i) * 4096n)
  );
  assert.deepEqual(kept, tables.toSorted((a, b) => Number(a - b)));
  const [stated] = from.state.domains;
  assert.deepEqual(stated.tables.map(BigInt), tables);
  assert.equal(BigInt(stated.pgd), pgd);
  const root = number(nodeAt(from.blob, "intel-iommu/units/0"), "root");
  assert.equal(BigInt(from.state.units[0].root ?? "0x0"), root);
  for (const device of nodeAt(domain, "devices").children.values()) {
    const bus = Number(number(device, "bus")), devfn = Number(number(device, "devfn"));
    const did = Number(number(domain, "did"));
    assert.deepEqual(contextOf(from.core, root, bus, devfn), { pgd, agaw, did });
  }
  // The disk of the VM that is not persistent lost its entry before the jump.
  assert.equal(contextOf(from.core, root, 0x3b, 0x10), undefined);
  return leaves;
}

Deno.test("the tables in a core, walked from the blob, map the areas to the files' blocks", () => {
  const p = platform();
  const [first, second] = updates(p, 2, (kernel, n) => read(keep(kernel, n), n));
  const before = checkTables(first);
  // Another kernel, the same tables.
  assert.deepEqual(checkTables(second), before);
  const pgd = (from: Read) => number(nodeAt(from.blob, "intel-iommu/domains/1"), "pgd");
  assert.equal(pgd(second), pgd(first));
  assert.deepEqual(p.updates.map((u) => u.outcome), ["done", "done"]);
});

Deno.test("what the kernel says of itself is what its device tree says", () => {
  const [from] = updates(platform(), 1, (kernel, n) => read(keep(kernel, n), n));
  const { blob, state } = from;
  const [ctx] = state.iommufds;
  const tree = nodeAt(blob, `iommufd/iommufds/${ctx.persistent_id}`);
  assert.deepEqual(
    [...nodeAt(tree, "ioases").children].map(([id, ioas]) => ({
      id: Number(id),
      pinned_file_handle: hex(number(ioas, "pinned-file-handle")),
      areas: [...ioas.children.values()].map((area) => ({
        iova: hex(number(area, "iova-start")),
        length: hex(number(area, "iova-len")),
        prot: Number(number(area, "iommu-prot")),
        file_handle: hex(number(area, "file-handle")),
        file_offset: hex(number(area, "file-offset")),
      })),
    })),
    ctx.ioases,
  );
  assert.deepEqual(
    [...nodeAt(tree, "hwpts").children].map(([id, hwpt]) => ({
      id: Number(id),
      ioas_id: Number(number(hwpt, "ioas-id")),
      domain: Number(number(hwpt, "domain")),
      auto: number(hwpt, "auto") === 1n,
    })),
    ctx.hwpts,
  );
  assert.deepEqual(
    [...nodeAt(tree, "devices").children].map(([id, device]) => ({
      id: Number(id),
      segment: Number(number(device, "segment")),
      bus: Number(number(device, "bus")),
      devfn: Number(number(device, "devfn")),
      hwpt_id: Number(number(device, "hwpt-id")),
    })),
    ctx.devices,
  );
  // "kho.mem" is every "mem" of the tree: sorted, merged, in whole pages.
  const pages = new Set<bigint>();
  const collect = (node: Node): void => {
    for (const { address, length } of memOf(node)) {
      const start = address & ~0xfffn;
      for (let at = start; at < start + length; at += 4096n) pages.add(at);
    }
    for (const child of node.children.values()) collect(child);
  };
  collect(blob);
  const listed = state.kho.mem.flatMap(({ start, end }) => {
    const list: bigint[] = [];
    for (let at = BigInt(start); at < BigInt(end); at += 4096n) list.push(at);
    return list;
  });
  assert.deepEqual(listed, [...pages].sort((a, b) => Number(a - b)));
});

function hex(value: bigint): string {
  return "0x" + value.toString(16);
}
