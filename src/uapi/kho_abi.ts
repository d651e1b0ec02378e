/**
 * What one emulated kernel hands over to the next in its device tree: the names of nodes and
 * properties, their widths, and what the values are. All integers are little-endian.
 * The kernel writes and reads by this table; `kho_decode.ts` explains blobs by it.
 */

/** What a value means, for the explanation of it. */
export type KhoMeaning =
  | "agaw"
  | "boolean"
  | "bus"
  | "count"
  | "devfn"
  | "flag"
  | "id"
  | "index list"
  | "inode"
  | "mem list"
  | "offset"
  | "pci id"
  | "physical address"
  | "prot"
  | "segment"
  | "size"
  | "text"
  | "virtual address";

export interface KhoProperty {
  readonly name: string;
  /** Bytes of the value, of one element in a list, 0 for text and for what is there or not. */
  readonly width: number;
  readonly meaning: KhoMeaning;
}

/** The properties of one kind of node, by the name the code uses. */
export type KhoRecord = Readonly<Record<string, KhoProperty>>;

function property<N extends string>(name: N, width: number, meaning: KhoMeaning) {
  return { name, width, meaning } as const;
}

/** On any node, of any format: ranges the next kernel must keep, {u64 address, u64 length} each. */
export const KHO_MEM = property("mem", 16, "mem list");
export const KHO_MEM_ENTRY_BYTES = 16;
/** In the low bits of a range's address: its pages get no struct page. */
export const KHO_MEM_NOINIT = 1;
/** Bits of a range's address that are flags. */
export const KHO_MEM_FLAGS = 0xfff;

export const KHO_COMPATIBLE = property("compatible", 0, "text");
export const KHO_ROOT_COMPATIBLE = "kho-v1";

/**
 * /iommufd/iommufds/PERSISTENT-ID/{ioases,hwpts,devices}/OBJECT-ID; areas are below an IOAS. Ordinary
 * memory for devices that no IOMMU covers lies in `memory`, by file.
 */
export const IOMMUFD_KHO = {
  node: "iommufd",
  compatible: "iommufd-v0",
  iommufds: "iommufds",
  ioases: "ioases",
  hwpts: "hwpts",
  devices: "devices",
  ioas: {
    pinnedFileHandle: property("pinned-file-handle", 8, "inode"),
  },
  area: {
    iovaStart: property("iova-start", 8, "virtual address"),
    iovaLen: property("iova-len", 8, "size"),
    iommuProt: property("iommu-prot", 4, "prot"),
    fileHandle: property("file-handle", 8, "inode"),
    fileOffset: property("file-offset", 8, "offset"),
    /** The node below `memory` it shows, where it shows no file of guestmemfs. */
    memory: property("memory", 4, "id"),
    pageOffset: property("page-offset", 4, "offset"),
  },
  hwpt: {
    ioasId: property("ioas-id", 4, "id"),
    domain: property("domain", 8, "id"),
    auto: property("auto", 4, "boolean"),
    /** IOMMU_HWPT_ALLOC_*. */
    flags: property("flags", 4, "count"),
    /** No hardware walks it. */
    noiommu: property("noiommu", 0, "flag"),
  },
  device: {
    segment: property("segment", 2, "segment"),
    bus: property("bus", 1, "bus"),
    devfn: property("devfn", 1, "devfn"),
    hwptId: property("hwpt-id", 4, "id"),
    /** Of a device that no IOMMU covers: what pins for it. */
    accessId: property("access-id", 4, "id"),
  },
  memory: "memory",
  /** `mem`: its pinned pages, as they lie in the file. */
  carried: {
    mem: KHO_MEM,
    name: property("name", 0, "text"),
    size: property("size", 8, "size"),
    /** F_SEAL_*. */
    seals: property("seals", 4, "count"),
    /** Page of the file that each range of `mem` begins with. */
    index: property("index", 8, "index list"),
  },
  /** Below a device's `pasids`, by PASID. */
  pasids: "pasids",
  /** From iommufd-v1 on an iommufd has only this below it: the files its devices write to. */
  redriveCompatible: "iommufd-v1",
  /** The same, and the calls that made it, in order. */
  callsCompatible: "iommufd-calls-v1",
  calls: "calls",
  call: {
    /** An ioctl of /dev/iommu; below 256: a device was bound, attached, detached, unbound. */
    nr: property("nr", 4, "count"),
    /** The object it made. */
    made: property("made", 4, "id"),
    fileHandle: property("file-handle", 8, "inode"),
    sid: property("sid", 4, "id"),
  },
  files: "files",
  file: {
    fileHandle: property("file-handle", 8, "inode"),
  },
  pasid: {
    hwptId: property("hwpt-id", 4, "id"),
  },
} as const;

