import { hex } from "../base/units.ts";
import { nativeI32, nativeU16, nativeU32, nativeU64Exact } from "../fdt/mod.ts";
import { IOMMU_CACHE, IOMMU_MMIO, IOMMU_NOEXEC, IOMMU_READ, IOMMU_WRITE } from "./iommufd.ts";
import {
  KHO_MEM,
  KHO_MEM_ENTRY_BYTES,
  KHO_MEM_FLAGS,
  KHO_MEM_NOINIT,
  KHO_NODES,
  type KhoMeaning,
  type KhoProperty,
} from "./kho_abi.ts";

/** So many elements of a list are shown. */
const SHOWN = 4;

type Sibling = (name: string) => Uint8Array | undefined;
type Explain = (value: Uint8Array, sibling?: Sibling) => string | undefined;

/**
 * Explains the properties of the formats in `kho_abi.ts`, for `printDts`: ranges, addresses,
 * flags, device names. Undefined for what is unknown or speaks for itself; a value of the wrong
 * width is called that. Any path, name and bytes will do.
 */
export function decode(
  path: string,
  name: string,
  bytes: Uint8Array,
  sibling?: Sibling,
): string | undefined {
  const property = propertyAt(path, name);
  if (property === undefined) return undefined;
  const fault = widthFault(property, bytes.length);
  return fault ?? EXPLAIN[property.meaning](bytes, sibling);
}

function propertyAt(path: string, name: string): KhoProperty | undefined {
  if (name === KHO_MEM.name) return KHO_MEM;
  const at = path.split("/");
  for (const [pattern, record] of NODES) {
    if (pattern.length !== at.length) continue;
    if (!pattern.every((part, i) => part === "*" || part === at[i])) continue;
    return Object.values(record).find((property) => property.name === name);
  }
  return undefined;
}

const NODES = KHO_NODES.map(([path, record]) => [path.split("/"), record] as const);

function widthFault({ width, meaning }: KhoProperty, length: number): string | undefined {
  if (width === 0) return undefined;
  const list = meaning === "mem list" || meaning === "index list";
  if (list ? length % width === 0 : length === width) return undefined;
  const expected = list ? `a multiple of ${width}` : `${width}`;
  return `${length} ${length === 1 ? "byte" : "bytes"}: expected ${expected}`;
}

const EXPLAIN: Readonly<Record<KhoMeaning, Explain>> = {
  "agaw": (value) => agaw(nativeI32(value)),
  "boolean": (value) => ["no", "yes"][nativeU32(value)] ?? `${nativeU32(value)}: expected 0 or 1`,
  "bus": deviceName,
  "count": (value) => `${nativeU32(value)}`,
  "devfn": deviceName,
  "flag": () => undefined,
  "id": (value) => `id ${unsigned(value)}`,
  "index list": (value) => list(value, 8, (at) => `page ${nativeU64Exact(value, at)}`, "pages"),
  "inode": (value) => `inode ${unsigned(value)}`,
  "mem list": (value) => list(value, KHO_MEM_ENTRY_BYTES, (at) => range(value, at), "ranges"),
  "offset": (value) => `offset ${size(unsigned(value))}`,
  "pci id": (value) => hex(nativeU16(value)),
  "physical address": (value) => hex(unsigned(value)),
  "prot": (value) => flagNames(nativeU32(value)),
  "segment": (value) => `segment ${nativeU16(value).toString(16).padStart(4, "0")}`,
  "size": (value) => size(unsigned(value)),
  "text": () => undefined,
  "virtual address": (value) => hex(unsigned(value)),
};

/** A value of 4 or 8 bytes. */
function unsigned(value: Uint8Array): bigint {
  return value.length === 8 ? nativeU64Exact(value) : BigInt(nativeU32(value));
}

const UNITS: readonly (readonly [bigint, string])[] = [
  [1n << 40n, "TiB"],
  [1n << 30n, "GiB"],
  [1n << 20n, "MiB"],
  [1n << 10n, "KiB"],
];

/** In the largest unit that leaves no remainder: what is handed over is exact. */
function size(bytes: bigint): string {
  const unit = UNITS.find(([unit]) => bytes !== 0n && bytes % unit === 0n);
  return unit === undefined ? hex(bytes) : `${bytes / unit[0]} ${unit[1]}`;
}

function range(value: Uint8Array, at: number): string {
  const address = nativeU64Exact(value, at);
  const length = nativeU64Exact(value, at + 8);
  const flags = Number(address & BigInt(KHO_MEM_FLAGS));
  const base = address - BigInt(flags);
  const names = flags === 0 ? "" : flags === KHO_MEM_NOINIT ? " NOINIT" : ` flags ${hex(flags)}`;
  return `${hex(base)} + ${size(length)}${names}`;
}

/** The first few elements, and how many there are when that is not all. */
function list(
  value: Uint8Array,
  width: number,
  element: (at: number) => string,
  noun: string,
): string {
  const count = value.length / width;
  if (count === 0) return `no ${noun}`;
  const shown: string[] = [];
  for (let i = 0; i < Math.min(count, SHOWN); i++) shown.push(element(i * width));
  return shown.join(", ") + (count > SHOWN ? `, ... (${count} ${noun})` : "");
}

/** Widths as the VT-d driver computes them from the adjusted guest address width. */
function agaw(value: number): string {
  if (value < 0) return "no levels";
  return `${value + 2} levels, ${Math.min(30 + 9 * value, 64)} bits`;
}

const PROT_NAMES: readonly (readonly [number, string])[] = [
  [IOMMU_READ, "READ"],
  [IOMMU_WRITE, "WRITE"],
  [IOMMU_CACHE, "CACHE"],
  [IOMMU_NOEXEC, "NOEXEC"],
  [IOMMU_MMIO, "MMIO"],
];

function flagNames(flags: number): string {
  const names: string[] = [];
  let rest = flags;
  for (const [bit, name] of PROT_NAMES) {
    if ((flags & bit) === 0) continue;
    names.push(name);
    rest &= ~bit;
  }
  if (rest !== 0) names.push(hex(rest >>> 0));
  return names.length === 0 ? "none" : names.join("|");
}

/** `3a:00.0`, with its segment where that is not 0; of what is missing or odd, nothing. */
function deviceName(_value: Uint8Array, sibling?: Sibling): string | undefined {
  const bus = sibling?.("bus");
  const devfn = sibling?.("devfn");
  if (bus?.length !== 1 || devfn?.length !== 1) return undefined;
  const segment = sibling?.("segment");
  const domain = segment?.length === 2 ? nativeU16(segment) : 0;
  const prefix = domain === 0 ? "" : `${domain.toString(16).padStart(4, "0")}:`;
  const function_ = (devfn[0] as number) & 7;
  return `${prefix}${hex2(bus[0] as number)}:${hex2((devfn[0] as number) >> 3)}.${function_}`;
}

function hex2(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
