/** A device passed through to a guest. */
export interface VmDevice {
  /** `0000:3a:00.0`: the name in sysfs. */
  readonly name: string;
  readonly model: "nic" | "nvme";
  /** Descriptors of a NIC's receive ring. */
  readonly ringEntries: number;
  /** The PASID under which the guest is to use the device; undefined: none. */
  readonly pasid: number | undefined;
}

/** What guest RAM that is to persist can be in. */
export const RAM_FILES = ["guestmemfs", "memfd"] as const;
export type RamFile = typeof RAM_FILES[number];

/** What a VMM is started with. */
export interface VmConfig {
  readonly name: string;
  /** Tells guests apart in what they write: any 32-bit number. */
  readonly guestId: number;
  /** Bytes of guest RAM, a multiple of 2 MiB. */
  readonly memory: number;
  /** The guest's devices are to go on through a kexec of the host. */
  readonly persistent: boolean;
  readonly devices: readonly VmDevice[];
  /** Where its RAM is to begin; undefined: the first of {@link RAM_BASES} that does. */
  readonly ramBase?: number | undefined;
  /** False: its memory is mapped for devices in pages of 4 KiB. */
  readonly hugePages?: boolean;
  /**
   * Bytes of its RAM that its devices can reach at a time, a multiple of 2 MiB: they ask for the rest as
   * they need it. Undefined: all of it.
   */
  readonly resident?: number | undefined;
  /** The guest is to have a virtual IOMMU, if the host's can nest its tables. */
  readonly guestIommu?: boolean;
  /** What its RAM is in where it is persistent; guestmemfs unless told. */
  readonly backing?: RamFile;
}

/** Where the guests' memory files are. */
export const MEMORY_DIR = "/mnt/guestmemfs";
/** Where a kernel shows what its predecessor handed over of iommufds. */
export const PERSISTED_DIR = "/sys/kernel/iommufd_persisted";
/**
 * Where guest RAM begins, which is its IOVA as well: at 0 as in a PC, or, where the IOMMU keeps
 * IOVAs down there for itself (the SMMU's window for interrupts at 128 MiB), at 1 GiB as on QEMU's
 * virt board. It ends below the BAR windows; a guest that has no room there begins above them.
 */
export const RAM_BASES = [0, 0x40000000, 0x100000000] as const;
/** Guest-physical address of the first BAR window; each device gets 1 MiB. */
export const BAR_WINDOW = 0xc0000000;
export const BAR_STRIDE = 0x100000;
export const BAR_WINDOW_END = 0x100000000;

/** How long the guest runs between two looks at the monitor socket, nanoseconds. */
export const SLICE = 250_000;

/** Statuses a VMM tells its manager, in the order of a live update. */
export type VmStatus =
  | "starting"
  | "running"
  | "prepared"
  /** It could not do what it was told, and goes on as before. */
  | "refused"
  | "paused"
  | "restored"
  /** Its address space is all there again: nothing is left of the previous kernel's. */
  | "whole"
  | "failed";

/** What a VMM saves for the one that comes after it. */
export interface SavedState {
  readonly version: 1;
  readonly name: string;
  readonly persistentId: number;
  readonly ioas: number;
  /** HWPT each device was attached to. */
  readonly hwpts: readonly number[];
  /** HWPT of each device's PASID; 0 where it has none. */
  readonly pasidHwpts: readonly number[];
  readonly memory: number;
  /** Guest-physical address and IOVA of the first byte of RAM. */
  readonly ramBase: number;
  /** Where devices ask for what they need: blocks of 2 MiB they can reach, the oldest first. */
  readonly resident?: readonly number[];
}
