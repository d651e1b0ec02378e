import * as z from "zod/mini";
import {
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
} from "../uapi/sys.ts";
import {
  containerMap,
  destroyObject,
  ioasAlloc,
  ioasCopy,
  ioasMap,
  ioasMapFile,
  ioasUnmap,
  ioasUnmapAll,
  setOption,
  setPersistent,
} from "../userspace/calls.ts";
import {
  answered,
  attempt,
  descriptorOf,
  OK,
  type OpenDescriptor,
  operation,
  type Outcome,
  type Session,
} from "./types.ts";
import { address, pages, whole } from "./values.ts";
import { whenUp } from "./when.ts";

const fd = z.string().with(
  z.minLength(1),
  z.describe("name that a step gave to an iommufd with `as`"),
);
const as = z.string().with(z.minLength(1), z.describe("name for later steps"));
const ioas = z.optional(whole.with(z.describe("id of an IOAS; the first one when left out")));
const onDescriptor = { suggests: { fd: "descriptors" }, unavailable: whenUp } as const;
/** `sealed`: a memfd whose size is what it is, for good. */
const MEMORY = ["anonymous", "memfd", "sealed", "guestmemfs", "mixed"] as const;
const SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;

/** Memory of one kind in the task of a descriptor: where it is mapped, and its file if any. */
function makeMemory(
  { sys }: OpenDescriptor,
  kind: typeof MEMORY[number],
  bytes: number,
  file: string | undefined,
): { va: number; file: number } | Outcome {
  const prot = PROT_READ | PROT_WRITE;
  if (kind === "anonymous") {
    const va = sys.mmap(bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return va < 0 ? answered(va) : { va, file: -1 };
  }
  if (kind === "mixed") return mixedMemory(sys, bytes, file);
  const opened = kind === "guestmemfs"
    ? sys.open(`/mnt/guestmemfs/${file ?? ""}`, O_RDWR)
    : sys.memfdCreate("scenario");
  if (opened < 0) return answered(opened, "opening the memory file");
  if (kind !== "guestmemfs") sys.ftruncate(opened, bytes);
  if (kind === "sealed") sys.addSeals(opened, SEALS);
  const va = sys.mmap(bytes, prot, MAP_SHARED, opened, 0);
  return va < 0 ? answered(va, "mmap") : { va, file: opened };
}

/** The first half a file's, the second half anonymous, without a gap. */
function mixedMemory(
  sys: OpenDescriptor["sys"],
  bytes: number,
  file: string | undefined,
): { va: number; file: number } | Outcome {
  const prot = PROT_READ | PROT_WRITE;
  const opened = sys.open(`/mnt/guestmemfs/${file ?? ""}`, O_RDWR);
  if (opened < 0) return answered(opened, "opening the memory file");
  const va = sys.mmap(bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (va < 0) return answered(va, "mmap");
  const rc = sys.mmap(bytes / 2, prot, MAP_SHARED | MAP_FIXED, opened, 0, va);
  return rc < 0 ? answered(rc, "mmap") : { va, file: opened };
}

/** Runs on the descriptor of that name; EBADF where there is none. */
function on(session: Session, name: string, run: (d: OpenDescriptor) => Outcome): Outcome {
  const d = descriptorOf(session, name);
  return "errno" in d ? d : run(d);
}

function remember(
  { descriptors, platform }: Session,
  name: string,
  d: Pick<OpenDescriptor, "sys" | "fd" | "ioas" | "persistentId">,
): void {
  descriptors.set(name, { ...d, boot: platform.boots, devices: new Map() });
}

/** Reads a persisted iommufd's file in sysfs: that makes the descriptor, and prints its number. */
function pickUp(session: Session, id: number, name: string, ioas: number): Outcome {
  const sys = session.platform.shell();
  const path = `/sys/kernel/iommufd_persisted/${id}/iommufd`;
  const file = sys.open(path, O_RDONLY);
  if (file < 0) return answered(file, path);
  const text = sys.read(file, 16);
  sys.close(file);
  if (typeof text === "number") return answered(text, path);
  const number = Number(new TextDecoder().decode(text));
  if (number < 0) return answered(number, `${path} says ${number}`);
  remember(session, name, { sys, fd: number, ioas, persistentId: id });
  return { ...OK, output: `descriptor ${number} of process ${sys.pid}, called ${name}` };
}

export const IOMMUFD_OPERATIONS = [
  operation({
    name: "iommufd.open",
    summary: "open /dev/iommu in a process of its own and make an IOAS in it",
    args: () =>
      z.strictObject({
        as,
        persistent: z._default(z.boolean(), false).with(
          z.describe("mark it with IOMMU_OPTION_PERSISTENT"),
        ),
        empty: z._default(z.boolean(), false).with(z.describe("make no IOAS")),
      }),
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run(session, args) {
      const sys = session.platform.shell();
      const opened = sys.open("/dev/iommu", O_RDWR);
      if (opened < 0) return answered(opened);
      const persistentId = args.persistent ? setPersistent(sys, opened) : 0;
      if (persistentId < 0) return answered(persistentId, "IOMMU_OPTION_PERSISTENT");
      return attempt(() => {
        remember(session, args.as, {
          sys,
          fd: opened,
          ioas: args.empty ? 0 : ioasAlloc(sys, opened),
          persistentId,
        });
        return { ...OK, output: `descriptor ${opened} of process ${sys.pid}, called ${args.as}` };
      });
    },
  }),
  operation({
    name: "iommufd.pickup",
    summary: "take a persisted iommufd from sysfs: reading its file makes the descriptor",
    args: () =>
      z.strictObject({
        id: whole.with(z.describe("its persistent id")),
        as,
        ioas: z._default(
          whole.with(z.describe("the IOAS in it that later steps mean when they name none")),
          1,
        ),
      }),
    suggests: { id: "iommufds" },
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return pickUp(session, args.id, args.as, args.ioas);
    },
  }),
  operation({
    name: "iommufd.mark",
    summary: "mark an open iommufd as persistent (IOMMU_OPTION_PERSISTENT)",
    args: () => z.strictObject({ fd }),
    ...onDescriptor,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return on(session, args.fd, (d) => {
        const id = setPersistent(d.sys, d.fd);
        if (id > 0) d.persistentId = id;
        return answered(id, "IOMMU_OPTION_PERSISTENT");
      });
    },
  }),
  operation({
    name: "iommufd.option",
    summary: "set an option of an iommufd to any value (IOMMU_OPTION)",
    args: () =>
      z.strictObject({
        fd,
        option: z.enum(["rlimit-mode", "huge-pages", "persistent"]).with(z.describe("which one")),
        value: whole.with(z.describe("what to set it to")),
        object: z._default(whole.with(z.describe("id of the object it is for")), 0),
      }),
    ...onDescriptor,
    // deno-lint-ignore require-yield
    *run(session, args) {
      const id = ["rlimit-mode", "huge-pages", "persistent"].indexOf(args.option);
      return on(
        session,
        args.fd,
        (d) => answered(setOption(d.sys, d.fd, id, args.value, args.object), "IOMMU_OPTION"),
      );
    },
  }),
  operation({
    name: "iommufd.copy",
    summary: "map again, in the same IOAS, what is mapped already (IOMMU_IOAS_COPY)",
    args: () =>
      z.strictObject({
        fd,
        from: address.with(z.describe("IOVA of what there is")),
        iova: address.with(z.describe("IOVA it is to have besides")),
        size: pages.with(z.describe("bytes to map")),
        ioas,
      }),
    ...onDescriptor,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return on(session, args.fd, (d) => {
        const rc = ioasCopy(d.sys, d.fd, args.ioas ?? d.ioas, args.from, args.iova, args.size);
        return answered(rc, "IOMMU_IOAS_COPY");
      });
    },
  }),
  operation({
    name: "iommufd.ioas",
    summary: "make another IOAS (IOMMU_IOAS_ALLOC)",
    args: () => z.strictObject({ fd }),
    ...onDescriptor,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return on(session, args.fd, (d) =>
        attempt(() => {
          const id = ioasAlloc(d.sys, d.fd);
          if (d.ioas === 0) d.ioas = id;
          return { ...OK, output: `IOAS ${id}` };
        }));
    },
  }),
  operation({
    name: "iommufd.map",
    summary: "map memory into the IOAS, by address or by file",
    args: () =>
      z.strictObject({
        fd,
        memory: z.enum(MEMORY).with(z.describe("kind of memory")),
        by: z._default(z.enum(["address", "file", "container"]), "address").with(
          z.describe("IOAS_MAP, IOAS_MAP_FILE, or VFIO_IOMMU_MAP_DMA"),
        ),
        file: z.optional(z.string()).with(z.describe("guestmemfs file")),
        size: pages.with(z.describe("bytes of memory")),
        length: z.optional(
          pages.with(z.describe("bytes to map, where that is not all of the memory, or more")),
        ),
        iova: address.with(z.describe("where its devices will find it")),
        ioas,
      }),
    suggests: { fd: "descriptors", file: "files" },
    unavailable: whenUp,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return on(session, args.fd, (d) => {
        const made = makeMemory(d, args.memory, args.size, args.file);
        if ("errno" in made) return made;
        const to = args.ioas ?? d.ioas, length = args.length ?? args.size;
        const { sys, fd } = d, { va, file } = made;
        if (args.by === "address") {
          return answered(ioasMap(sys, fd, to, va, length, args.iova), "IOMMU_IOAS_MAP");
        }
        if (args.by === "container") {
          return answered(containerMap(sys, fd, to, va, length, args.iova), "VFIO_IOMMU_MAP_DMA");
        }
        const rc = ioasMapFile(sys, fd, to, file, length, args.iova);
        // The iommufd holds what it needs.
        sys.munmap(va, args.size);
        sys.close(file);
        return answered(rc, "IOMMU_IOAS_MAP_FILE");
      });
    },
  }),
  operation({
    name: "iommufd.unmap",
    summary: "unmap a range from the IOAS, or everything",
    args: () =>
      z.strictObject({
        fd,
        iova: z.optional(address.with(z.describe("start of the range"))),
        size: z.optional(pages.with(z.describe("its length; everything when left out"))),
        ioas,
      }),
    ...onDescriptor,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return on(session, args.fd, (d) => {
        const from = args.ioas ?? d.ioas;
        const rc = args.size === undefined
          ? ioasUnmapAll(d.sys, d.fd, from)
          : ioasUnmap(d.sys, d.fd, from, args.iova ?? 0, args.size);
        return answered(rc, "IOMMU_IOAS_UNMAP");
      });
    },
  }),
  operation({
    name: "iommufd.destroy",
    summary: "destroy an object of an iommufd (IOMMU_DESTROY)",
    args: () => z.strictObject({ fd, id: whole.with(z.describe("id of the object")) }),
    ...onDescriptor,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return on(session, args.fd, (d) => answered(destroyObject(d.sys, d.fd, args.id)));
    },
  }),
  operation({
    name: "iommufd.close",
    summary: "close the iommufd",
    args: () => z.strictObject({ fd }),
    ...onDescriptor,
    // deno-lint-ignore require-yield
    *run(session, args) {
      return on(session, args.fd, (d) => {
        session.descriptors.delete(args.fd);
        return answered(d.sys.close(d.fd));
      });
    },
  }),
];
