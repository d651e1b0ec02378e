import { PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import * as R from "../../uapi/pci_regs.ts";
import * as U from "../../uapi/vfio.ts";
import type { Backing } from "../process/address_space.ts";
import type { OpenFile } from "../fs/vfs.ts";
import { take } from "./request.ts";
import type { VfioPciDevice } from "./vfio_pci.ts";

const RW = U.VFIO_REGION_INFO_FLAG_READ | U.VFIO_REGION_INFO_FLAG_WRITE;
const SPAN = 2 ** U.VFIO_PCI_OFFSET_SHIFT;

/**
 * VFIO_DEVICE_GET_REGION_INFO: six BARs, ROM, configuration space. EINVAL for a smaller argsz, an
 * index that is not there, and VGA, which only a display has.
 */
export function regionInfo(vdev: VfioPciDevice, payload: Uint8Array): number {
  const cmd = take(U.vfio_region_info, payload, U.vfio_region_info.size);
  if (typeof cmd === "number") return cmd;
  if (cmd.index >= U.VFIO_PCI_VGA_REGION_INDEX) return -E.EINVAL;
  cmd.offset = BigInt(U.regionOffset(cmd.index));
  cmd.size = BigInt(sizeOf(vdev, cmd.index));
  cmd.flags = cmd.size === 0n ? 0 : RW;
  if (cmd.index === U.VFIO_PCI_BAR0_REGION_INDEX) cmd.flags |= U.VFIO_REGION_INFO_FLAG_MMAP;
  U.vfio_region_info.update(payload, cmd);
  return 0;
}

function sizeOf(vdev: VfioPciDevice, index: number): number {
  if (index === U.VFIO_PCI_BAR0_REGION_INDEX) return vdev.dev.bar0Size;
  return index === U.VFIO_PCI_CONFIG_REGION_INDEX ? vdev.config.size : 0;
}

/**
 * Bytes of a region at a file offset. Of BAR 0 as many as there are before its end, EIO with memory
 * decoding off; of configuration space all of them, or EFAULT. EINVAL behind the end of a BAR, and
 * where there is no region.
 */
export function readRegion(vdev: VfioPciDevice, at: number, length: number): Uint8Array | number {
  const index = Math.floor(at / SPAN), offset = at - index * SPAN;
  if (index < 0 || index >= U.VFIO_PCI_NUM_REGIONS) return -E.EINVAL;
  if (length === 0) return new Uint8Array(0);
  if (index === U.VFIO_PCI_CONFIG_REGION_INDEX) return vdev.config.read(offset, length);
  const count = barBytes(vdev, index, offset, length);
  if (count < 0) return count;
  const bytes = new Uint8Array(count);
  const { bus } = vdev.kernel.machine, bar = vdev.dev.bar0;
  let word = 0;
  for (let done = 0; done < count; done++) {
    const at = offset + done;
    // A register is read once, whatever part of it is wanted.
    if (done === 0 || at % 4 === 0) word = bus.read32(bar + at - at % 4);
    bytes[done] = word >>> (8 * (at % 4));
  }
  return bytes;
}

/** The same for a write. Registers take whole words; what fills none reaches no register. */
export function writeRegion(vdev: VfioPciDevice, at: number, bytes: Uint8Array): number {
  const index = Math.floor(at / SPAN), offset = at - index * SPAN;
  if (index < 0 || index >= U.VFIO_PCI_NUM_REGIONS) return -E.EINVAL;
  if (bytes.length === 0) return 0;
  if (index === U.VFIO_PCI_CONFIG_REGION_INDEX) return vdev.config.write(offset, bytes);
  const count = barBytes(vdev, index, offset, bytes.length);
  if (count < 0) return count;
  const { bus } = vdev.kernel.machine, bar = vdev.dev.bar0;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let done = (4 - offset % 4) % 4; done + 4 <= count; done += 4) {
    bus.write32(bar + offset + done, view.getUint32(done, true));
  }
  return count;
}

/** How many bytes of BAR 0 an access gets to. */
function barBytes(vdev: VfioPciDevice, index: number, offset: number, length: number): number {
  if (index !== U.VFIO_PCI_BAR0_REGION_INDEX || offset >= vdev.dev.bar0Size) return -E.EINVAL;
  if ((vdev.dev.read(R.PCI_COMMAND, 2) & R.PCI_COMMAND_MEMORY) === 0) return -E.EIO;
  return Math.min(length, vdev.dev.bar0Size - offset);
}

/** BAR 0, shared; EINVAL for anything else and beyond its last page. */
export function mapRegion(
  vdev: VfioPciDevice,
  file: OpenFile,
  at: number,
  length: number,
  shared: boolean,
): Backing | number {
  const end = Math.ceil(vdev.dev.bar0Size / PAGE_SIZE) * PAGE_SIZE;
  if (!shared || at + length > U.regionOffset(U.VFIO_PCI_BAR0_REGION_INDEX) + end) return -E.EINVAL;
  return { kind: "io", io: vdev.dev.bar0, file, pageAt: () => -1 };
}
