import type { Fdt, FdtWriter } from "../../fdt/mod.ts";
import * as U from "../../uapi/iommufd.ts";
import { GuestmemfsFile } from "../fs/guestmemfs/file.ts";
import type { Task } from "../process/task.ts";
import { readNumber } from "../kho/abi.ts";

/** Calls that leave something behind. What only asks, or takes pointers of a process, is not among them. */
const RECORDED: readonly number[] = [
  U.IOMMU_DESTROY,
  U.IOMMU_IOAS_ALLOC,
  U.IOMMU_IOAS_MAP_FILE,
  U.IOMMU_IOAS_COPY,
  U.IOMMU_IOAS_UNMAP,
  U.IOMMU_OPTION,
  U.IOMMU_HWPT_ALLOC,
  U.IOMMU_HWPT_SET_DIRTY_TRACKING,
];

/** What a recorded entry says beside the calls of /dev/iommu themselves: a device came, or moved. */
export const CALL_BIND = 1;
export const CALL_ATTACH = 2;
export const CALL_DETACH = 3;
export const CALL_UNBIND = 4;

/** One call that succeeded, with the reply in its structure. */
export interface RecordedCall {
  /** An ioctl of /dev/iommu, or CALL_*. */
  readonly nr: number;
  /** The structure as it was left; of CALL_*, three 32-bit numbers: object id, HWPT or IOAS, PASID. */
  readonly payload: Uint8Array;
  /** Inode of the file that was mapped; 0: none. */
  readonly file: number;
  /** Source id of the device; 0: none. */
  readonly sid: number;
}

/**
 * Every call that made a persistent iommufd what it is, in order (seed lines 2373-2379). It only
 * grows: what was undone stays in it, with what undid it.
 */
export class CallLog {
  readonly calls: RecordedCall[] = [];

  /** A call of /dev/iommu that has succeeded; of a mapping, what is behind the descriptor as well. */
  record(task: Task, nr: number, payload: Uint8Array): void {
    if (!RECORDED.includes(nr)) return;
    const mapped = nr === U.IOMMU_IOAS_MAP_FILE
      ? task.file(U.iommu_ioas_map_file.decode(payload).fd)
      : undefined;
    const file = mapped instanceof GuestmemfsFile ? mapped.inode.ino : 0;
    this.calls.push({ nr, payload: payload.slice(), file, sid: 0 });
  }

  device(nr: number, sid: number, id: number, pt = 0, pasid = 0): void {
    const payload = new Uint8Array(12);
    const view = new DataView(payload.buffer);
    [id, pt, pasid].forEach((value, i) => view.setUint32(i * 4, value, true));
    this.calls.push({ nr, payload, file: 0, sid });
  }

  /** Writes `calls`, one node each. */
  serialise(fdt: FdtWriter): number {
    let err = fdt.beginNode("calls");
    this.calls.forEach(({ nr, payload, file, sid }, index) => {
      err |= fdt.beginNode(String(index));
      err |= fdt.propU32("nr", nr);
      err |= fdt.property("payload", payload);
      if (file !== 0) err |= fdt.propU64("file-handle", file);
      if (sid !== 0) err |= fdt.propU32("sid", sid);
      err |= fdt.endNode();
    });
    return err | fdt.endNode();
  }
}

/** The calls below the node of an iommufd. */
export function readCalls(fdt: Fdt, iommufd: number): RecordedCall[] {
  const list = iommufd < 0 ? -1 : fdt.subnode(iommufd, "calls");
  return (list < 0 ? [] : [...fdt.subnodes(list)]).map((node) => ({
    nr: readNumber(fdt, node, "nr") ?? 0,
    payload: fdt.getprop(node, "payload") ?? new Uint8Array(0),
    file: readNumber(fdt, node, "file-handle") ?? 0,
    sid: readNumber(fdt, node, "sid") ?? 0,
  }));
}
