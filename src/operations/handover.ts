import * as z from "zod/mini";
import { ENOENT } from "../uapi/errno.ts";
import { formatSbdf, parseBdf } from "../uapi/pci_regs.ts";
import { O_RDWR, O_WRONLY, type Sys } from "../uapi/sys.ts";
import * as V from "../uapi/vfio.ts";
import type { Platform } from "../platform/platform.ts";
import { spoil, SPOILS } from "../platform/corrupt.ts";
import { findDevice } from "../platform/spec.ts";
import { call } from "../userspace/calls.ts";
import { readHandle } from "../userspace/vmm/hardware.ts";
import { answered, OK, operation, type Outcome } from "./types.ts";
import { address } from "./values.ts";

const DIR = "/sys/kernel/iommufd_persisted";
const MOUNT = "/sys/fs/iommufd_persisted";
const device = z.string().with(z.describe("id of a device"));
const id = z._default(z.int().with(z.minimum(1)), 1).with(
  z.describe("persistent id of the iommufd"),
);

/** `0000:3a:00.0` of a device's id. */
function pciName(platform: Platform, device: string): string {
  const sid = parseBdf(findDevice(platform.spec, device)?.bdf ?? "") ?? 0;
  return formatSbdf(0, sid >> 8, sid & 0xff);
}

function writeOne(platform: Platform, path: string): Outcome {
  const sys = platform.shell();
  const fd = sys.open(path, O_WRONLY);
  return answered(fd < 0 ? fd : sys.write(fd, new TextEncoder().encode("1")), path);
}

/** BIND with an iommufd of the caller's own. */
function bind(sys: Sys, cdev: number, iommufd: number): Outcome {
  const { VFIO_DEVICE_BIND_IOMMUFD: BIND, vfio_device_bind_iommufd } = V;
  const reply = call(sys, cdev, BIND, vfio_device_bind_iommufd, { iommufd });
  return answered(typeof reply === "number" ? reply : 0, "VFIO_DEVICE_BIND_IOMMUFD");
}

export const HANDOVER_OPERATIONS = [
  operation({
    name: "corrupt",
    summary:
      "at the next jump, spoil one entry of the tables a device walks, behind everybody's back",
    args: () =>
      z.strictObject({
        device,
        iova: address.with(z.describe("an IOVA that the entry leads to")),
        what: z.enum(SPOILS).with(z.describe("what of it is wrong then")),
      }),
    refers: { device: "devices" },
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      const name = pciName(platform, args.device);
      platform.atNextJump((kernel) => {
        const done = spoil(kernel, name, args.iova, args.what);
        platform.note(`corrupt: ${args.what} of ${args.device}${done ? "" : ": nothing there"}`);
      });
      return OK;
    },
  }),
  operation({
    name: "persisted.open",
    summary: "open a handed-over device as any program would: /dev/vfio/devices, or its group",
    args: () =>
      z.strictObject({
        device,
        by: z._default(z.enum(["cdev", "group", "handle"]), "cdev").with(
          z.describe("handle: the one in sysfs, then BIND with an iommufd of one's own"),
        ),
        id,
      }),
    refers: { device: "devices" },
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      const sys = platform.shell();
      const name = pciName(platform, args.device);
      if (args.by === "handle") {
        const cdev = readHandle(sys, `${DIR}/${args.id}/devices/${name}`);
        const outcome = cdev < 0 ? answered(cdev) : bind(sys, cdev, sys.open("/dev/iommu", O_RDWR));
        if (cdev >= 0) sys.close(cdev);
        return outcome;
      }
      const names = sys.readdir(`/sys/bus/pci/devices/${name}/vfio-dev`);
      if (typeof names === "number") return answered(names);
      const group = platform.kernel.pci.find(name)?.group?.id;
      const path = args.by === "cdev" ? `/dev/vfio/devices/${names[0]}` : `/dev/vfio/${group}`;
      const fd = sys.open(path, O_RDWR);
      if (fd >= 0) sys.close(fd);
      return answered(fd, path);
    },
  }),
  operation({
    name: "persisted.finish",
    summary: "say that a handed-over iommufd has everything of its own",
    args: () => z.strictObject({ id }),
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      return writeOne(platform, `${DIR}/${args.id}/finish`);
    },
  }),
  operation({
    name: "persisted.discard",
    summary: "give a handed-over iommufd up: its devices are blocked, reset, and anybody's",
    args: () =>
      z.strictObject({
        id,
        vm: z.optional(z.string()).with(
          z.describe("the VM it was for: nothing is promised to it any more"),
        ),
      }),
    refers: { vm: "vms" },
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      if (args.vm !== undefined) platform.forgetVm(args.vm);
      return writeOne(platform, `${DIR}/${args.id}/discard`);
    },
  }),
  operation({
    name: "persisted.mount",
    summary: "mount the file system of handles, and open one: a descriptor without sysfs",
    args: () => z.strictObject({ id }),
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      const sys = platform.shell();
      const rc = sys.mount("iommufd_persisted", MOUNT, "");
      if (rc < 0) return answered(rc, "mount");
      const fd = sys.open(`${MOUNT}/${args.id}/iommufd`, O_RDWR);
      if (fd < 0) return answered(fd, "open");
      // Its process is done: the handle waits for the next one.
      return sys.close(fd) < 0 ? { errno: ENOENT } : OK;
    },
  }),
];
