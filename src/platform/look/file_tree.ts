import { formatSize } from "../../base/units.ts";
import { BLOCK_SIZE } from "../../kernel/fs/guestmemfs/layout.ts";
import type { Guestmemfs } from "../../kernel/fs/guestmemfs/guestmemfs.ts";
import { EventFd } from "../../kernel/fs/eventfd.ts";
import { GuestmemfsFile } from "../../kernel/fs/guestmemfs/file.ts";
import { MemfdFile } from "../../kernel/fs/memfd.ts";
import type { FsDir, OpenFile } from "../../kernel/fs/vfs.ts";
import { IommufdCtx } from "../../kernel/iommufd/ctx.ts";
import { KvmFile, KvmVcpuFile, KvmVmFile } from "../../kernel/kvm.ts";
import { VfioCdevFile } from "../../kernel/vfio/cdev.ts";
import type { Platform } from "../platform.ts";
import { khoTrees } from "./kho_tree.ts";
import { TreeLines, type TreeNode } from "./tree.ts";

/** Directories that are open at first. */
const OPEN = ["/sys", "/sys/kernel", "/sys/kernel/iommufd_persisted", "/mnt", "/mnt/guestmemfs"];

/** Every file there is, what programs have open, and what KHO carries: as trees. */
export function fileTree(platform: Platform, toggled: ReadonlySet<string>): TreeNode[] {
  const { kernel } = platform;
  const out = new TreeLines(toggled);
  khoTrees(out, platform);
  directory(out, kernel.vfs.root, "", 0, kernel.guestmemfs);
  programs(out, platform);
  return out.lines;
}

function directory(
  out: TreeLines,
  dir: FsDir,
  path: string,
  depth: number,
  memory: Guestmemfs | undefined,
): void {
  if (dir === memory) return memoryFiles(out, memory, path, depth);
  for (const name of dir.names()) {
    const node = dir.lookup(name), at = `${path}/${name}`;
    if (node?.kind === "dir") {
      const detail = node === memory ? usage(memory) : "";
      const shut = !OPEN.includes(at) && !/^\/sys\/kernel\/iommufd_persisted\//.test(at);
      out.branch(
        depth,
        at,
        depth === 0 ? `/${name}/` : `${name}/`,
        detail,
        () => directory(out, node, at, depth + 1, memory),
        { shut, path: at },
      );
    } else if (node !== undefined) {
      const m = /^\/sys\/kernel\/iommufd_persisted\/(\d+)\/iommufd$/.exec(at);
      out.leaf(
        depth,
        at,
        name,
        m === null ? "" : "a persisted iommufd: Enter takes it",
        m === null ? { path: at } : { path: at, persistentId: Number(m[1]) },
      );
    }
  }
}

function usage(fs: Guestmemfs): string {
  const { blocks, bfree } = fs.statfs();
  const used = formatSize((blocks - bfree) * BLOCK_SIZE);
  return `${used} of ${formatSize(blocks * BLOCK_SIZE)}${fs.serialised ? ", frozen by KHO" : ""}`;
}

function memoryFiles(out: TreeLines, fs: Guestmemfs, path: string, depth: number): void {
  for (const inode of fs.inodes()) {
    const size = formatSize(inode.numMappings * BLOCK_SIZE);
    const pins = inode.pins === 0 ? "" : `, ${inode.pins} ${inode.pins === 1 ? "pin" : "pins"}`;
    const blocks = Array.from({ length: inode.numMappings }, (_, i) => inode.block(i));
    out.leaf(depth, `${path}/${inode.name}`, inode.name, `${size}, inode ${inode.ino}${pins}`, {
      path: `${path}/${inode.name}`,
      memoryFile: inode.name,
      text: `inode ${inode.ino}\nsize ${size}\npins ${inode.pins}\nblocks ${runsOf(blocks)}`,
    });
  }
}

/** `0-15, 20`: ascending numbers in runs. */
function runsOf(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const n of numbers) {
    const last = runs[runs.length - 1];
    if (last !== undefined && last[1] + 1 === n) last[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([a, b]) => a === b ? String(a) : `${a}-${b}`).join(", ") || "none";
}

/** Programs with what they have open, as /proc/PID/fd would show them. */
function programs(out: TreeLines, { kernel }: Platform): void {
  const shells = kernel.shells.filter((task) => task.fds.length > 0);
  const tasks = [...kernel.scheduler.tasks, ...shells];
  out.branch(0, "programs", "programs", `${tasks.length}, and what they have open`, () => {
    for (const task of tasks) {
      const key = `programs/${task.pid}`;
      out.branch(
        1,
        key,
        `${task.pid}/`,
        [task.comm, task.status].filter((w) => w !== "").join(", "),
        () => {
          for (const [fd, file] of task.fds) {
            out.leaf(2, `${key}/${fd}`, `fd ${fd}`, fileName(file));
          }
        },
        { shut: true },
      );
    }
  }, { shut: true });
}

function fileName(file: OpenFile): string {
  if (file instanceof IommufdCtx) {
    return `/dev/iommu${file.persistentId > 0 ? `, persistent ${file.persistentId}` : ""}`;
  }
  if (file instanceof VfioCdevFile) return `vfio device ${file.vdev.dev.name}`;
  if (file instanceof GuestmemfsFile) return `guestmemfs ${file.inode.name}`;
  if (file instanceof MemfdFile) return `memfd ${file.name}`;
  if (file instanceof KvmVcpuFile) return "kvm vcpu";
  if (file instanceof KvmVmFile) return "kvm vm";
  if (file instanceof KvmFile) return "/dev/kvm";
  return file instanceof EventFd ? "eventfd" : "file";
}
