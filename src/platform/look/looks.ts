import type { Platform } from "../platform.ts";
import { type DeviceLook, deviceLook } from "./device_look.ts";
import { fileTree } from "./file_tree.ts";
import { iommufdTree } from "./iommufd_tree.ts";
import { type MemoryMap, memoryMap } from "./memory_map.ts";
import type { TreeNode } from "./tree.ts";

/** What somebody wants to see beside a snapshot. All of it costs something. */
export interface Wanted {
  readonly iommufd: boolean;
  readonly files: boolean;
  /** In how many pieces memory is to be told; 0: not at all. */
  readonly memory: number;
  /** Keys of branches of trees that are not as they are at first. */
  readonly toggled: ReadonlySet<string>;
  /** The device to be looked into, and the address whose translation is wanted. */
  readonly device?: { readonly id: string; readonly iova: number | undefined };
}

/** What was found: plain values, nothing that reaches back into the platform. */
export interface Looks {
  readonly iommufd: readonly TreeNode[];
  readonly files: readonly TreeNode[];
  readonly memory: MemoryMap | undefined;
  readonly device: DeviceLook | undefined;
}

export const NOTHING_WANTED: Wanted = {
  iommufd: false,
  files: false,
  memory: 0,
  toggled: new Set(),
};

/** Looks at what is wanted, and changes nothing by it. */
export function look(platform: Platform, wanted: Wanted): Looks {
  const { toggled, device } = wanted;
  return {
    iommufd: wanted.iommufd ? iommufdTree(platform, toggled) : [],
    files: wanted.files ? fileTree(platform, toggled) : [],
    memory: wanted.memory > 0 ? memoryMap(platform, wanted.memory) : undefined,
    device: device === undefined ? undefined : deviceLook(platform, device.id, device.iova),
  };
}
