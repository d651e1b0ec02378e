import { type Fdt, openFdt } from "../../fdt/mod.ts";
import { INTEL_IOMMU_KHO, IOMMUFD_KHO, PCI_KHO, SMMU_KHO } from "../../uapi/kho_abi.ts";
import type { KernelImage } from "../image.ts";
import { PagingDomain } from "../iommu/domain.ts";
import { largestLeaf } from "../iommu/resize.ts";
import type { Kernel } from "../kernel.ts";
import { designOf } from "./design.ts";

/** Nodes of the tree without which the devices of a guest are lost. */
const NEEDED = [IOMMUFD_KHO.node, INTEL_IOMMU_KHO.node, SMMU_KHO.node, PCI_KHO.node];

/**
 * Why an image must not be loaded while devices are to go on through the jump: it would not know what
 * they walk, and either clear translation under them or block them (FACTS 8.14 G11). Undefined when it
 * may. An image tells what it reads in its header, before anything has happened. What only shows after
 * the jump, that data is damaged or does not fit the hardware, is not known here: there the next kernel
 * has to block.
 */
export function cannotTakeOver(kernel: Kernel, image: KernelImage): string | undefined {
  const { kho, iommu, pci } = kernel;
  if (kho.dump === undefined || kernel.has("G11")) return undefined;
  if (!pci.devices.some((dev) => iommu.isDumped(dev))) return undefined;
  const fdt = openFdt(kho.dump.dt, { lenient: true });
  const root = compatible(fdt, fdt.root);
  if (!image.kho || image.khoCompatible !== root) return `it does not read ${root}`;
  const reads = formatsOf(image);
  for (const name of NEEDED) {
    const node = fdt.subnode(fdt.root, name);
    const format = node < 0 ? undefined : compatible(fdt, node);
    if (format !== undefined && !reads.includes(format)) return `it does not read ${format}`;
  }
  return keepsSizes(kernel, image)
    ? undefined
    : "its largest pages are smaller than some in use, " +
      "which cannot change their size on this IOMMU";
}

/** Formats of nodes that an image reads. */
function formatsOf({ handover, oneTableList }: KernelImage): readonly string[] {
  const { reads } = designOf(handover);
  return oneTableList ? [...reads, INTEL_IOMMU_KHO.oneListCompatible] : reads;
}

/** The next kernel can make tables in which every page is as large as now, or needs not. */
function keepsSizes(
  { iommu, iommuDriver, machine }: Kernel,
  { largestPage }: KernelImage,
): boolean {
  if (iommuDriver?.sizesStay !== true || largestPage === undefined) return true;
  const domains = new Set(
    iommu.groups.flatMap(({ domain, pasids }) => [domain, ...pasids.values()]),
  );
  return [...domains].every((domain) => {
    const radix = domain.dumped && domain instanceof PagingDomain ? domain.radix : undefined;
    return radix === undefined || largestLeaf(machine.memory, radix) <= largestPage;
  });
}

function compatible(fdt: Fdt, node: number): string {
  return new TextDecoder().decode(fdt.getprop(node, "compatible")).replace(/\0$/, "");
}
