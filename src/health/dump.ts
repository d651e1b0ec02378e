import { hex } from "../base/units.ts";
import { type Fdt, openFdt } from "../fdt/mod.ts";
import type { IommufdCtx } from "../kernel/iommufd/ctx.ts";
import { IommufdDevice } from "../kernel/iommufd/device.ts";
import { HwptPaging } from "../kernel/iommufd/hwpt.ts";
import { Ioas } from "../kernel/iommufd/ioas.ts";
import { IOMMUFD_COMPATIBLE } from "../kernel/iommufd/serialise.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { formatBdf } from "../uapi/pci_regs.ts";
import { readBigInt, readNumber } from "../kernel/kho/abi.ts";
import type { Look } from "./checks.ts";

/**
 * What a KHO tree says of the iommufds against what they are: while a dump stands, and when one that
 * was handed over is seen for the first time. `seen`: those that were.
 */
export function dumpTrue(kernel: Kernel, seen: WeakSet<IommufdCtx>, look: Look): void {
  const { dump, incoming } = kernel.kho;
  // Other designs say nothing of objects that programs make anew.
  if (kernel.design.iommufd !== "objects") return;
  const open = kernel.iommufd.contexts.filter((ctx) => ctx.persistentId !== 0);
  for (const ctx of open) {
    const tree = incoming && !seen.has(ctx)
      ? said(incoming, () => incoming).trees.get(ctx.persistentId)
      : undefined;
    if (tree === undefined) continue;
    seen.add(ctx);
    // Devices come back one by one, when they are bound.
    const without = (lines: readonly string[]) => lines.filter((l) => !l.startsWith("device"));
    compare(ctx.persistentId, without(tree), without(linesOf(ctx)), look);
  }
  if (dump === undefined) return;
  const { ours, trees, lost } = said(dump.dt, () => openFdt(dump.dt, { lenient: true }));
  if (!ours) return;
  if (open.length > 0) look.premises.add("iommufd-dumped");
  for (const ctx of open) {
    compare(ctx.persistentId, trees.get(ctx.persistentId), linesOf(ctx), look);
  }
  for (const { id, domain } of lost) {
    report(look, id, `the tree names domain ${domain}, and does not have it`);
  }
  for (const id of trees.keys()) {
    const someones = open.some((ctx) => ctx.persistentId === id);
    if (!someones && !kernel.iommufd.pending.includes(id)) {
      report(look, id, "is in the tree, and nobody has it");
    }
  }
}

function compare(
  id: number,
  said: readonly string[] | undefined,
  is: readonly string[],
  look: Look,
): void {
  if (said === undefined) return report(look, id, "is not in the tree");
  const inTree = new Set(said), inUse = new Set(is);
  const lost = is.find((line) => !inTree.has(line));
  const gone = said.find((line) => !inUse.has(line));
  if (lost !== undefined) report(look, id, `the tree does not say "${lost}"`);
  else if (gone !== undefined) report(look, id, `the tree says "${gone}", which is not so`);
}

function report(look: Look, id: number, detail: string): void {
  look.findings.push({ invariant: "dump-true", subject: `iommufd ${id}`, detail });
}

interface Said {
  /** The tree is of the kind that describes objects one by one. */
  readonly ours: boolean;
  /** What it says of each iommufd, by id; of two with one id only the first can be found. */
  readonly trees: ReadonlyMap<number, readonly string[]>;
  readonly lost: readonly { readonly id: number; readonly domain: number }[];
}

/** By the bytes of a tree, or by a reader of them: once they stand they are never written to. */
const SAID = new WeakMap<Uint8Array | Fdt, Said>();

function said(tree: Uint8Array | Fdt, open: () => Fdt): Said {
  let found = SAID.get(tree);
  if (found === undefined) {
    const fdt = open(), ours = isOurs(fdt);
    found = ours
      ? { ours, trees: treesOf(fdt), lost: [...domainsLost(fdt)] }
      : { ours, trees: new Map(), lost: [] };
    SAID.set(tree, found);
  }
  return found;
}

