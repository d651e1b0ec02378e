import { hex, PAGE_SIZE } from "../../base/units.ts";
import type { DmarDomain } from "../../kernel/iommu/intel/domain.ts";
import type { IommufdCtx } from "../../kernel/iommufd/ctx.ts";
import { IommufdDevice } from "../../kernel/iommufd/device.ts";
import { HwptPaging } from "../../kernel/iommufd/hwpt.ts";
import { NoiommuDomain } from "../../kernel/iommufd/noiommu.ts";
import { Ioas } from "../../kernel/iommufd/ioas.ts";
import type { Area } from "../../kernel/iommufd/area.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { loadedTree } from "./tree.ts";

/** A 64-bit value, `0x1f3000`: JSON numbers stop at 2^53. */
export type Hex = `0x${string}`;

/** What a kernel believes, for comparison with what it wrote into memory and device tree. */
export interface State {
  readonly format: "hitless.state";
  readonly version: 1;
  readonly image: string;
  /** 1: the cold boot. */
  readonly boot: number;
  /** Virtual nanoseconds. */
  readonly time_ns: number;
  /** Persistent ones only, by ascending id. */
  readonly iommufds: readonly IommufdState[];
  readonly domains: readonly DomainState[];
  readonly units: readonly { readonly reg_base: Hex; readonly root: Hex | null }[];
  readonly kho: KhoState;
  /** By ascending inode number. */
  readonly files: readonly FileState[];
}

export interface IommufdState {
  readonly persistent_id: number;
  readonly ioases: readonly {
    readonly id: number;
    /** Inode of the first area that a file backs; 0x0: none. */
    readonly pinned_file_handle: Hex;
    readonly areas: readonly AreaState[];
  }[];
  /** `domain`: persistent id. `auto`: made by an attach. `noiommu`: no hardware walks it. */
  readonly hwpts: readonly {
    readonly id: number;
    readonly ioas_id: number;
    readonly domain: number;
    readonly auto: boolean;
    readonly noiommu?: true;
  }[];
  /** `hwpt_id`: 0 when not attached. `access_id`: of a device that no IOMMU covers. */
  readonly devices: readonly {
    readonly id: number;
    readonly segment: number;
    readonly bus: number;
    readonly devfn: number;
    readonly hwpt_id: number;
    readonly access_id?: number;
  }[];
}

export interface AreaState {
  readonly iova: Hex;
  /** Bytes. */
  readonly length: Hex;
  /** IOMMU_READ 1, IOMMU_WRITE 2, IOMMU_CACHE 4. */
  readonly prot: number;
  readonly file_handle: Hex;
  /** Byte of the file at which the area's first page begins. */
  readonly file_offset: Hex;
}

export interface DomainState {
  readonly persistent_id: number;
  readonly pgd: Hex;
  readonly agaw: number;
  readonly did: number;
  /** `pasid` only for requests that carry one. */
  readonly devices: readonly {
    readonly bus: number;
    readonly devfn: number;
    readonly pasid?: number;
  }[];
  /** Every table page, the top one first. */
  readonly tables: readonly Hex[];
}

export interface KhoState {
  readonly active: boolean;
  /** Where the loaded image will find the device tree; null: nothing loaded, or no tree in it. */
  readonly dt: Hex | null;
  /** What the dump that stands says is to be kept. Half-open. */
  readonly mem: readonly { readonly start: Hex; readonly end: Hex }[];
}

export interface FileState {
  readonly name: string;
  readonly ino: number;
  /** Blocks of 2 MiB. */
  readonly blocks: number;
  readonly pins: number;
}

/** The kernel as it stands. Plain data: what happens later does not change it. */
export function stateOf(kernel: Kernel): State {
  const files = kernel.guestmemfs?.inodes() ?? [];
  return {
    format: "hitless.state",
    version: 1,
    image: kernel.image.name,
    boot: kernel.number,
    time_ns: kernel.queue.now,
    iommufds: byId(kernel.iommufd.persistent).map(iommufdState),
    domains: (kernel.intel?.persistent.all ?? []).map(domainState),
    units: (kernel.iommuDriver?.roots() ?? []).map((unit) => ({
      reg_base: hex64(unit.regBase),
      root: unit.root < 0 ? null : hex64(unit.root * PAGE_SIZE),
    })),
    kho: khoState(kernel),
    files: files.map((inode) => ({
      name: inode.name,
      ino: inode.ino,
      blocks: inode.numMappings,
      pins: inode.pins,
    })).sort((a, b) => a.ino - b.ino),
  };
}

function byId<T>(map: ReadonlyMap<number, T>): T[] {
  return [...map].sort(([a], [b]) => a - b).map(([, value]) => value);
}

function iommufdState(ctx: IommufdCtx): IommufdState {
  const objects = ctx.objects.all;
  return {
    persistent_id: ctx.persistentId,
    ioases: objects.filter((o) => o instanceof Ioas).map(({ id, iopt }) => {
      const areas = iopt.areas.items;
      const backed = areas.find((area) => area.pages?.source.persistent !== undefined);
      return {
        id,
        pinned_file_handle: hex64(backed?.pages?.source.persistent?.handle ?? 0),
        areas: areas.map(areaState),
      };
    }),
    hwpts: objects.filter((o) => o instanceof HwptPaging).map(({ id, ioas, domain, auto }) => ({
      id,
      ioas_id: ioas.id,
      domain: domain.persistentId,
      auto,
      ...(domain instanceof NoiommuDomain && { noiommu: true as const }),
    })),
    devices: objects.filter((o) => o instanceof IommufdDevice).map(deviceState),
  };
}

function deviceState({ id, dev, hwpt, noiommu }: IommufdDevice): IommufdState["devices"][number] {
  return {
    id,
    segment: dev.segment,
    bus: dev.bus,
    devfn: dev.devfn,
    hwpt_id: hwpt?.id ?? 0,
    ...(noiommu !== undefined && { access_id: noiommu.access.id }),
  };
}

function areaState({ start, last, prot, pages, first }: Area): AreaState {
  const file = pages?.source.persistent;
  return {
    iova: hex64(start),
    length: hex64(last - start + 1n),
    prot,
    file_handle: hex64(file?.handle ?? 0),
    file_offset: hex64((file?.offset ?? 0) + first * PAGE_SIZE),
  };
}

function domainState(domain: DmarDomain): DomainState {
  return {
    persistent_id: domain.persistentId,
    pgd: hex64(domain.table.pgd * PAGE_SIZE),
    agaw: domain.agaw,
    did: domain.did,
    devices: domain.attachments.map(({ sid, pasid }) => ({
      bus: sid >> 8,
      devfn: sid & 0xff,
      ...(pasid === 0 ? {} : { pasid }),
    })),
    tables: domain.table.tables().map((pfn) => hex64(pfn * PAGE_SIZE)),
  };
}

function khoState(kernel: Kernel): KhoState {
  const { kho, kexec } = kernel;
  const tree = loadedTree(kexec.loaded);
  return {
    active: kho.active,
    dt: tree === undefined ? null : hex64(tree.address),
    mem: (kho.dump?.mem ?? []).map((r) => ({ start: hex64(r.start), end: hex64(r.end) })),
  };
}

function hex64(value: number | bigint): Hex {
  return hex(value) as Hex;
}
