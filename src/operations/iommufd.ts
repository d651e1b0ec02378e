import { z } from "zod";
import { EBADF } from "../uapi/errno.ts";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
} from "../uapi/sys.ts";
import {
  ioasAlloc,
  ioasMap,
  ioasMapFile,
  ioasUnmapAll,
  setPersistent,
} from "../userspace/calls.ts";
import { answered, OK, type OpenDescriptor, operation, type Outcome } from "./types.ts";
import { address, pages } from "./values.ts";

const fd = z.string().min(1).describe("name a step gave to an iommufd with `as`");
const MEMORY = ["anonymous", "memfd", "guestmemfs"] as const;

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
  const opened = kind === "memfd"
    ? sys.memfdCreate("scenario")
    : sys.open(`/mnt/guestmemfs/${file ?? ""}`, O_RDWR);
  if (opened < 0) return answered(opened, "opening the memory file");
  if (kind === "memfd") sys.ftruncate(opened, bytes);
  const va = sys.mmap(bytes, prot, MAP_SHARED, opened, 0);
  return va < 0 ? answered(va, "mmap") : { va, file: opened };
}

export const IOMMUFD_OPERATIONS = [
  operation({
    name: "iommufd.open",
    summary: "open /dev/iommu in a process of its own and make an IOAS in it",
    args: z.strictObject({
      as: z.string().min(1).describe("name for later steps"),
      persistent: z.boolean().default(false).describe("mark it with IOMMU_OPTION_PERSISTENT"),
    }),
    // deno-lint-ignore require-yield
    *run({ platform, descriptors }, args) {
      const sys = platform.shell();
      const opened = sys.open("/dev/iommu", O_RDWR);
      if (opened < 0) return answered(opened);
      const persistentId = args.persistent ? setPersistent(sys, opened) : 0;
      if (persistentId < 0) return answered(persistentId, "IOMMU_OPTION_PERSISTENT");
      const ioas = ioasAlloc(sys, opened);
      descriptors.set(args.as, { sys, fd: opened, ioas, persistentId });
      return OK;
    },
  }),
  operation({
    name: "iommufd.map",
    summary: "map memory into the IOAS, by address or by file",
    args: z.strictObject({
      fd,
      memory: z.enum(MEMORY).describe("kind of memory"),
      by: z.enum(["address", "file"]).default("address").describe("IOAS_MAP or IOAS_MAP_FILE"),
      file: z.string().optional().describe("guestmemfs file"),
      size: pages,
      iova: address,
    }),
    // deno-lint-ignore require-yield
    *run({ descriptors }, args) {
      const d = descriptors.get(args.fd);
      if (d === undefined) return { errno: EBADF, detail: `no step opened ${args.fd}` };
      const made = makeMemory(d, args.memory, args.size, args.file);
      if ("errno" in made) return made;
      return answered(
        args.by === "file"
          ? ioasMapFile(d.sys, d.fd, d.ioas, made.file, args.size, args.iova)
          : ioasMap(d.sys, d.fd, d.ioas, made.va, args.size, args.iova),
        args.by === "file" ? "IOMMU_IOAS_MAP_FILE" : "IOMMU_IOAS_MAP",
      );
    },
  }),
  operation({
    name: "iommufd.unmap",
    summary: "unmap everything from the IOAS",
    args: z.strictObject({ fd }),
    // deno-lint-ignore require-yield
    *run({ descriptors }, args) {
      const d = descriptors.get(args.fd);
      if (d === undefined) return { errno: EBADF, detail: `no step opened ${args.fd}` };
      return answered(ioasUnmapAll(d.sys, d.fd, d.ioas));
    },
  }),
  operation({
    name: "iommufd.close",
    summary: "close the iommufd",
    args: z.strictObject({ fd }),
    // deno-lint-ignore require-yield
    *run({ descriptors }, args) {
      const d = descriptors.get(args.fd);
      if (d === undefined) return { errno: EBADF, detail: `no step opened ${args.fd}` };
      descriptors.delete(args.fd);
      return answered(d.sys.close(d.fd));
    },
  }),
];
