import { formatSize, hex, MiB, PAGE_SIZE } from "../base/units.ts";
import { formatSbdf } from "../uapi/pci_regs.ts";
import { BLOCK_SIZE } from "./fs/guestmemfs/layout.ts";
import { handedOverRange } from "./fs/guestmemfs/handover.ts";
import { guestmemfs } from "./fs/mount.ts";
import { makeProcfs } from "./fs/procfs.ts";
import { NvmeDriver } from "./drivers/nvme.ts";
import { earlyWrites } from "./early_writes.ts";
import type { Kernel } from "./kernel.ts";
import { readBootParams } from "./kho/boot_params.ts";
import { IMAGE_BASE, IMAGE_SIZE, placeImage } from "./kho/kexec.ts";
import { KvmFile } from "./kvm.ts";
import { FrameUse } from "./mm/frames.ts";
import { stopStrangers } from "./pci/keep_alive.ts";

/** Where the guests' file system is mounted. */
export const GUESTMEMFS_MOUNT = "/mnt/guestmemfs";

/**
 * `64M` as the kernel's memparse reads it, a bare number in bytes. What comes behind it is not looked
 * at (FACTS 5.1: the base in `size:base`). Undefined when it is no size.
 */
export function memparse(text: string): number | undefined {
  const m = /^(0x[0-9a-f]+|\d+)([kmgt]?)/i.exec(text);
  if (m === null) return undefined;
  return Number(m[1]) * 1024 ** " kmgt".indexOf(m[2].toLowerCase() || " ");
}

/** Boot of one kernel, in the order of a real one. Yields what each stage takes, nanoseconds. */
export function* boot(kernel: Kernel): Generator<number, void, void> {
  const { dmesg, machine } = kernel;
  const { timing } = machine.profile;
  dmesg.info(`Linux version ${kernel.image.version} (${kernel.image.name})`);
  dmesg.info(`Command line: ${kernel.cmdline}`);
  kernel.guestRange = setupMemory(kernel);
  yield timing.earlyBoot;

  for (const region of kernel.memblock.free()) kernel.pages.donate(region);
  const kept = earlyWrites(kernel.pages, machine.memory.size);
  dmesg.info(
    `Memory: ${formatSize(kernel.pages.freePages * PAGE_SIZE)} available, ` +
      `${formatSize(kept * PAGE_SIZE)} kernel`,
  );
  const most = memparse(kernel.parameter("iommu.max_tables") ?? "");
  if (most) kernel.pages.tableLimit = Math.floor(most / PAGE_SIZE);
  if (kernel.kho.enabled) kernel.kho.init();
  if (kernel.guestRange !== undefined) {
    // It has no page structures: what was handed over of it nobody can claim page by page.
    const { base, size } = kernel.guestRange;
    kernel.pages.mark(base / PAGE_SIZE, size / PAGE_SIZE, FrameUse.guestmemfs);
  }
  // The driver claims the page tables first: nothing else may take them for free memory.
  kernel.iommuDriver?.init();
  yield timing.devices;

  kernel.iommuDriver?.start();
  kernel.pci.scan();
  kernel.pci.init();
  for (const dev of kernel.pci.devices) kernel.iommu.probeDevice(dev);
  stopStrangers(kernel, kernel.pci.devices);
  kernel.iommufd.init();
  kernel.vfio.noiommu.makeFiles();
  kernel.pci.registerDriver(kernel.vfio);
  // Loaded like a module, where the command line asks for it as systemd's does.
  const modules = (kernel.parameter("modules-load") ?? "").split(",");
  if (modules.includes("nvme")) kernel.pci.registerDriver(new NvmeDriver(kernel));
  makeProcfs(kernel);
  kernel.vfs.mkdirs("/dev").add("kvm", { kind: "file", open: () => new KvmFile(kernel) });
  // The directory is there whether something is mounted on it or not.
  if (kernel.guestRange !== undefined) kernel.vfs.mkdirs(GUESTMEMFS_MOUNT);
  const fs = guestmemfs(kernel);
  if (fs !== undefined) kernel.vfs.mount(GUESTMEMFS_MOUNT, fs);
  yield timing.userspace;

  kernel.ready = true;
  dmesg.info("Run /sbin/init as init process");
}

/** memblock, KHO reservations, scratch, the guests' range: before any page is handed out. */
function setupMemory(kernel: Kernel): { base: number; size: number } | undefined {
  const { dmesg, machine, memblock, kho, image } = kernel;
  for (const r of machine.firmware.ram) memblock.memory.add(r.start, r.start + r.size);
  for (const { sid, base, size } of machine.firmware.rmrrs) {
    const dev = formatSbdf(0, sid >> 8, sid & 0xff);
    dmesg.info(`firmware reserves [mem ${hex(base)}-${hex(base + size - 1)}] for ${dev}`);
  }
  // The first megabyte belongs to firmware and the boot parameters.
  memblock.reserve(0, 1 * MiB);
  const params = readBootParams(machine.memory);
  if (kernel.number === 1) placeImage(machine.memory, image);
  memblock.reserve(params?.image ?? IMAGE_BASE, params?.imageSize ?? IMAGE_SIZE);
  if (!image.kho) return undefined;

  if (kho.enabled) kho.early(params);
  let range = handedOverRange(kernel);
  const size = memparse(kernel.parameter("guestmemfs") ?? "");
  if (range === undefined && size) {
    const base = memblock.alloc(size, BLOCK_SIZE);
    if (base < 0) dmesg.err(`guestmemfs: no room for ${formatSize(size)}`);
    else range = { base, size };
  }
  const scratch = memparse(kernel.parameter("kho_scratch") ?? "");
  if (kho.enabled && kho.scratch === undefined && scratch) {
    const start = memblock.alloc(scratch, 2 * MiB);
    if (start >= 0) kho.scratch = { start, end: start + scratch };
  }
  if (kho.scratch !== undefined) {
    const { start, end } = kho.scratch;
    kernel.pages.mark(start / PAGE_SIZE, (end - start) / PAGE_SIZE, FrameUse.scratch);
    dmesg.info(`KHO: scratch ${hex(start)} + ${formatSize(end - start)}`);
  }
  if (range !== undefined) {
    dmesg.info(`guestmemfs: ${hex(range.base)} + ${formatSize(range.size)}`);
  }
  return range;
}