/** /intel-iommu/{domains,units}/ID; a domain's devices are below it, in `devices`. */
export const INTEL_IOMMU_KHO = {
  node: "intel-iommu",
  compatible: "intel-iommu-v0",
  /** One list of table pages for all domains. */
  oneListCompatible: "intel-iommu-v1",
  domains: "domains",
  devices: "devices",
  units: "units",
  /** `mem`: the pages of the page table. */
  domain: {
    mem: KHO_MEM,
    persistentId: property("persistent_id", 8, "id"),
    pgd: property("pgd", 8, "physical address"),
    /** Signed. Levels of the page table are agaw + 2. */
    agaw: property("agaw", 4, "agaw"),
    did: property("did", 4, "id"),
    /** Persistent id of the iommufd the domain belongs to. */
    owner: property("owner", 8, "id"),
    /** The node below `units` whose tables lead to it. */
    unit: property("unit", 4, "id"),
    /** Dirty tracking: 0 cannot, 1 off, 2 on. */
    dirty: property("dirty", 4, "count"),
  },
  device: {
    bus: property("bus", 1, "bus"),
    devfn: property("devfn", 1, "devfn"),
    /** 0: requests without a PASID. */
    pasid: property("pasid", 4, "id"),
  },
  /**
   * As intel-iommu-devices-v1, in place of domains: `tables`, which have what is said above of a page
   * table alone, and `devices`, named segment:bdf[:pasid].
   */
  keyedCompatible: "intel-iommu-devices-v1",
  tables: "tables",
  walker: {
    /** The node below `tables` that it walks. */
    tables: property("tables", 4, "id"),
    owner: property("owner", 8, "id"),
  },
  /** `mem`: root, context and PASID tables. */
  unit: {
    mem: KHO_MEM,
    regBase: property("reg-base", 8, "physical address"),
    root: property("root", 8, "physical address"),
  },
} as const;

/** /arm-smmu-v3/{tables,devices,units}/ID; `tables` and `devices` as in intel-iommu-devices-v1. */
export const SMMU_KHO = {
  node: "arm-smmu-v3",
  compatible: "arm-smmu-v3-v1",
  tables: {
    mem: KHO_MEM,
    pgd: property("pgd", 8, "physical address"),
    /** VMID. */
    did: property("did", 4, "id"),
    unit: property("unit", 4, "id"),
  },
  /** `mem`: every page of the stream table. */
  unit: {
    mem: KHO_MEM,
    regBase: property("reg-base", 8, "physical address"),
    streamTable: property("stream-table", 8, "physical address"),
  },
} as const;

/** /pci/devices/N: devices that no IOMMU answers for and that are left at work. */
export const PCI_KHO = {
  node: "pci",
  compatible: "pci-v0",
  devices: "devices",
  device: {
    segment: property("segment", 2, "segment"),
    bus: property("bus", 1, "bus"),
    devfn: property("devfn", 1, "devfn"),
    vendor: property("vendor", 2, "pci id"),
    device: property("device", 2, "pci id"),
    resetWorks: property("reset-works", 4, "boolean"),
  },
} as const;

/** /guestmemfs/{fs_mem,superblock,mappings_blocks,mappings_to_inode}. */
export const GUESTMEMFS_KHO = {
  node: "guestmemfs",
  compatible: "guestmemfs-v1",
  /** `mem`: one range, the whole file system, with KHO_MEM_NOINIT. */
  fsMem: "fs_mem",
  /** `mem`: the superblock's page, the inodes (2 MiB), the allocator's bitmap (1 MiB). */
  superblock: "superblock",
  /** `mem`: one page for each file. */
  mappingsBlocks: "mappings_blocks",
  /** `mem`: one range; also numInodes. */
  mappingsToInode: "mappings_to_inode",
  mappings: {
    mem: KHO_MEM,
    numInodes: property("num_inodes", 4, "count"),
  },
} as const;

/** Which record describes a node, by its path; `*` stands for any one name. */
export const KHO_NODES: readonly (readonly [path: string, record: KhoRecord])[] = [
  ["/iommufd/iommufds/*/ioases/*", IOMMUFD_KHO.ioas],
  ["/iommufd/iommufds/*/ioases/*/*", IOMMUFD_KHO.area],
  ["/iommufd/iommufds/*/hwpts/*", IOMMUFD_KHO.hwpt],
  ["/iommufd/iommufds/*/devices/*", IOMMUFD_KHO.device],
  ["/iommufd/iommufds/*/devices/*/pasids/*", IOMMUFD_KHO.pasid],
  ["/iommufd/iommufds/*/memory/*", IOMMUFD_KHO.carried],
  ["/iommufd/iommufds/*/files/*", IOMMUFD_KHO.file],
  ["/iommufd/iommufds/*/calls/*", IOMMUFD_KHO.call],
  ["/intel-iommu/tables/*", INTEL_IOMMU_KHO.domain],
  ["/intel-iommu/devices/*", INTEL_IOMMU_KHO.walker],
  ["/intel-iommu/domains/*", INTEL_IOMMU_KHO.domain],
  ["/intel-iommu/domains/*/devices/*", INTEL_IOMMU_KHO.device],
  ["/intel-iommu/units/*", INTEL_IOMMU_KHO.unit],
  ["/arm-smmu-v3/tables/*", SMMU_KHO.tables],
  ["/arm-smmu-v3/devices/*", INTEL_IOMMU_KHO.walker],
  ["/arm-smmu-v3/units/*", SMMU_KHO.unit],
  ["/pci/devices/*", PCI_KHO.device],
  ["/guestmemfs/mappings_to_inode", GUESTMEMFS_KHO.mappings],
];
