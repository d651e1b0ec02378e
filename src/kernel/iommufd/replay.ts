import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import { GuestmemfsFile } from "../fs/guestmemfs/file.ts";
import { OpenFile } from "../fs/vfs.ts";
import type { Kernel } from "../kernel.ts";
import * as C from "./call_log.ts";
import type { IommufdCtx } from "./ctx.ts";
import { getIoas } from "./ioas.ts";
import { bindDevice, IommufdDevice, unbindDevice } from "./device.ts";

/** Stands for the device's file until its heir opens it. */
class AwaitedFile extends OpenFile {}

/**
 * Makes an iommufd again from the calls that made it. Each must succeed, and make its object
 * under the id it had: ids are what the program goes by. Devices are bound on the way, and their heir finds them so; but what
 * they were attached to between the first call and the last is nothing their DMA may see, so that
 * hardware is changed once, at the end. EINVAL where a call goes otherwise; what was made then is taken back.
 */
export function replayCalls(
  kernel: Kernel,
  ctx: IommufdCtx,
  calls: readonly C.RecordedCall[],
): number {
  ctx.replaying = true;
  const rc = replayAll(kernel, ctx, calls);
  ctx.replaying = false;
  // Taken back while hardware does not notice either.
  for (const idev of rc < 0 ? ctx.awaited : []) unbindDevice(idev);
  if (rc < 0) ctx.awaited.clear();
  const settled = kernel.iommu.groups.map((group) => group.settle(rc === 0));
  return rc < 0 ? rc : Math.min(0, ...settled);
}

function replayAll(kernel: Kernel, ctx: IommufdCtx, calls: readonly C.RecordedCall[]): number {
  const task = kernel.scheduler.newTask("kreplay");
  const files = new Map(kernel.guestmemfs?.allInodes().map((inode) => [inode.ino, inode]));
  try {
    for (const [index, call] of calls.entries()) {
      ctx.objects.want(call.made);
      const rc = call.nr < 0x100 ? replayDevice(kernel, ctx, call) : replayIoctl(kernel, ctx, call);
      ctx.objects.want(0);
      if (rc === 0) continue;
      kernel.dmesg.err(
        `iommufd: replay of call ${index} of iommufd ${ctx.persistentId} failed (${rc})`,
      );
      return -E.EINVAL;
    }
    return 0;
  } finally {
    task.exit(0);
  }

  function replayIoctl(kernel: Kernel, ctx: IommufdCtx, call: C.RecordedCall): number {
    const payload = call.payload.slice();
    switch (call.nr) {
      case U.IOMMU_IOAS_ALLOW_IOVAS:
        return allowAgain(ctx, call);
      case U.IOMMU_IOAS_COPY: {
        const cmd = U.iommu_ioas_copy.decode(payload);
        cmd.flags |= U.IOMMU_IOAS_MAP_FIXED_IOVA;
        U.iommu_ioas_copy.update(payload, cmd);
        break;
      }
      case U.IOMMU_IOAS_MAP_FILE:
        return mapAgain(kernel, ctx, call, payload);
    }
    const rc = ctx.ioctl(task, call.nr, payload);
    if (rc < 0) return rc;
    return call.made === 0 || ctx.objects.get(call.made) !== undefined ? 0 : -E.EINVAL;
  }

  /** Where it was put is where it has to go. */
  function mapAgain(
    kernel: Kernel,
    ctx: IommufdCtx,
    call: C.RecordedCall,
    payload: Uint8Array,
  ): number {
    const fs = kernel.guestmemfs;
    const inode = files.get(call.file);
    if (fs === undefined || inode === undefined) return -E.ENOENT;
    const fd = task.installFd(new GuestmemfsFile(fs, inode));
    const cmd = U.iommu_ioas_map_file.decode(payload);
    cmd.flags |= U.IOMMU_IOAS_MAP_FIXED_IOVA;
    cmd.fd = fd;
    U.iommu_ioas_map_file.update(payload, cmd);
    const rc = ctx.ioctl(task, call.nr, payload);
    task.close(fd);
    return Math.min(rc, 0);
  }
}

/** The ranges come from the log: there is no program whose memory they could be in. */
function allowAgain(ctx: IommufdCtx, { payload, data }: C.RecordedCall): number {
  const ioas = getIoas(ctx, U.iommu_ioas_allow_iovas.decode(payload).ioas_id);
  if (ioas === undefined) return -E.ENOENT;
  const ranges = C.decodeRanges(data), rc = ioas.iopt.space.allow(ranges);
  if (rc === 0) ctx.calls?.allowed(payload, ranges);
  return rc;
}

function replayDevice(
  kernel: Kernel,
  ctx: IommufdCtx,
  { nr, payload, sid, made }: C.RecordedCall,
): number {
  const { id, pt, pasid } = C.deviceOf(payload);
  if (nr === C.CALL_BIND) {
    const dev = kernel.pci.devices.find((d) => d.sid === sid);
    if (dev === undefined) return -E.ENODEV;
    const idev = bindDevice(ctx, dev, new AwaitedFile());
    if (typeof idev === "number") return idev;
    ctx.awaited.add(idev);
    if (dev.group !== undefined) dev.group.defer();
    return idev.id === id ? 0 : -E.EINVAL;
  }
  const idev = ctx.objects.get(id);
  if (!(idev instanceof IommufdDevice)) return -E.ENOENT;
  switch (nr) {
    case C.CALL_ATTACH: {
      const rc = pasid === 0 ? idev.attach(pt) : idev.attachPasid(pasid, pt);
      return rc >= 0 && made !== 0 && rc !== made ? -E.EINVAL : Math.min(rc, 0);
    }
    case C.CALL_UNBIND:
      ctx.awaited.delete(idev);
      unbindDevice(idev);
      return 0;
    default:
      return -E.EOPNOTSUPP;
  }
}
