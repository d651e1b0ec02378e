import { O_RDWR } from "../../uapi/sys.ts";
import { EACCES, EBUSY } from "../../uapi/errno.ts";
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
      open: (_task, flags) => {
        if ((flags & 3) !== O_RDWR) return -EACCES;
        return this.#fenced(dev) ? -EBUSY : new VfioCdevFile(vdev);
      },
    });
    this.#addHandle(dev, vdev);
    this.kernel.vfs.mkdirs(`/sys/bus/pci/devices/${dev.name}/vfio-dev/${name}`);
    return 0;
  }

  /** The device was handed over, and its heir has not got it all yet. */
  #fenced(dev: PciDev): boolean {
    return this.kernel.design.fences && (dev.group?.inheritedDomains.length ?? 0) > 0;
  }

  /** The one way to a fenced device, for who picks up the iommufd it belongs to. */
  #addHandle(dev: PciDev, vdev: VfioPciDevice): void {
    const owner = dev.group?.inheritedDomains[0]?.persistentOwner;
    if (owner === undefined || !this.kernel.design.fences) return;
    const handle = () => this.#fenced(dev) ? new VfioCdevFile(vdev) : -EBUSY;
    this.kernel.iommufd.heirs.handles.add(`${owner}/devices/${dev.name}`, handle);
  }

  /** The legacy way to the device: /dev/vfio/<number of its IOMMU group>. */
  #addGroup(vdev: VfioPciDevice, iommu: IommuGroup): void {
    const group = vdev.group = new VfioGroup(this.kernel, iommu, [vdev]);
    this.kernel.vfs.mkdirs("/dev/vfio").add(String(iommu.id), {
      kind: "file",
      open: () => this.#fenced(vdev.dev) ? -EBUSY : openGroup(group),
    });
  }
}
