import type { Memory } from "../../machine/memory.ts";

/**
 * The page by which one kernel tells the next where things are, at a fixed place below 1 MiB that
 * no kernel uses for anything else (x86: setup_data). A cold boot finds zeros there.
 */
export const BOOT_PARAMS = 0x90000;
const MAGIC = 0x4b484f42;

export interface BootParams {
  /** Where the running kernel's image lies. */
  readonly image: number;
  readonly imageSize: number;
  /** The handed-over device tree, its length 0 when there is none. */
  readonly dt: number;
  readonly dtSize: number;
  /** Array of {u64 address, u64 length}: what to keep off. */
  readonly memCache: number;
  readonly memCacheSize: number;
  readonly scratch: number;
  readonly scratchSize: number;
}

const FIELDS = [
  "image",
  "imageSize",
  "dt",
  "dtSize",
  "memCache",
  "memCacheSize",
  "scratch",
  "scratchSize",
] as const;

/** The page's bytes. */
export function encodeBootParams(params: BootParams): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  FIELDS.forEach((field, i) => {
    view.setUint32(8 + i * 8, params[field] % 4294967296, true);
    view.setUint32(12 + i * 8, Math.floor(params[field] / 4294967296), true);
  });
  return bytes;
}

/** What the previous kernel left, undefined after a cold boot. */
export function readBootParams(memory: Memory): BootParams | undefined {
  const magic = memory.read(BOOT_PARAMS, 4);
  if (new DataView(magic.buffer).getUint32(0, true) !== MAGIC) return undefined;
  const params: Record<string, number> = {};
  FIELDS.forEach((field, i) => params[field] = memory.read64(BOOT_PARAMS + 8 + i * 8));
  return params as unknown as BootParams;
}