/** Domains that HWPTs have by what the tree says, and that it says nothing else of. */
function* domainsLost(fdt: Fdt): Generator<{ id: number; domain: number }> {
  const domains = children(fdt, fdt.path("/intel-iommu/domains")).map((n) => Number(fdt.name(n)));
  for (const root of children(fdt, fdt.path("/iommufd/iommufds"))) {
    for (const hwpt of children(fdt, fdt.subnode(root, "hwpts"))) {
      // One for devices that no IOMMU covers has no tables.
      if (fdt.getprop(hwpt, "noiommu") !== undefined) continue;
      const domain = readNumber(fdt, hwpt, "domain") ?? 0;
      if (!domains.includes(domain)) yield { id: Number(fdt.name(root)), domain };
    }
  }
}

function isOurs(fdt: Fdt): boolean {
  const node = fdt.path("/iommufd");
  const version = node < 0 ? undefined : fdt.getprop(node, "compatible");
  return new TextDecoder().decode(version) === IOMMUFD_COMPATIBLE + "\0";
}

function treesOf(fdt: Fdt): Map<number, string[]> {
  const trees = new Map<number, string[]>();
  for (const node of children(fdt, fdt.path("/iommufd/iommufds"))) {
    const id = Number(fdt.name(node));
    if (!trees.has(id)) trees.set(id, linesOfTree(fdt, node));
  }
  return trees;
}

function linesOfTree(fdt: Fdt, root: number): string[] {
  const value = (node: number, name: string) => readNumber(fdt, node, name) ?? "?";
  const wide = (node: number, name: string) => {
    const found = readBigInt(fdt, node, name);
    return found === undefined ? "?" : hex(found);
  };
  const under = (name: string) => children(fdt, fdt.subnode(root, name));
  return [
    ...under("ioases").flatMap((ioas) => [
      ioasLine(fdt.name(ioas), value(ioas, "pinned-file-handle") !== "?"),
      ...children(fdt, ioas).map((area) =>
        areaLine(
          fdt.name(ioas),
          wide(area, "iova-start"),
          wide(area, "iova-len"),
          value(area, "iommu-prot"),
          value(area, "file-handle"),
        )
      ),
    ]),
    ...under("hwpts").map((hwpt) => hwptLine(fdt.name(hwpt), value(hwpt, "ioas-id"))),
    ...under("devices").map((device) =>
      deviceLine(
        fdt.name(device),
        value(device, "bus"),
        value(device, "devfn"),
        value(device, "hwpt-id"),
      )
    ),
  ];
}

function linesOf(ctx: IommufdCtx): string[] {
  return ctx.objects.all.flatMap((object) => {
    if (object instanceof Ioas) {
      const areas = object.iopt.areas.items.map((area) =>
        areaLine(
          object.id,
          hex(area.start),
          hex(area.last - area.start + 1n),
          area.prot,
          area.pages?.source.persistent?.handle ?? 0,
        )
      );
      return [ioasLine(object.id, true), ...areas];
    }
    if (object instanceof HwptPaging) return [hwptLine(object.id, object.ioas.id)];
    if (!(object instanceof IommufdDevice)) return [];
    return [deviceLine(object.id, object.dev.bus, object.dev.devfn, object.hwpt?.id ?? 0)];
  });
}

type Value = string | number;

const ioasLine = (id: Value, whole: boolean) => `IOAS ${id}${whole ? "" : ", but not its file"}`;
const areaLine = (ioas: Value, start: Value, length: Value, prot: Value, file: Value) =>
  `IOAS ${ioas} has ${start} + ${length}, permissions ${prot}, file ${file}`;
const hwptLine = (id: Value, ioas: Value) => `HWPT ${id} of IOAS ${ioas}`;
const deviceLine = (id: Value, bus: Value, devfn: Value, hwpt: Value) =>
  `device ${id} is ${bus === "?" || devfn === "?" ? "?" : formatBdf(+bus, +devfn)} on HWPT ${hwpt}`;

function children(fdt: Fdt, node: number): number[] {
  return node < 0 ? [] : [...fdt.subnodes(node)];
}
