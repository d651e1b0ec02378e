import type { Fdt, FdtWriter } from "../../fdt/mod.ts";
import * as U from "../../uapi/iommufd.ts";
import { GuestmemfsFile } from "../fs/guestmemfs/file.ts";
import type { Task } from "../process/task.ts";
import { readNumber } from "../kho/abi.ts";
import { type Entry, fold, type Range } from "./call_fold.ts";
import type { IovaRange } from "./iova_space.ts";

/** What a recorded entry says beside the calls of /dev/iommu themselves: a device came, or moved. */
export const CALL_BIND = 1;
export const CALL_ATTACH = 2;
/** A device has gone that a HWPT was made for. */
export const CALL_UNBIND = 4;

/** One call that succeeded, with the reply in its structure. */
export interface RecordedCall {
  /** An ioctl of /dev/iommu, or CALL_*. */
  readonly nr: number;
  /** The structure as it was left; of CALL_*, three 32-bit numbers: object id, HWPT or IOAS, PASID. */
  readonly payload: Uint8Array;
  /** Object that it made; of a device's attachment the automatic HWPT, made or found. 0: none. */
  readonly made: number;
  /** Inode of the file that was mapped; 0: none. */
  readonly file: number;
  /** Source id of the device; 0: none. */
  readonly sid: number;
  /** What a pointer in the structure led to: the ranges of ALLOW_IOVAS. */
  readonly data: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/** Ranges as ALLOW_IOVAS has them in memory. */
export function encodeRanges(ranges: readonly IovaRange[]): Uint8Array {
  const { size } = U.iommu_iova_range;
  const bytes = new Uint8Array(ranges.length * size);
  ranges.forEach((range, i) => bytes.set(U.iommu_iova_range.encode(range), i * size));
  return bytes;
}

export function decodeRanges(bytes: Uint8Array): IovaRange[] {
  const { size } = U.iommu_iova_range;
  return Array.from(
    { length: bytes.length / size },
    (_, i) => U.iommu_iova_range.decode(bytes.subarray(i * size, (i + 1) * size)),
  );
}

/**
 * The calls that made a persistent iommufd what it is, in order (seed lines 2373-2379). What is undone
 * is dropped with what undid it, see {@link fold}; of settings, and of where a device is, the last one
 * counts. So it is as long as what there is to make again.
 */
export class CallLog {
  #entries: Entry[] = [];

  /** `exists`: an object of that id is there now. */
  constructor(readonly exists: (id: number) => boolean) {}

  get calls(): readonly RecordedCall[] {
    return this.#entries;
  }

