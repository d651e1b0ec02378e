import type { IommufdCtx } from "../iommufd/ctx.ts";
import type { IommuGroup } from "../iommu/core.ts";
import type { Kernel } from "../kernel.ts";
import type { VfioPciDevice } from "./vfio_pci.ts";

/** A group as VFIO sees it: opened as a whole by its file, or device by device by their cdevs. */
export class VfioGroup {
  /** Its file is open, or a device that was opened through it. */
  opened = false;
  /** Devices that are open by their cdevs. */
  cdevs = 0;
  /** What its devices are to be bound to; it holds a reference. */
  container: IommufdCtx | undefined;

  constructor(
    readonly kernel: Kernel,
    readonly iommu: IommuGroup,
    readonly devices: readonly VfioPciDevice[],
  ) {}

  /** No container any more. A device that is open stays bound to the one it had. */
  unsetContainer(): void {
    this.container?.put();
    this.container = undefined;
  }
}
