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
    /** Undefined for a device that no IOMMU covers: the group is VFIO's own make. */
    readonly iommu: IommuGroup | undefined,
    readonly devices: readonly VfioPciDevice[],
    readonly number: number,
  ) {}

  get noiommu(): boolean {
    return this.iommu === undefined;
  }

  /** Name of its file. */
  get name(): string {
    return this.noiommu ? `noiommu-${this.number}` : String(this.number);
  }

  /** A device of it was handed over and waits for its heir. */
  get held(): boolean {
    return this.devices.some(({ dev }) => dev.held);
  }

  /** No container any more. A device that is open stays bound to the one it had. */
  unsetContainer(): void {
    this.container?.put();
    this.container = undefined;
  }
}
