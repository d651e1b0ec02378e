import { EBUSY, EINVAL } from "../../uapi/errno.ts";
import type { Kernel } from "../kernel.ts";
import type { PciDev, PciDriver } from "../pci/pci.ts";
import { openCdev, VfioCdevFile } from "./cdev.ts";
import { VfioGroup } from "./group.ts";
import { openGroup } from "./group_file.ts";
import { NoiommuMode } from "./noiommu.ts";
import { VfioPciDevice } from "./vfio_pci.ts";

/**
 * vfio-pci: takes the devices named by `vfio-pci.ids=vendor:device,…` on the command line, and
 * whatever the previous kernel left running, and gives each a character device
 * /dev/vfio/devices/vfioN and a group file (FACTS 2.2). One that no IOMMU covers has both under
 * names that say so, and only in noiommu mode (FACTS 2.3).
 */
export class VfioPciDriver implements PciDriver {
  readonly name = "vfio-pci";
  readonly forUsers = true;
  readonly devices: VfioPciDevice[] = [];
  readonly noiommu: NoiommuMode;
  readonly #ids: ReadonlySet<string>;

  constructor(readonly kernel: Kernel) {
    this.noiommu = new NoiommuMode(kernel);
    this.#ids = new Set((kernel.parameter("vfio-pci.ids") ?? "").split(","));
  }

  matches(dev: PciDev): boolean {
    const hex4 = (n: number) => n.toString(16).padStart(4, "0");
    if (this.#ids.has(`${hex4(dev.vendor)}:${hex4(dev.device)}`)) return true;
    return dev.fenced;
  }

  /** EINVAL for a device without a group, unless in noiommu mode. */
  probe(dev: PciDev): number {
    const covered = dev.group !== undefined;
    if (!covered && !this.noiommu.enabled) return -EINVAL;
    const vdev = new VfioPciDevice(this.kernel, dev);
    const index = this.devices.push(vdev) - 1;
    this.#addGroup(vdev);
    vdev.name = covered ? `vfio${index}` : `noiommu-vfio${index}`;
    this.kernel.vfs.mkdirs("/dev/vfio/devices").add(vdev.name, {
      kind: "file",
      mode: 0o600,
      open: (task) => this.#isFenced(dev) ? -EBUSY : openCdev(vdev, task),
    });
    this.#addHandle(dev, vdev);
    this.kernel.vfs.mkdirs(`/sys/bus/pci/devices/${dev.name}/vfio-dev/${vdev.name}`);
    if (!covered) this.noiommu.registered(dev);
    return 0;
  }

  /** EBUSY while the device is open, by whichever file. */
  remove(dev: PciDev): number {
    const vdev = this.devices.find((v) => v.dev === dev && !v.removed);
    if (vdev === undefined) return 0;
    if (vdev.isOpen || vdev.group.opened) return -EBUSY;
    vdev.removed = true;
    this.kernel.vfs.mkdirs("/dev/vfio/devices").remove(vdev.name);
    this.kernel.vfs.mkdirs("/dev/vfio").remove(vdev.group.name);
    this.kernel.vfs.mkdirs(`/sys/bus/pci/devices/${dev.name}`).remove("vfio-dev");
    return 0;
  }

  /** It waits for its heir, and this kernel keeps others off it. */
  #isFenced(dev: PciDev): boolean {
    return this.kernel.iommufd.waits(dev) && (!dev.held || dev.fenced);
  }

  /** The one way to a device that waits, for who picks up the iommufd it belongs to (FACTS 7.5). */
  #addHandle(dev: PciDev, vdev: VfioPciDevice): void {
    const owner = dev.held ? this.kernel.iommufd.heirOf(dev) : 0;
    if (owner === 0) return;
    const handle = () => this.kernel.iommufd.waits(dev) ? new VfioCdevFile(vdev) : -EBUSY;
    this.kernel.iommufd.heirs.handles.add(`${owner}/devices/${dev.name}`, handle);
  }

  /** Behind those of the IOMMU's groups, and of devices that are in none either. */
  #ownNumber(vdev: VfioPciDevice): number {
    const others = this.devices.filter((d) => d !== vdev && d.dev.group === undefined).length;
    return this.kernel.iommu.groups.length + others;
  }

  /** The legacy way to the device: /dev/vfio/<number of its IOMMU group>, or one of its own. */
  #addGroup(vdev: VfioPciDevice): void {
    const number = vdev.dev.group?.id ?? this.#ownNumber(vdev);
    const group = vdev.group = new VfioGroup(this.kernel, vdev.dev.group, [vdev], number);
    this.kernel.vfs.mkdirs("/dev/vfio").add(group.name, {
      kind: "file",
      mode: 0o600,
      open: (task) => this.#isFenced(vdev.dev) ? -EBUSY : openGroup(group, task),
    });
  }
}
