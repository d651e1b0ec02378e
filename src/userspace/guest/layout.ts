import { formatSize, hex, PAGE_SIZE, pagesOf } from "../../base/units.ts";
import { RX_BUFFER_BYTES, RX_DESC_BYTES } from "../../uapi/nic_regs.ts";
import { NvmeMemory } from "./nvme_memory.ts";

/** A network card assigned to the guest. */
export interface GuestNic {
  /** Guest-physical address of BAR 0. */
  readonly bar: number;
  /** 8..65536, a multiple of 8; 256 unless told. */
  readonly ringEntries?: number;
  /** At least 2048, a multiple of 4; 2048 unless told. */
  readonly bufferBytes?: number;
  /** The card puts this PASID into its requests; none unless told. */
  readonly pasid?: number | undefined;
}

/** An NVMe controller assigned to the guest. */
export interface GuestNvme {
  readonly bar: number;
  /** Commands in flight, 1..64; 16 unless told. */
  readonly depth?: number;
  /** Pages in a command, 1..32; 5 unless told. */
  readonly maxPages?: number;
  /** First block of the namespace to use; 0 unless told. */
  readonly firstLba?: number;
}

export interface GuestOptions {
  /** Tells guests apart, in canaries and in what they write: any 32-bit number. */
  readonly id: number;
  /** The RAM the guest's software uses: page-aligned guest-physical start and size in bytes. */
  readonly ramBase: number;
  readonly ramBytes: number;
  /** DMA address of guest-physical 0; 0 unless told. */
  readonly iovaBase?: number;
  readonly nics?: readonly GuestNic[];
  readonly nvmes?: readonly GuestNvme[];
  /** Canary pages, 0..{@link MAX_CANARIES}; 256 unless told. Fewer where no more fit. */
  readonly canaryPages?: number;
}

export const MAX_CANARIES = 512;
/** Devices of both kinds together. */
export const MAX_DEVICES = 64;

export interface NicPlacement {
  readonly nic: GuestNic;
  readonly state: number;
  readonly ring: number;
  readonly ringEntries: number;
  readonly buffers: number;
  readonly bufferBytes: number;
}

export interface NvmePlacement {
  readonly nvme: GuestNvme;
  readonly state: number;
  readonly memory: number;
  readonly depth: number;
  readonly maxPages: number;
}

/** Where everything lies, in guest-physical bytes: kernel page, cards, controllers, the rest. */
export interface GuestLayout {
  readonly kernel: number;
  readonly nics: readonly NicPlacement[];
  readonly nvmes: readonly NvmePlacement[];
  /** First byte that belongs to nothing, page aligned; canaries are spread from here up. */
  readonly free: number;
}

/** Lays out a guest's memory from the bottom up. Throws a RangeError when it does not fit. */
export function layOut(options: GuestOptions): GuestLayout {
  const { ramBase, ramBytes, nics = [], nvmes = [] } = options;
  if (ramBase % PAGE_SIZE !== 0 || ramBytes % PAGE_SIZE !== 0) {
    throw new RangeError(`guest RAM at ${hex(ramBase)}, ${ramBytes} bytes: not whole pages`);
  }
  if (nics.length + nvmes.length > MAX_DEVICES) {
    throw new RangeError(`${nics.length + nvmes.length} devices: a guest takes ${MAX_DEVICES}`);
  }
  const parts: string[] = [];
  let at = ramBase;
  const take = (bytes: number) => {
    const start = at;
    at += pagesOf(bytes) * PAGE_SIZE;
    return start;
  };
  const kernel = take(PAGE_SIZE);
  const nicPlacements = nics.map((nic, i): NicPlacement => {
    const { ringEntries = 256, bufferBytes = RX_BUFFER_BYTES } = nic;
    const state = take(PAGE_SIZE), ring = take(ringEntries * RX_DESC_BYTES);
    const buffers = take(ringEntries * bufferBytes);
    parts.push(
      `NIC ${i} ${formatSize(at - state)} (${ringEntries} buffers of ${bufferBytes} bytes)`,
    );
    return { nic, state, ring, ringEntries, buffers, bufferBytes };
  });
  const nvmePlacements = nvmes.map((nvme, i): NvmePlacement => {
    const { depth = 16, maxPages = 5 } = nvme;
    const state = take(PAGE_SIZE);
    const memory = take(new NvmeMemory(at, depth, maxPages).bytes);
    parts.push(`NVMe ${i} ${formatSize(at - state)} (${depth} commands of ${maxPages} pages)`);
    return { nvme, state, memory, depth, maxPages };
  });
  if (at > ramBase + ramBytes) {
    throw new RangeError(
      `guest RAM of ${formatSize(ramBytes)} is too small: ${formatSize(at - ramBase)} needed, ` +
        `${parts.join(", ")}`,
    );
  }
  return { kernel, nics: nicPlacements, nvmes: nvmePlacements, free: at };
}
