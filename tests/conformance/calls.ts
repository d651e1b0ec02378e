import * as I from "../../src/uapi/iommufd.ts";
import * as K from "../../src/uapi/kvm.ts";
import * as S from "../../src/uapi/sys.ts";
import type { Sys } from "../../src/uapi/sys.ts";
import { type FieldType, Struct } from "../../src/uapi/struct.ts";
import * as V from "../../src/uapi/vfio.ts";
import { evaluate, hexBytes, type Names } from "./values.ts";

export type AnyStruct = Struct<Record<string, FieldType>>;

/** Every ioctl by its kernel name, with its number and structure: `IOMMU_IOAS_MAP` and so on. */
export const IOCTLS: ReadonlyMap<string, { number: number; struct: AnyStruct | undefined }> =
  collect();

function collect() {
  const found = new Map<string, { number: number; struct: AnyStruct | undefined }>();
  for (const module of [I, V, K] as Record<string, unknown>[]) {
    const structs = new Map<string, AnyStruct>();
    for (const value of Object.values(module)) {
      if (value instanceof Struct) structs.set(value.name, value as unknown as AnyStruct);
    }
    for (const [name, value] of Object.entries(module)) {
      if (typeof value !== "number" || !/^(IOMMU|VFIO|KVM)_[A-Z0-9_]+$/.test(name)) continue;
      const base = name.startsWith("KVM") ? 0xae00 : 0x3b00;
      if (value < base || value > base + 0xff) continue;
      found.set(name, { number: value, struct: structs.get(structName(name)) });
    }
  }
  return found;
}

/** The kernel's structure of an ioctl has its name in lower case, with a few exceptions. */
function structName(ioctl: string): string {
  const special: Record<string, string> = {
    VFIO_DEVICE_GET_INFO: "vfio_device_info",
    VFIO_DEVICE_GET_REGION_INFO: "vfio_region_info",
    VFIO_DEVICE_GET_IRQ_INFO: "vfio_irq_info",
    VFIO_DEVICE_SET_IRQS: "vfio_irq_set",
    VFIO_GROUP_GET_STATUS: "vfio_group_status",
    VFIO_GROUP_SET_CONTAINER: "vfio_group_container",
    VFIO_IOMMU_GET_INFO: "vfio_iommu_type1_info",
    VFIO_IOMMU_MAP_DMA: "vfio_iommu_type1_dma_map",
    VFIO_IOMMU_UNMAP_DMA: "vfio_iommu_type1_dma_unmap",
    KVM_SET_USER_MEMORY_REGION: "kvm_userspace_memory_region",
    IOMMU_GET_HW_INFO: "iommu_hw_info",
  };
  return special[ioctl] ?? ioctl.toLowerCase();
}

/** What a reply says, by name. */
export type Fields = Readonly<Record<string, bigint | string | string[]>>;

/** What a call answered: its return value, and the reply's fields. */
export interface Answer {
  /** Value or negative errno; `SIGNAL`: the process would not have come back from it. */
  readonly rc: number | "SIGNAL";
  readonly fields: Fields;
}

type Call = Readonly<Record<string, unknown>>;
type Numbers = (key: string, otherwise?: number) => number;

/** A call with what its arguments mean. */
interface Request {
  readonly sys: Sys;
  readonly call: Call;
  readonly names: Names;
  readonly number: Numbers;
  /** `${name}` in it replaced by what was saved. */
  readonly text: (key: string) => string;
}

type Perform = (request: Request) => Answer | number;

