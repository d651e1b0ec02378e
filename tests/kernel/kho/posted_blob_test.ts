/** The dump of the posted series, byte for byte what libfdt makes of the same calls. */
import assert from "node:assert/strict";
import { GiB, MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { type Fdt, FdtWriter, openFdt } from "../../../src/fdt/mod.ts";
import type { DmarDomain } from "../../../src/kernel/iommu/intel/domain.ts";
import { intelNotify } from "../../../src/kernel/iommu/intel/serialise.ts";
import { KEXEC_KHO_DUMP, NOTIFY_DONE } from "../../../src/kernel/kho/abi.ts";
import { Oops } from "../../../src/kernel/oops.ts";
import type { Memory } from "../../../src/machine/memory.ts";
import type { VtdCapability } from "../../../src/machine/vtd/capability.ts";
import { O_WRONLY } from "../../../src/uapi/sys.ts";
import { hasLibfdt } from "../../fdt/libfdt_tools.ts";
import { Bench } from "../bench.ts";
import { fixed } from "../requests.ts";
import { KernelRig, NIC, NVME } from "../rig.ts";
import { withPosted } from "./posted_reference.ts";

const POSTED = "rfc-v1-posted";
const RW = 3;
const hex = (n: number | bigint) => n.toString(16);

/** A page of memory that is not empty, as the reference program reads one. */
function page(memory: Memory, pfn: number): string[] {
  const bytes = memory.frameBytes(pfn);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries = Array.from({ length: 512 }, (_, i) => view.getBigUint64(i * 8, true));
  const lines = entries.flatMap((entry, i) =>
    entry === 0n ? [] : [`entry ${hex(i)} ${hex(entry)}`]
  );
  return [`page ${hex(pfn * PAGE_SIZE)}`, ...lines];
}

/** A domain with its tables; page 0 is where an empty first entry leads. */
function described(domain: DmarDomain, devices: readonly number[]): string[] {
  const { memory } = domain.kernel.machine;
  return [
    ...[0, ...domain.table.tables()].flatMap((pfn) => page(memory, pfn)),
    `domain ${hex(domain.persistentId)} ${hex(domain.pgd * PAGE_SIZE)} ${hex(domain.agaw)}`,
    ...devices.map((sid) => `device ${hex(sid >> 8)} ${hex(sid & 0xff)}`),
  ];
}

/** Attaches a device of the rig to the domain, as its new owner would. */
function attach(rig: KernelRig, domain: DmarDomain, name: string): number {
  const dev = rig.dev(name);
  assert.equal(dev.group?.claim(Symbol(name), () => false), 0);
  assert.equal(dev.group?.attach(domain), 0);
  return dev.sid;
}

/** Bytes of the tree with nothing but the driver's part in it; `fault ADDRESS` for an oops. */
function tree({ kernel }: KernelRig): string {
  assert.ok(kernel.intel);
  const fdt = new FdtWriter(4 << 20);
  let err = fdt.beginNode("");
  try {
    assert.equal(intelNotify(kernel.intel, KEXEC_KHO_DUMP, fdt), NOTIFY_DONE);
  } catch (error) {
    if (!(error instanceof Oops)) throw error;
    return `fault ${hex(error.address)}`;
  }
  err |= fdt.endNode();
  assert.equal(err, 0);
  return fdt.finish().toHex();
}

/** Domains of a width: the unit offers this one only. */
const WIDTHS: Record<number, Partial<VtdCapability>> = {
  39: { sagaw: 0b0010, mgaw: 39 },
  48: { sagaw: 0b0100, mgaw: 48 },
  57: { sagaw: 0b1000, mgaw: 57 },
};

interface Mapping {
  readonly iova: number;
  readonly frame: number;
  readonly pages: number;
}

const small = (iova: number, pages: number): Mapping => ({ iova, frame: 0x801, pages });
const large = (iova: number, blocks: number): Mapping => ({
  iova,
  frame: 0x800,
  pages: blocks * 512,
});

/** What is mapped; `first`: what the first entry of a pgd reaches, in bytes. */
const SCENES: Record<string, (first: number) => readonly Mapping[]> = {
  "pages of 4 KiB": () => [small(0x10000, 5), small(0x400000, 1)],
  "pages of 2 MiB": () => [large(0, 3)],
  "both, far apart below the reach of the first entry": (first) => [
    large(2 * MiB, 1),
    small(first - 16 * PAGE_SIZE, 16),
  ],
  "a page of 1 GiB, of 39 bits the whole first entry": () => [
    { iova: 0, frame: 0, pages: 512 * 512 },
  ],
  "below and beyond the reach of the first entry": (first) => [small(0, 3), small(first, 7)],
  "254 pages in one table, and two tables: 256 entries": () => [small(0, 254)],
  "one page more": () => [small(0, 255)],
  "many more": () => [small(0, 512), large(4 * MiB, 300), small(GiB - 64 * PAGE_SIZE, 64)],
};

Deno.test({
  name: "rfc-v1-posted writes its tree as the posted code does through libfdt",
  ignore: !await hasLibfdt(),
}, async (t) => {
  await withPosted(async (posted) => {
    for (const [bits, vtd] of Object.entries(WIDTHS)) {
      const first = 2 ** (Number(bits) - 9);
      for (const [name, mappings] of Object.entries(SCENES)) {
        await t.step(`${bits} bits: ${name}`, async () => {
          const rig = new KernelRig({ image: POSTED, vtd });
          const domain = rig.domain(1);
          const sid = attach(rig, domain, NIC);
          for (const { iova, frame, pages } of mappings(first)) {
            assert.equal(domain.map(iova / PAGE_SIZE, frame, pages, RW), 0);
          }
          const { blob, entries } = await posted("intel-iommu", described(domain, [sid]));
          assert.ok(blob.startsWith("fault") || entries[0] > 0, "something is listed");
          assert.equal(tree(rig), blob);
          const full = rig.log.filter((l) => /slab-out-of-bounds in save_pte_pages/.test(l));
          assert.equal(full.length, (entries[0] ?? 0) > 256 ? 1 : 0, `${entries[0]} entries`);
        });
      }
      await t.step(`${bits} bits: an empty first entry leads to page 0`, async () => {
        const rig = new KernelRig({ image: POSTED, vtd });
        const domain = rig.domain(1);
        assert.equal(domain.map(first / PAGE_SIZE, 0x800, 1, RW), 0);
        const vectors = await posted("intel-iommu", described(domain, []));
        assert.match(vectors.blob, /^fault f000ff53f000f000$/);
        assert.equal(tree(rig), vectors.blob);
        rig.machine.memory.fillFrames(0, 1, 0);
        const empty = await posted("intel-iommu", described(domain, []));
        assert.deepEqual(empty.entries, [0]);
        assert.equal(tree(rig), empty.blob);
      });
    }
    await t.step("several domains, and devices in the order of a list", async () => {
      const rig = new KernelRig({ image: POSTED });
      const [second, first] = [rig.domain(7), rig.domain(2)];
      const devices = [NVME, NIC].map((name) => attach(rig, first, name));
      for (const domain of [first, second]) assert.equal(domain.map(3, 0x900, 20, RW), 0);
      const lines = [...described(first, devices), ...described(second, [])];
      assert.equal(tree(rig), (await posted("intel-iommu", lines)).blob);
    });
    await t.step("the whole tree", async () => {
      const bench = new Bench(POSTED);
      const { kernel } = bench.platform;
      const fd = bench.persistent(), ioas = bench.ioas(fd);
      const { dev } = bench.attached(fd, ioas);
      assert.ok(dev > 0);
      const file = bench.memfd(2 * MiB);
      const request = { ...fixed(ioas, 0, 2 * MiB, 0x200000), user_va: undefined, fd: file };
      assert.equal(bench.mapFile(fd, request as never).rc, "ok");
      const active = bench.sys.open("/sys/kernel/kho/active", O_WRONLY);
      assert.equal(bench.sys.write(active, new TextEncoder().encode("1")), 1);
      const dt = kernel.kho.dump?.dt;
      const [domain] = kernel.intel?.persistent.all ?? [];
      assert.ok(dt !== undefined && domain !== undefined);
      const objects = [
        ...described(domain, [0x3a00]),
        "iommufd 1",
        `ioas ${hex(ioas)} 0`,
        "area 200000 200000 7",
        ...raw(openFdt(dt), "/guestmemfs"),
      ];
      assert.equal(dt.toHex(), (await posted("whole", objects)).blob);
    });
  });
});

/** A node as it is, for the reference program to copy. */
function raw(fdt: Fdt, path: string): string[] {
  const lines = (node: number): string[] => [
    `begin ${fdt.name(node)}`,
    ...[...fdt.props(node)].map(({ name, value }) => `prop ${name} ${value.toHex()}`),
    ...[...fdt.subnodes(node)].flatMap(lines),
    "end",
  ];
  return lines(fdt.path(path));
}