  /** A call of /dev/iommu that has succeeded, as it was made and as it was left. What only asks is not written down. */
  record(task: Task, nr: number, asked: Uint8Array, payload: Uint8Array): void {
    const call = { nr, payload: payload.slice(), made: 0, file: 0, sid: 0, data: NOTHING };
    switch (nr) {
      case U.IOMMU_IOAS_ALLOC:
        return this.#make({ ...call, made: U.iommu_ioas_alloc.decode(payload).out_ioas_id });
      case U.IOMMU_HWPT_ALLOC: {
        const { dev_id, pt_id, out_hwpt_id } = U.iommu_hwpt_alloc.decode(payload);
        return this.#make({ ...call, made: out_hwpt_id, needs: [dev_id, pt_id] });
      }
      case U.IOMMU_IOAS_MAP_FILE: {
        const cmd = U.iommu_ioas_map_file.decode(payload), mapped = task.file(cmd.fd);
        const file = mapped instanceof GuestmemfsFile ? mapped.inode.ino : 0;
        const maps = rangeOf(cmd.ioas_id, cmd.iova, cmd.length);
        return void this.#entries.push({ ...call, file, maps });
      }
      case U.IOMMU_IOAS_COPY: {
        const cmd = U.iommu_ioas_copy.decode(payload);
        const maps = rangeOf(cmd.dst_ioas_id, cmd.dst_iova, cmd.length);
        const copies = rangeOf(cmd.src_ioas_id, cmd.src_iova, cmd.length);
        return void this.#entries.push({ ...call, maps, copies });
      }
      case U.IOMMU_IOAS_UNMAP: {
        const { ioas_id, iova, length } = U.iommu_ioas_unmap.decode(asked);
        const all = iova === 0n && length === U.U64_MAX;
        const unmaps = all
          ? { ioas: ioas_id, start: 0n, last: U.U64_MAX }
          : rangeOf(ioas_id, iova, length);
        return this.#undo({ ...call, payload: asked, unmaps });
      }
      case U.IOMMU_DESTROY:
        return this.#undo({ ...call, ends: U.iommu_destroy.decode(payload).id });
      case U.IOMMU_OPTION: {
        const { option_id, op, object_id } = U.iommu_option.decode(payload);
        if (op !== U.IOMMU_OPTION_OP_SET) return;
        // How memory is mapped depends on it: what was mapped before was so by the setting of then.
        const lasts = option_id === U.IOMMU_OPTION_PAGE_LIMIT;
        return this.#set({ ...call, object: object_id }, 8, lasts);
      }
      case U.IOMMU_HWPT_SET_DIRTY_TRACKING: {
        const { hwpt_id } = U.iommu_hwpt_set_dirty_tracking.decode(payload);
        return this.#set({ ...call, object: hwpt_id }, 0, true);
      }
      case U.IOMMU_VFIO_IOAS: {
        const { op, ioas_id } = U.iommu_vfio_ioas.decode(payload);
        if (op === U.IOMMU_VFIO_IOAS_GET) return;
        // One of them stands for a container, or none does, as at first.
        this.#entries = this.#entries.filter((entry) => entry.nr !== nr);
        if (op === U.IOMMU_VFIO_IOAS_SET) this.#entries.push({ ...call, object: ioas_id });
        return;
      }
    }
  }

  /** ALLOW_IOVAS, with the ranges that its pointer led to. */
  allowed(payload: Uint8Array, ranges: readonly IovaRange[]): void {
    const { ioas_id } = U.iommu_ioas_allow_iovas.decode(payload);
    const call = {
      nr: U.IOMMU_IOAS_ALLOW_IOVAS,
      payload: payload.slice(),
      made: 0,
      file: 0,
      sid: 0,
    };
    this.#set({ ...call, data: encodeRanges(ranges), object: ioas_id }, 0, true);
  }

  /** An IOAS that was made for a container, not by a call. */
  madeIoas(id: number): void {
    const payload = U.iommu_ioas_alloc.encode({ size: U.iommu_ioas_alloc.size, out_ioas_id: id });
    const call = { nr: U.IOMMU_IOAS_ALLOC, payload, made: id, file: 0, sid: 0, data: NOTHING };
    this.#make(call);
  }

  bound(sid: number, dev: number): void {
    this.#make({ ...deviceCall(CALL_BIND, sid, dev), made: dev });
  }

  /**
   * The device is on other tables now. `pt`: the HWPT that was asked for, or the IOAS of an automatic
   * one, which is `made`.
   */
  attached(sid: number, dev: number, pasid: number, pt: number, made: number): void {
    const call = deviceCall(CALL_ATTACH, sid, dev, pt, pasid);
    const there = this.#attachment(dev, pasid), old = this.#entries[there];
    if (old?.made === made && old.payload.every((byte, i) => byte === call.payload[i])) return;
    if (there >= 0) this.#entries.splice(there, 1);
    this.#entries.push({ ...call, made, object: dev, needs: [pt] });
    this.#dropDead();
  }

  detached(dev: number, pasid: number): void {
    const there = this.#attachment(dev, pasid);
    if (there >= 0) this.#entries.splice(there, 1);
    this.#dropDead();
  }

