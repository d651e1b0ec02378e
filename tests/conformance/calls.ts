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
      if (typeof value !== "number" || !/^(IOMMU|VFIO_DEVICE|KVM)_[A-Z_]+$/.test(name)) continue;
      if (value < 0x3b00 || (value > 0x3bff && value < 0xae00)) continue;
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
    KVM_SET_USER_MEMORY_REGION: "kvm_userspace_memory_region",
    IOMMU_GET_HW_INFO: "iommu_hw_info",
  };
  return special[ioctl] ?? ioctl.toLowerCase();
}

/** What a call answered: its return value, and the reply's fields. */
export interface Answer {
  readonly rc: number;
  readonly fields: Readonly<Record<string, bigint | string | string[]>>;
}

const FLAGS: Record<string, number> = {
  O_RDONLY: S.O_RDONLY,
  O_WRONLY: S.O_WRONLY,
  O_RDWR: S.O_RDWR,
  O_CREAT: S.O_CREAT,
  O_EXCL: S.O_EXCL,
};

/** Makes one call of a vector. */
export function perform(sys: Sys, call: Record<string, unknown>, names: Names): Answer {
  const number = (key: string, otherwise = 0) =>
    call[key] === undefined ? otherwise : Number(evaluate(call[key], names));
  const plain = (rc: number): Answer => ({ rc, fields: {} });
  const text = (key: string) => expand(String(call[key]), names);
  if ("open" in call) {
    const flags = (call.flags as string[] | undefined) ?? ["O_RDWR"];
    return plain(sys.open(text("open"), flags.reduce((all, f) => all | FLAGS[f], 0)));
  }
  if ("close" in call) return plain(sys.close(number("close")));
  if ("unlink" in call) return plain(sys.unlink(text("unlink")));
  if ("memfd_create" in call) return plain(sys.memfdCreate(text("memfd_create")));
  if ("ftruncate" in call) return plain(sys.ftruncate(number("ftruncate"), number("size")));
  if ("kexec_file_load" in call) return plain(sys.kexecFileLoad(text("kexec_file_load"), 0));
  if ("munmap" in call) return plain(sys.munmap(number("munmap"), number("length")));
  if ("mmap" in call) return plain(mmap(sys, call, number));
  if ("store" in call) {
    sys.store32(number("store"), number("value"));
    return plain(0);
  }
  if ("load" in call) {
    return { rc: 0, fields: { value: BigInt(sys.load32(number("load")) >>> 0) } };
  }
  if ("read" in call) return read(sys, call, number);
  if ("write" in call) return plain(write(sys, call, number));
  if ("readdir" in call) {
    const listed = sys.readdir(text("readdir"));
    return typeof listed === "number" ? plain(listed) : { rc: 0, fields: { names: listed } };
  }
  if ("ioctl" in call) return ioctl(sys, call, names, number("fd"));
  throw new Error(`no verb in ${JSON.stringify(call)}`);
}

/** `$name` inside a path. */
function expand(text: string, names: Names): string {
  return text.replaceAll(/\$\{(\w+)\}/g, (_, name) => String(names.get(name)));
}

type Numbers = (key: string, otherwise?: number) => number;

function mmap(sys: Sys, call: Record<string, unknown>, number: Numbers): number {
  const prot = S.PROT_READ | (call.readonly === true ? 0 : S.PROT_WRITE);
  const anonymous = call.fd === undefined;
  const flags = anonymous ? S.MAP_PRIVATE | S.MAP_ANONYMOUS : S.MAP_SHARED;
  return sys.mmap(number("mmap"), prot, flags, number("fd", -1), number("offset"));
}

function read(sys: Sys, call: Record<string, unknown>, number: Numbers): Answer {
  const length = number("length", 4096);
  const got = call.offset === undefined
    ? sys.read(number("read"), length)
    : sys.pread(number("read"), length, number("offset"));
  if (typeof got === "number") return { rc: got, fields: {} };
  const bytes = [...got].map((b) => b.toString(16).padStart(2, "0")).join("");
  return { rc: got.length, fields: { text: new TextDecoder().decode(got), bytes } };
}

function write(sys: Sys, call: Record<string, unknown>, number: Numbers): number {
  const bytes = call.bytes === undefined
    ? new TextEncoder().encode(String(call.text))
    : hexBytes(String(call.bytes));
  return call.offset === undefined
    ? sys.write(number("write"), bytes)
    : sys.pwrite(number("write"), bytes, number("offset"));
}

function ioctl(sys: Sys, call: Record<string, unknown>, names: Names, fd: number): Answer {
  const name = String(call.ioctl);
  const known = IOCTLS.get(name);
  const command = known?.number ?? Number(name);
  if (Number.isNaN(command)) throw new Error(`no ioctl ${name}`);
  if (call.value !== undefined || (known !== undefined && known.struct === undefined)) {
    const value = Number(evaluate(call.value ?? 0, names));
    return { rc: sys.ioctlValue(fd, command, value), fields: {} };
  }
  const payload = payloadOf(call, known?.struct, names);
  const rc = sys.ioctl(fd, command, payload);
  const reply = known?.struct?.decode(payload) ?? {};
  const fields = Object.entries(reply).map(([k, v]) => [k, BigInt(v)]);
  return { rc, fields: Object.fromEntries(fields) };
}

function payloadOf(
  call: Record<string, unknown>,
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
  const payload = new Uint8Array([...body, ...hexBytes(String(call.tail ?? ""))]);
  const size = call.size === undefined ? payload.length : Number(evaluate(call.size, names));
  new DataView(payload.buffer).setUint32(0, size, true);
  return payload;
}