/** Each verb that is a system call, or an access of the program to its memory. */
const VERBS: Readonly<Record<string, Perform>> = {
  open: ({ sys, call, text }) => sys.open(text("open"), flags(call.flags ?? ["O_RDWR"])),
  close: ({ sys, number }) => sys.close(number("close")),
  unlink: ({ sys, text }) => sys.unlink(text("unlink")),
  mkdir: ({ sys, text }) => sys.mkdir(text("mkdir")),
  rename: ({ sys, text }) => sys.rename(text("rename"), text("to")),
  link: ({ sys, text }) => sys.link(text("link"), text("to")),
  setxattr: ({ sys, text }) => sys.setxattr(text("setxattr"), "user.hitless", "1"),
  mount: ({ sys, call, text }) => sys.mount(text("mount"), text("on"), String(call.options ?? "")),
  statfs({ sys, text }) {
    const said = sys.statfs(text("statfs"));
    if (typeof said === "number") return said;
    const fields = Object.entries(said).map(([k, v]) => [k, BigInt(v)]);
    return { rc: 0, fields: Object.fromEntries(fields) };
  },
  readdir({ sys, text }) {
    const listed = sys.readdir(text("readdir"));
    return typeof listed === "number" ? listed : { rc: 0, fields: { names: listed } };
  },
  memfd_create: ({ sys, text }) => sys.memfdCreate(text("memfd_create")),
  eventfd: ({ sys, number }) => sys.eventfd(number("eventfd")),
  ftruncate: ({ sys, number }) => sys.ftruncate(number("ftruncate"), number("size")),
  fsize({ sys, number }) {
    const size = sys.fsize(number("fsize"));
    return size < 0 ? size : { rc: 0, fields: { size: BigInt(size) } };
  },
  read,
  write,
  mmap,
  setuid: ({ sys, number }) => sys.setuid(number("setuid")),
  drop_capability: ({ sys, number }) => sys.dropCapability(number("drop_capability")),
  setrlimit: ({ sys, number }) => sys.setMemlock(number("soft"), number("hard", number("soft"))),
  munmap: ({ sys, number }) => sys.munmap(number("munmap"), number("length")),
  ioctl: ({ sys, call, names, number }) => ioctl(sys, call, names, number("fd")),
  kexec_file_load: ({ sys, call, text }) =>
    sys.kexecFileLoad(text("kexec_file_load"), flags(call.flags ?? [])),
  kexec_load: ({ sys, text }) => sys.kexecLoad(text("kexec_load")),
  store,
  load,
};

export const SYSCALL_VERBS: readonly string[] = Object.keys(VERBS);

/** Numbers by their kernel names, for `flags`. */
const FLAGS: Readonly<Record<string, number>> = {
  O_RDONLY: S.O_RDONLY,
  O_WRONLY: S.O_WRONLY,
  O_RDWR: S.O_RDWR,
  O_CREAT: S.O_CREAT,
  O_EXCL: S.O_EXCL,
  KEXEC_FILE_UNLOAD: S.KEXEC_FILE_UNLOAD,
};

function flags(names: unknown): number {
  return (names as string[]).reduce((all, name) => {
    if (FLAGS[name] === undefined) throw new Error(`no flag ${name}`);
    return all | FLAGS[name];
  }, 0);
}

/** Makes one call of a vector. */
export function perform(sys: Sys, verb: string, call: Call, names: Names): Answer {
  const number = (key: string, otherwise = 0) =>
    call[key] === undefined ? otherwise : Number(evaluate(call[key], names));
  const text = (key: string) =>
    String(call[key]).replaceAll(/\$\{(\w+)\}/g, (_, name) => String(names.get(name)));
  try {
    const answer = VERBS[verb]({ sys, call, names, number, text });
    return typeof answer === "number" ? { rc: answer, fields: {} } : answer;
  } catch (error) {
    const killed = error instanceof S.SegmentationFault || error instanceof S.TaskKilled;
    if (!killed) throw error;
    return { rc: "SIGNAL", fields: {} };
  }
}

function mmap({ sys, call, number }: Request): number {
  const prot = S.PROT_READ | (call.readonly === true ? 0 : S.PROT_WRITE);
  const shared = call.private === true ? S.MAP_PRIVATE : S.MAP_SHARED;
  const kind = call.fd === undefined ? S.MAP_PRIVATE | S.MAP_ANONYMOUS : shared;
  const flags = kind | (call.at === undefined ? 0 : S.MAP_FIXED);
  const [length, fd, offset] = [number("mmap"), number("fd", -1), number("offset")];
  return sys.mmap(length, prot, flags, fd, offset, number("at"));
}