  unbound(sid: number, dev: number): void {
    this.#undo({ ...deviceCall(CALL_UNBIND, sid, dev), ends: dev });
  }

  /** Where the log says where a device is, under the id it has now. */
  #attachment(dev: number, pasid: number): number {
    return this.#entries.findLastIndex(({ nr, object, payload }) =>
      nr === CALL_ATTACH && object === dev && deviceOf(payload).pasid === pasid
    );
  }

  #make(entry: Entry): void {
    this.#entries.push(entry);
  }

  #undo(entry: Entry): void {
    this.#entries.push(entry);
    fold(this.#entries);
    this.#dropDead();
  }

  /**
   * A setting, in the place of the one before. `key`: bytes at the beginning of the structure, behind
   * its size, by which settings of one call are told apart. `lasts`: it does not matter when it is made.
   */
  #set(entry: Entry, key: number, lasts: boolean): void {
    const same = (other: Entry) =>
      other.nr === entry.nr && other.object === entry.object &&
      other.payload.subarray(4, 4 + key).every((byte, i) => byte === entry.payload[4 + i]);
    const at = this.#entries.findLastIndex(same);
    const between = this.#entries.slice(at + 1).some((e) => e.maps !== undefined || e.made !== 0);
    if (at >= 0 && (lasts || !between)) this.#entries.splice(at, 1);
    this.#entries.push(entry);
  }

  /** An automatic HWPT goes with its last device, and no call says so. */
  #dropDead(): void {
    this.#entries = this.#entries.filter(({ nr, object }) =>
      nr === CALL_ATTACH || nr === CALL_BIND || object === undefined || object === 0 ||
      this.exists(object)
    );
  }

  /** Writes `calls`, one node each. */
  serialise(fdt: FdtWriter): number {
    let err = fdt.beginNode("calls");
    this.#entries.forEach(({ nr, payload, made, file, sid, data }, index) => {
      err |= fdt.beginNode(String(index));
      err |= fdt.propU32("nr", nr);
      err |= fdt.property("payload", payload);
      if (made !== 0) err |= fdt.propU32("made", made);
      if (file !== 0) err |= fdt.propU64("file-handle", file);
      if (sid !== 0) err |= fdt.propU32("sid", sid);
      if (data.length > 0) err |= fdt.property("data", data);
      err |= fdt.endNode();
    });
    return err | fdt.endNode();
  }
}

function rangeOf(ioas: number, start: bigint, length: bigint): Range {
  return { ioas, start, last: start + length - 1n };
}

function deviceCall(nr: number, sid: number, id: number, pt = 0, pasid = 0) {
  const payload = new Uint8Array(12);
  const view = new DataView(payload.buffer);
  [id, pt, pasid].forEach((value, i) => view.setUint32(i * 4, value, true));
  return { nr, payload, made: 0, file: 0, sid, data: NOTHING };
}

/** What the payload of a CALL_* says. */
export function deviceOf(payload: Uint8Array): { id: number; pt: number; pasid: number } {
  const view = new DataView(payload.buffer, payload.byteOffset);
  const [id, pt, pasid] = [0, 4, 8].map((at) => view.getUint32(at, true));
  return { id, pt, pasid };
}

/** The calls below the node of an iommufd. */
export function readCalls(fdt: Fdt, iommufd: number): RecordedCall[] {
  const list = iommufd < 0 ? -1 : fdt.subnode(iommufd, "calls");
  return (list < 0 ? [] : [...fdt.subnodes(list)]).map((node) => ({
    nr: readNumber(fdt, node, "nr") ?? 0,
    payload: fdt.getprop(node, "payload") ?? NOTHING,
    made: readNumber(fdt, node, "made") ?? 0,
    file: readNumber(fdt, node, "file-handle") ?? 0,
    sid: readNumber(fdt, node, "sid") ?? 0,
    data: fdt.getprop(node, "data") ?? NOTHING,
  }));
}
