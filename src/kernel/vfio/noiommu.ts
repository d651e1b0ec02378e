import { CAP_SYS_RAWIO } from "../../uapi/capability.ts";
import { EINVAL, EPERM } from "../../uapi/errno.ts";
import { sysfsFile } from "../fs/sysfs.ts";
import type { Kernel } from "../kernel.ts";
import type { PciDev } from "../pci/pci.ts";
import type { Task } from "../process/task.ts";

/** TAINT_USER: a program may do what a kernel cannot answer for. */
const TAINT_USER = 1 << 6;
const PARAMETER = "enable_unsafe_noiommu_mode";
/**
 * VFIO's module parameter for devices that no IOMMU covers (FACTS 2.3): what such a device is told
 * to do it does, to whatever memory. `vfio.enable_unsafe_noiommu_mode=Y` on the command line, or
 * sysfs, where it holds for devices that are probed from then on.
 */
export class NoiommuMode {
  enabled: boolean;

  constructor(readonly kernel: Kernel) {
    this.enabled = kernel.isSet(`vfio.${PARAMETER}`);
  }

  makeFiles(): void {
    const file = sysfsFile({
      show: () => (this.enabled ? "Y\n" : "N\n"),
      store: (text) => {
        const value = text.trim();
        if (!/^[YyNn01]$/.test(value)) return -EINVAL;
        this.enabled = /[Yy1]/.test(value);
        return 0;
      },
    });
    this.kernel.vfs.mkdirs("/sys/module/vfio/parameters").add(PARAMETER, file);
  }

  /** A device is made available without an IOMMU. */
  registered({ name }: PciDev): void {
    this.kernel.taint |= TAINT_USER;
    this.kernel.dmesg.warn(
      `vfio-pci ${name}: Adding kernel taint for vfio-noiommu group on device`,
    );
  }
}

/** Who may open such a device: EPERM without CAP_SYS_RAWIO. */
export function mayOpenNoiommu(task: Task): number {
  return task.cred.capable(CAP_SYS_RAWIO) ? 0 : -EPERM;
}

export function warnOpened({ pci, name }: PciDev, { comm, pid }: Task): void {
  pci.kernel.dmesg.warn(
    `vfio-pci ${name}: vfio-noiommu device opened by user (${comm}:${pid})`,
  );
}
