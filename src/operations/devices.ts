import * as z from "zod/mini";
import { EBADF, EBUSY, ENODEV } from "../uapi/errno.ts";
import { formatSbdf, parseBdf, PCI_COMMAND, PCI_COMMAND_MASTER } from "../uapi/pci_regs.ts";
import { VFIO_DEVICE_RESET, VFIO_PCI_CONFIG_REGION_INDEX } from "../uapi/vfio.ts";
import type { Snapshot } from "../platform/snapshot.ts";
import { giveTo } from "../userspace/paravisor/rebind.ts";
import { openCdev } from "../userspace/vmm/hardware.ts";
import { vfioAttach, vfioBind, vfioDetach, vfioRegion } from "../userspace/calls.ts";
import {
  answered,
  attempt,
  descriptorOf,
  OK,
  type OpenDescriptor,
  operation,
  type Outcome,
  type Session,
} from "./types.ts";
import { whole } from "./values.ts";
import { whenUp } from "./when.ts";

const device = z.string().with(z.describe("id of a device"));
const refers = { device: "devices" } as const;
const one = () => z.strictObject({ device });

const thereAre = (s: Snapshot) => s.devices.length > 0 ? null : "there is no device";

/** `0000:3a:00.0`: a device of the machine by its name in sysfs. */
function sysfsName({ platform }: Session, id: string): string {
  const sid = parseBdf(platform.spec.machine.devices.find((d) => d.id === id)?.bdf ?? "") ?? 0;
  return formatSbdf(0, sid >> 8, sid & 0xff);
}

/** Runs on a device that a step has bound; EBADF where none has. */
function onBound(
  session: Session,
  id: string,
  run: (d: OpenDescriptor, cdev: number) => Outcome,
): Outcome {
  for (const d of session.descriptors.values()) {
    const cdev = d.devices.get(id);
    if (cdev !== undefined && d.boot === session.platform.boots) return run(d, cdev);
  }
  return { errno: EBADF, detail: `no step has bound ${id}` };
}

/** Opens a device's character device, which sysfs names, and binds it to the iommufd. */
function bind(session: Session, d: OpenDescriptor, id: string): Outcome {
  return attempt(() => {
    const cdev = openCdev(d.sys, sysfsName(session, id), d.persistentId);
    const outcome = attempt(() => {
      const object = vfioBind(d.sys, cdev, d.fd);
      d.devices.set(id, cdev);
      return { ...OK, output: `object ${object}` };
    });
    if (outcome.errno !== 0) d.sys.close(cdev);
    return outcome;
  });
}

/** Puts a function into its slot or takes it out; the machine does it, no kernel is asked. */
function present({ platform }: Session, id: string, wanted: boolean): Outcome {
  const { machine, spec } = platform;
  const fn = spec.machine.devices.findIndex((d) => d.id === id);
  if (fn < 0) return { errno: ENODEV };
  if (machine.isPlugged(fn) === wanted) {
    return { errno: EBUSY, detail: `${id} is ${wanted ? "in" : "out of"} its slot already` };
  }
  if (wanted) machine.plug(fn);
  else machine.unplug(fn);
  return OK;
}

export const DEVICE_OPERATIONS = [
  operation({
    name: "device.driver",
    summary: "take a device from its driver and give it to another (driver_override)",
    args: () => z.strictObject({ device, driver: z.string().with(z.describe("vfio-pci, nvme")) }),
    refers,
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run(session, args) {
      const name = sysfsName(session, args.device);
      return answered(giveTo(session.platform.shell(), name, args.driver));
    },
  }),
  operation({
    name: "device.bind",
    summary: "open a device and bind it to an iommufd (VFIO_DEVICE_BIND_IOMMUFD)",
    args: () =>
      z.strictObject({ device, fd: z.string().with(z.describe("name of an open iommufd")) }),
    refers,
    suggests: { fd: "descriptors" },
    unavailable: (s) => whenUp(s) ?? thereAre(s),
    // deno-lint-ignore require-yield
    *run(session, args) {
      const d = descriptorOf(session, args.fd);
      return "errno" in d ? d : bind(session, d, args.device);
    },
  }),
  operation({
    name: "device.attach",
    summary: "attach a bound device to an IOAS or HWPT (VFIO_DEVICE_ATTACH_IOMMUFD_PT)",
    args: () =>
      z.strictObject({
        device,
        to: z.optional(
          whole.with(z.describe("id of the IOAS or HWPT; the first IOAS when left out")),
        ),
      }),
    refers,
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return onBound(session, args.device, (d, cdev) =>
        attempt(() => {
          const hwpt = vfioAttach(d.sys, cdev, args.to ?? d.ioas);
          return { ...OK, output: `HWPT ${hwpt}` };
        }));
    },
  }),
  operation({
    name: "device.detach",
    summary: "detach a bound device (VFIO_DEVICE_DETACH_IOMMUFD_PT): its domain blocks then",
    args: one,
    refers,
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return onBound(session, args.device, (d, cdev) => answered(vfioDetach(d.sys, cdev)));
    },
  }),
  operation({
    name: "device.master",
    summary: "turn bus mastering of a bound device on or off",
    args: () => z.strictObject({ device, on: z.boolean().with(z.describe("on, or off")) }),
    refers,
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return onBound(session, args.device, ({ sys }, cdev) =>
        attempt(() => {
          const at = vfioRegion(sys, cdev, VFIO_PCI_CONFIG_REGION_INDEX).offset + PCI_COMMAND;
          const now = sys.pread(cdev, 2, at);
          if (typeof now === "number") return answered(now);
          const low = args.on ? now[0] | PCI_COMMAND_MASTER : now[0] & ~PCI_COMMAND_MASTER;
          return answered(sys.pwrite(cdev, Uint8Array.of(low, now[1]), at));
        }));
    },
  }),
  operation({
    name: "device.reset",
    summary: "reset a bound device (VFIO_DEVICE_RESET)",
    args: one,
    refers,
    destroys: "what the device was doing",
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return onBound(
        session,
        args.device,
        ({ sys }, cdev) => answered(sys.ioctlValue(cdev, VFIO_DEVICE_RESET, 0)),
      );
    },
  }),
  operation({
    name: "device.close",
    summary: "close a bound device: it is reset, and its group is given back",
    args: one,
    refers,
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return onBound(session, args.device, (d, cdev) => {
        d.devices.delete(args.device);
        return answered(d.sys.close(cdev));
      });
    },
  }),
  operation({
    name: "device.unplug",
    summary: "pull a device out of its slot: no driver is told, it just answers no more",
    args: one,
    refers,
    destroys: "what the device was doing, and its state",
    unavailable: thereAre,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return present(session, args.device, false);
    },
  }),
  operation({
    name: "device.plug",
    summary: "put a device back into its slot, as after power-on; the next boot finds it",
    args: one,
    refers,
    unavailable: (s) => s.devices.some((d) => !d.present) ? null : "every device is in its slot",
    // deno-lint-ignore require-yield
    *run(session, args) {
      return present(session, args.device, true);
    },
  }),
];
