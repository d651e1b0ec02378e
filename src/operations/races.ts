import * as z from "zod/mini";
import { EINVAL, ENODEV } from "../uapi/errno.ts";
import type { Program } from "../uapi/sys.ts";
import { dumpRace, mapRace, markRace, pickUpRace } from "../userspace/races.ts";
import { OK, operation, type Session } from "./types.ts";

const tries = z._default(z.int().with(z.minimum(1), z.maximum(10000)), 100).with(
  z.describe("how often it is tried"),
);

/** Path of a device's VFIO file. */
function cdevOf({ platform }: Session, id: string): string | undefined {
  const spec = platform.spec.machine.devices.find((d) => d.id === id);
  const names = platform.shell().readdir(`/sys/bus/pci/devices/0000:${spec?.bdf}/vfio-dev`);
  return typeof names === "number" ? undefined : `/dev/vfio/devices/${names[0]}`;
}

export const RACE_OPERATIONS = [
  operation({
    name: "race",
    summary: "run a program whose threads get in each other's way in the middle of a call",
    args: () =>
      z.strictObject({
        what: z.enum(["map", "mark", "dump", "pickup"]).with(
          z.describe(
            "map: memory is swapped under IOAS_MAP; mark: an iommufd is used while it is marked; " +
              "dump: one is closed while KHO is activated; pickup: descriptors are called that are being made",
          ),
        ),
        device: z.optional(z.string()).with(z.describe("device to map for (map, mark)")),
        file: z.optional(z.string()).with(z.describe("guestmemfs file to map (map)")),
        tries,
      }),
    refers: { device: "devices" },
    *run(session, { what, device, file, tries }) {
      const { platform } = session;
      const cdev = device === undefined ? "" : cdevOf(session, device);
      if (cdev === undefined) return { errno: ENODEV, detail: `no VFIO file of ${device}` };
      const program: Program = what === "map"
        ? mapRace(cdev, `/mnt/guestmemfs/${file ?? ""}`, tries)
        : what === "mark"
        ? markRace(cdev, tries)
        : what === "dump"
        ? dumpRace(tries)
        : pickUpRace(3);
      const task = platform.kernel.spawn(`race-${what}`, program);
      yield () => task.status === "done" || task.exitStatus !== undefined;
      if (task.exitStatus === undefined) return OK;
      return { errno: EINVAL, detail: `it ended with status ${task.exitStatus}` };
    },
  }),
];