const hexOf = (bytes: Uint8Array) =>
  [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");

function read({ sys, call, number }: Request): Answer | number {
  const length = number("length", 4096);
  const got = call.offset === undefined
    ? sys.read(number("read"), length)
    : sys.pread(number("read"), length, number("offset"));
  if (typeof got === "number") return got;
  const text = new TextDecoder().decode(got);
  const isNumber = /^(0x[0-9a-f]+|\d+)\n?$/.test(text);
  const fields = { text, bytes: hexOf(got), ...(isNumber && { number: BigInt(text.trim()) }) };
  return { rc: got.length, fields };
}

function write({ sys, call, number }: Request): number {
  const bytes = call.bytes === undefined
    ? new TextEncoder().encode(String(call.text))
    : hexBytes(String(call.bytes));
  return call.offset === undefined
    ? sys.write(number("write"), bytes)
    : sys.pwrite(number("write"), bytes, number("offset"));
}

function store({ sys, call, number }: Request): number {
  if (call.bytes === undefined) sys.store32(number("store"), number("value"));
  else sys.copyOut(number("store"), hexBytes(String(call.bytes)));
  return 0;
}

function load({ sys, call, number }: Request): Answer {
  if (call.length === undefined) {
    return { rc: 0, fields: { value: BigInt(sys.load32(number("load")) >>> 0) } };
  }
  const bytes = sys.copyIn(number("load"), number("length"));
  return { rc: 0, fields: { bytes: hexOf(bytes) } };
}

function ioctl(sys: Sys, call: Call, names: Names, fd: number): Answer {
  const name = String(call.ioctl);
  const known = IOCTLS.get(name);
  const command = known?.number ?? Number(name);
  if (Number.isNaN(command)) throw new Error(`no ioctl ${name}`);
  if (call.value !== undefined || (known !== undefined && known.struct === undefined)) {
    if (call.text !== undefined) {
      const text = new TextEncoder().encode(`${call.text}\0`);
      return { rc: sys.ioctl(fd, command, text), fields: {} };
    }
    const value = Number(evaluate(call.value ?? 0, names));
    const rc = sys.ioctlValue(fd, command, value);
    return { rc, fields: rc < 0 ? {} : { result: BigInt(rc) } };
  }
  const struct = known?.struct;
  const payload = payloadOf(call, struct, names);
  const rc = sys.ioctl(fd, command, payload);
  const reply = struct?.decode(payload) ?? {};
  const fields = Object.entries(reply).map(([k, v]) => [k, BigInt(v)]);
  const tail = hexOf(payload.subarray(struct?.size ?? payload.length));
  return { rc, fields: { ...Object.fromEntries(fields), tail } };
}

function payloadOf(
  call: Call,
  struct: AnyStruct | undefined,
  names: Names,
): Uint8Array {
  if (call.raw !== undefined) return hexBytes(String(call.raw));
  const fields: Record<string, bigint | number> = {};
  for (const [field, value] of Object.entries(call.in ?? {})) {
    if (struct?.fields[field] === undefined) throw new Error(`${struct?.name} has no ${field}`);
    const n = BigInt.asUintN(64, evaluate(value, names));
    fields[field] = struct.fields[field] === "u64" ? n : Number(BigInt.asIntN(33, n));
  }
  const body = struct?.encode(fields) ?? new Uint8Array(4);
  const fds = ((call.fds ?? []) as unknown[]).map((fd) => Number(evaluate(fd, names)));
  const tail = [
    ...hexBytes(String(call.tail ?? "")),
    ...new Uint8Array(Int32Array.from(fds).buffer),
  ];
  const payload = new Uint8Array([...body, ...tail]);
  // One structure has no size: what it is of says how long it is.
  if (struct?.fields.fd !== undefined && struct.size === 4) return payload;
  const size = call.size === undefined ? payload.length : Number(evaluate(call.size, names));
  new DataView(payload.buffer).setUint32(0, size, true);
  return payload;
}
