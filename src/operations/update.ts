import * as z from "zod/mini";
import { formatTime } from "../base/units.ts";
import { EAGAIN, EBUSY, EINVAL, EIO, ENOENT } from "../uapi/errno.ts";
import { KEXEC_FILE_UNLOAD, LINUX_REBOOT_CMD_KEXEC, O_RDONLY, O_WRONLY } from "../uapi/sys.ts";
import { requestAbort } from "../platform/live_update.ts";
import type { Platform } from "../platform/platform.ts";
import type { Snapshot } from "../platform/snapshot.ts";
import { answered, OK, operation } from "./types.ts";
import { size } from "./values.ts";
import { whenUp } from "./when.ts";

const none = () => z.strictObject({});
const refers = { image: "images" } as const;

function writeActive(platform: Platform, value: "0" | "1"): number {
  const sys = platform.shell();
  const fd = sys.open("/sys/kernel/kho/active", O_WRONLY);
  return fd < 0 ? fd : sys.write(fd, new TextEncoder().encode(value));
}

function whyNoUpdate(s: Snapshot): string | null {
  if (s.update?.outcome === "running") return `a live update runs (phase ${s.update.phase})`;
  const late = s.vms.find((vm) => vm.status === "starting" || vm.status === "busy");
  return whenUp(s) ?? (late === undefined ? null : `${late.id} is still starting`);
}

function whyNoAbort(s: Snapshot): string | null {
  const { update } = s;
  if (update?.outcome !== "running") return "no live update runs";
  if (update.abortRequested) return "it is being called off";
  if (update.phase === "prepare" || update.phase === "pause") return null;
  const since = formatTime(s.time - (update.began.kexec ?? s.time));
  return `too late: the old kernel went ${since} ago (phase ${update.phase})`;
}

function whyNoKho(s: Snapshot): string | null {
  return whenUp(s) ?? (s.hasKho ? null : `${s.image} has no KHO`);
}

export const UPDATE_OPERATIONS = [
  operation({
    name: "update",
    summary: "live-update the host: prepare, pause, kexec, boot, restore, resume, finish",
    args: () =>
      z.strictObject({
        image: z.optional(z.string()).with(z.describe("kernel image to boot")),
        hold: z.optional(z.enum(["prepare", "pause"])).with(
          z.describe("stop after this phase, until update.continue or update.abort"),
        ),
      }),
    refers,
    destroys: "the running kernel, and every device and guest that is not handed over",
    unavailable: whyNoUpdate,
    *run({ platform, image }, args) {
      if (!platform.kernel.ready) return { errno: EAGAIN, detail: "no kernel is up" };
      if (platform.updating) return { errno: EBUSY, detail: "an update is running" };
      platform.startUpdate(args.image ?? image, args.hold);
      const update = platform.update;
      if (update === undefined) return { errno: EINVAL };
      yield () => update.outcome !== "running" || platform.isHeld(update);
      if (update.outcome === "running" || update.outcome === "done") return OK;
      return { errno: EINVAL, detail: `${update.outcome}: ${update.reason}` };
    },
  }),
  operation({
    name: "update.continue",
    summary: "let a held update go on to its end",
    args: none,
    destroys: "the running kernel, and every device and guest that is not handed over",
    unavailable: (s) =>
      s.update?.outcome === "running" && s.update.held ? null : "no live update is held",
    *run({ platform }) {
      const update = platform.update;
      if (update === undefined || !platform.updating) return { errno: ENOENT };
      platform.release(update);
      yield () => update.outcome !== "running";
      return update.outcome === "done" ? OK : { errno: EINVAL, detail: update.reason };
    },
  }),
  operation({
    name: "update.abort",
    summary: "call an update off before the jump: KHO deactivated, guests run on",
    args: none,
    unavailable: whyNoAbort,
    *run({ platform }) {
      const update = platform.update;
      if (!requestAbort(platform)) return { errno: ENOENT, detail: "nothing to call off" };
      yield () => update?.outcome !== "running";
      return OK;
    },
  }),
  operation({
    name: "kho.activate",
    summary: "write 1 to /sys/kernel/kho/active: serialise, and freeze what was serialised",
    args: none,
    unavailable: whyNoKho,
    // deno-lint-ignore require-yield
    *run({ platform }) {
      return answered(writeActive(platform, "1"));
    },
  }),
  operation({
    name: "kho.deactivate",
    summary: "write 0 to /sys/kernel/kho/active: abort the hand-over",
    args: none,
    unavailable: whyNoKho,
    // deno-lint-ignore require-yield
    *run({ platform }) {
      return answered(writeActive(platform, "0"));
    },
  }),
  operation({
    name: "kho.dt_max",
    summary: "write how large the tree may get to /sys/kernel/kho/dt_max",
    args: () =>
      z.strictObject({ bytes: size.with(z.describe("most bytes that the device tree may have")) }),
    unavailable: whyNoKho,
    // deno-lint-ignore require-yield
    *run({ platform }, { bytes }) {
      const sys = platform.shell();
      const fd = sys.open("/sys/kernel/kho/dt_max", O_WRONLY);
      return answered(fd < 0 ? fd : sys.write(fd, new TextEncoder().encode(String(bytes))));
    },
  }),
  operation({
    name: "kho.limit",
    summary: "leave the KHO tree less room than it needs, as activating once tells (dt_max)",
    args: () =>
      z.strictObject({
        below: z.int().with(z.minimum(1), z.describe("how many bytes less")),
      }),
    unavailable: whyNoKho,
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      const rc = writeActive(platform, "1");
      if (rc < 0) return answered(rc, "kho/active");
      const sys = platform.shell();
      const dt = sys.read(sys.open("/sys/kernel/kho/dt", O_RDONLY), 1 << 20);
      writeActive(platform, "0");
      if (typeof dt === "number") return answered(dt, "kho/dt");
      const max = sys.open("/sys/kernel/kho/dt_max", O_WRONLY);
      return answered(sys.write(max, new TextEncoder().encode(String(dt.length - args.below))));
    },
  }),
  operation({
    name: "kexec.load",
    summary: "load the next kernel (kexec_file_load)",
    args: () => z.strictObject({ image: z.optional(z.string()).with(z.describe("kernel image")) }),
    refers,
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run({ platform, image }, args) {
      return answered(platform.shell().kexecFileLoad(args.image ?? image, 0));
    },
  }),
  operation({
    name: "kexec.unload",
    summary: "unload the next kernel",
    args: none,
    unavailable: (s) => whenUp(s) ?? (s.loaded === "" ? "no next kernel is loaded" : null),
    // deno-lint-ignore require-yield
    *run({ platform }) {
      return answered(platform.shell().kexecFileLoad("", KEXEC_FILE_UNLOAD));
    },
  }),
  operation({
    name: "kexec.execute",
    summary: "jump into the loaded kernel as things stand, and wait until it runs programs",
    args: none,
    destroys: "the running kernel and every program, as they stand",
    unavailable: (s) => whenUp(s) ?? (s.loaded === "" ? "no next kernel is loaded" : null),
    *run({ platform }) {
      const before = platform.kernel;
      const rc = platform.shell().reboot(LINUX_REBOOT_CMD_KEXEC);
      if (rc < 0) return answered(rc);
      yield () => before.panicked !== undefined || (platform.kernel !== before && platform.settled);
      const panic = before.panicked ?? platform.kernel.panicked;
      if (panic !== undefined) return { errno: EIO, detail: `kernel panic: ${panic}` };
      platform.booted();
      return OK;
    },
  }),
];
