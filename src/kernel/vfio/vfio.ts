import { O_RDWR } from "../../uapi/sys.ts";
import { EACCES } from "../../uapi/errno.ts";
import type { Kernel } from "../kernel.ts";
import type { IommuGroup } from "../iommu/core.ts";
import type { PciDev, PciDriver } from "../pci/pci.ts";
import { VfioCdevFile } from "./cdev.ts";
import { VfioGroup } from "./group.ts";
import { openGroup } from "./group_file.ts";
import { VfioPciDevice } from "./vfio_pci.ts";

/**
 * vfio-pci: takes the devices named by `vfio-pci.ids=vendor:device,…` on the command line, and
 * whatever the previous kernel left running, and gives each a character device
 * /dev/vfio/devices/vfioN and a group file (FACTS 2.2).
 */
export class VfioPciDriver implements PciDriver {
  readonly name = "vfio-pci";
  readonly devices: VfioPciDevice[] = [];
  readonly #ids: ReadonlySet<string>;

  constructor(readonly kernel: Kernel) {
    this.#ids = new Set((kernel.parameter("vfio-pci.ids") ?? "").split(","));
  }

  matches(dev: PciDev): boolean {
    const hex4 = (n: number) => n.toString(16).padStart(4, "0");
    return this.#ids.has(`${hex4(dev.vendor)}:${hex4(dev.device)}`) || (dev.group?.held ?? false);
  }

  probe(dev: PciDev): number {
    const vdev = new VfioPciDevice(this.kernel, dev);
    if (dev.group !== undefined) this.#addGroup(vdev, dev.group);
    const index = this.devices.push(vdev) - 1;
    const name = `vfio${index}`;
    this.kernel.vfs.mkdirs("/dev/vfio/devices").add(name, {
      kind: "file",
      open: (_task, flags) => (flags & 3) === O_RDWR ? new VfioCdevFile(vdev) : -EACCES,
    });
    this.kernel.vfs.mkdirs(`/sys/bus/pci/devices/${dev.name}/vfio-dev/${name}`);
    return 0;
  }

  /** The legacy way to the device: /dev/vfio/<number of its IOMMU group>. */
  #addGroup(vdev: VfioPciDevice, iommu: IommuGroup): void {
    const group = vdev.group = new VfioGroup(this.kernel, iommu, [vdev]);
    this.kernel.vfs.mkdirs("/dev/vfio").add(String(iommu.id), {
      kind: "file",
      open: () => openGroup(group),
    });
  }
}
