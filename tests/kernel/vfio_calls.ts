import assert from "node:assert/strict";
import { PCI_COMMAND, PCI_COMMAND_MASTER } from "../../src/uapi/pci_regs.ts";
import * as S from "../../src/uapi/sys.ts";
import * as V from "../../src/uapi/vfio.ts";
import { PERSISTED_DIR } from "../../src/userspace/vmm/config.ts";
import { openCdev } from "../../src/userspace/vmm/hardware.ts";
import { IommufdCalls } from "./iommufd_calls.ts";
import { said } from "./requests.ts";

const CONFIG = V.regionOffset(V.VFIO_PCI_CONFIG_REGION_INDEX);

/** System calls on VFIO's devices besides, by cdev and by group. */
export abstract class VfioCalls extends IommufdCalls {
  /** PCI name of a device that VFIO has. */
  abstract deviceName(index: number): string;

  /** A device's file; of one that waits for its heir, its handle gives it. */
  cdev(index = 0, sys = this.sys): number {
    const name = this.deviceName(index), ids = sys.readdir(PERSISTED_DIR);
    const has = (id: string) => {
      const names = sys.readdir(`${PERSISTED_DIR}/${id}/devices`);
      return typeof names !== "number" && names.includes(name);
    };
    const id = typeof ids === "number" ? undefined : ids.find(has);
    return openCdev(sys, name, Number(id ?? 0));
  }

  bind(cdev: number, iommufd: number, sys = this.sys) {
    const command = V.VFIO_DEVICE_BIND_IOMMUFD;
    return this.ioctl(cdev, command, V.vfio_device_bind_iommufd, { iommufd }, sys);
  }

  /** Opens and closes both devices: after their first time they keep memory decoding on. */
  warm(): void {
    const fd = this.iommufd();
    for (const index of [0, 1]) this.sys.close(this.bound(fd, index).cdev);
    this.sys.close(fd);
  }

  attach(cdev: number, pt_id: number, sys = this.sys) {
    const command = V.VFIO_DEVICE_ATTACH_IOMMUFD_PT;
    return this.ioctl(cdev, command, V.vfio_device_attach_iommufd_pt, { pt_id }, sys);
  }

  detach(cdev: number): string {
    const command = V.VFIO_DEVICE_DETACH_IOMMUFD_PT;
    return this.ioctl(cdev, command, V.vfio_device_detach_iommufd_pt, {}).rc;
  }

  /** A device bound to the iommufd: its file and its object id. */
  bound(iommufd: number, index = 0, sys = this.sys): { cdev: number; dev: number } {
    const cdev = this.cdev(index, sys);
    const { rc, out } = this.bind(cdev, iommufd, sys);
    assert.equal(rc, "ok");
    return { cdev, dev: out.out_devid };
  }

  /** Binds and attaches: the IOAS has a domain from here on. */
  attached(iommufd: number, pt: number, index = 0) {
    const device = this.bound(iommufd, index);
    const { rc, out } = this.attach(device.cdev, pt);
    assert.equal(rc, "ok");
    return { ...device, hwpt: out.pt_id };
  }

  /** Opens the group of a device. */
  group(index = 0, sys = this.sys): number {
    return sys.open(`/dev/vfio/${index}`, S.O_RDWR);
  }

  setContainer(group: number, container: number, sys = this.sys): string {
    const bytes = V.vfio_group_container.encode({ fd: container });
    return said(sys.ioctl(group, V.VFIO_GROUP_SET_CONTAINER, bytes));
  }

  /** A descriptor of the device of that name, or a negative errno. */
  deviceFd(group: number, name: string, sys = this.sys): number {
    return sys.ioctl(group, V.VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode(`${name}\0`));
  }

  /** The device opened the legacy way: its group, container and descriptor. */
  legacy(index = 0, container = this.sys.open("/dev/vfio/vfio", S.O_RDWR)) {
    const group = this.group(index);
    assert.equal(this.setContainer(group, container), "ok");
    const device = this.deviceFd(group, `0000:3${"ab"[index]}:00.0`);
    assert.ok(device >= 0, said(device));
    return { container, group, device };
  }

  /** Binds a device to a fresh iommufd and attaches it to an empty IOAS there. */
  attachedFresh(index = 0) {
    const fd = this.iommufd();
    return this.attached(fd, this.ioas(fd), index);
  }

  command(cdev: number, sys = this.sys): number {
    const bytes = sys.pread(cdev, 2, CONFIG + PCI_COMMAND);
    assert.ok(typeof bytes !== "number");
    return bytes[0] | bytes[1] << 8;
  }

  setBusMaster(cdev: number): void {
    const value = this.command(cdev) | PCI_COMMAND_MASTER;
    const bytes = Uint8Array.of(value & 0xff, value >> 8);
    assert.equal(said(this.sys.pwrite(cdev, bytes, CONFIG + PCI_COMMAND)), "ok");
  }
}
