import { IOCTLS } from "./calls.ts";

/**
 * What a file is, for the coverage table: the same call on different kinds of files is a different
 * call. Kept per process, by descriptor, as the vector opens and closes.
 */
const KINDS: readonly (readonly [pattern: RegExp, kind: string])[] = [
  [/^\/dev\/iommu$/, "iommufd"],
  [/^\/dev\/vfio\/devices\/.*$/, "VFIO device"],
  [/^\/dev\/vfio\/vfio$/, "VFIO container"],
  [/^\/dev\/vfio\/.*$/, "VFIO group"],
  [/^\/mnt(\/guestmemfs)?(\/.*)?$/, "guestmemfs"],
  [/^\/sys\/kernel\/kho\/(.*)$/, "kho/$1"],
  [/^\/sys\/firmware\/kho\/dt$/, "firmware/kho/dt"],
  [/^\/sys\/kernel\/iommufd_persisted\/.*$/, "iommufd_persisted"],
];

/** Reply fields that are descriptors, and what they are of. */
const REPLIES: Readonly<Record<string, string>> = {
  out_fault_fd: "fault queue",
  out_veventq_fd: "vEVENTQ",
};

/** Verbs that name a path, and those that name a descriptor under their own name. */
const BY_PATH = ["open", "unlink", "readdir", "mkdir", "rename", "link", "setxattr", "statfs"];
const BY_FD = ["close", "read", "write", "ftruncate", "fsize"];

export function kindOfPath(path: string): string {
  for (const [pattern, kind] of KINDS) {
    if (pattern.test(path)) return path.replace(pattern, kind);
  }
  return "other";
}

type Call = Readonly<Record<string, unknown>>;

/** The descriptors of a vector's processes. */
export class Descriptors {
  readonly #kinds = new Map<string, string>();

  #key(call: Call, fd: bigint): string {
    return `${call.as ?? "main"} ${fd}`;
  }

  /** Name of a call in the table: `ftruncate guestmemfs`; an ioctl's is its own. */
  nameOf(call: Call, verb: string, number: (value: unknown) => bigint): string {
    const kind = (value: unknown) => this.#kinds.get(this.#key(call, number(value))) ?? "no file";
    if (verb === "ioctl") {
      return IOCTLS.has(String(call.ioctl)) ? String(call.ioctl) : "unknown ioctl";
    }
    if (BY_PATH.includes(verb)) return `${verb} ${kindOfPath(String(call[verb]))}`;
    if (BY_FD.includes(verb)) return `${verb} ${kind(call[verb])}`;
    if (verb === "mmap") return `mmap ${call.fd === undefined ? "memory" : kind(call.fd)}`;
    return verb;
  }

  /** The call succeeded: what it opened or closed. */
  done(
    call: Call,
    verb: string,
    rc: number,
    fields: Readonly<Record<string, unknown>>,
    number: (value: unknown) => bigint,
  ): void {
    const put = (fd: bigint, kind: string) => this.#kinds.set(this.#key(call, fd), kind);
    if (verb === "open") put(BigInt(rc), kindOfPath(String(call.open)));
    if (verb === "memfd_create") put(BigInt(rc), "memfd");
    if (verb === "eventfd") put(BigInt(rc), "eventfd");
    if (verb === "close") this.#kinds.delete(this.#key(call, number(call.close)));
    if (call.ioctl === "VFIO_GROUP_GET_DEVICE_FD") put(BigInt(rc), "VFIO device");
    for (const [field, kind] of Object.entries(REPLIES)) {
      if (typeof fields[field] === "bigint") put(fields[field], kind);
    }
    // A handed-over iommufd's file prints the descriptor it made for its reader.
    const read = verb === "read" && this.#kinds.get(this.#key(call, number(call.read)));
    if (read === "iommufd_persisted" && typeof fields.number === "bigint") {
      put(fields.number, "iommufd");
    }
  }

  /** Every process is gone. */
  clear(): void {
    this.#kinds.clear();
  }
}
