import { formatSize, hex } from "../../base/units.ts";
import type { Area } from "../../kernel/iommufd/area.ts";
import type { IommufdCtx } from "../../kernel/iommufd/ctx.ts";
import { IommufdDevice } from "../../kernel/iommufd/device.ts";
import { HwptPaging } from "../../kernel/iommufd/hwpt.ts";
import { Ioas } from "../../kernel/iommufd/ioas.ts";
import { HwptNested } from "../../kernel/iommufd/nesting.ts";
import { type IommufdObject, ObjectKind } from "../../kernel/iommufd/objects.ts";
import { IOMMU_READ, IOMMU_WRITE } from "../../uapi/iommufd.ts";
import { formatBdf } from "../../uapi/pci_regs.ts";
import type { Platform } from "../platform.ts";
import { TreeLines, type TreeNode } from "./tree.ts";

/** Every iommufd of this boot: context, then address spaces with areas, page tables, devices. */
export function iommufdTree(platform: Platform, toggled: ReadonlySet<string>): TreeNode[] {
  const { iommufd } = platform.kernel;
  const out = new TreeLines(toggled);
  iommufd.contexts.forEach((ctx, i) => {
    const persistent = ctx.persistentId > 0;
    const key = persistent ? `iommufd:p${ctx.persistentId}` : `iommufd:${i}`;
    const name = persistent ? `iommufd persistent ${ctx.persistentId}` : "iommufd";
    const detail = [userOf(platform, ctx), ctx.frozen ? "frozen" : "", ctx.waiting ? "waits" : ""]
      .filter((word) => word !== "").join(", ");
    out.branch(0, key, name, detail, () => objects(out, key, ctx));
  });
  for (const id of iommufd.pending) {
    out.leaf(0, `pending:${id}`, `iommufd persistent ${id}`, "waits in sysfs", {
      persistentId: id,
      path: `/sys/kernel/iommufd_persisted/${id}/iommufd`,
    });
  }
  return out.lines;
}

/** `fd 3 of vm0 (101)`: who has it open. */
function userOf({ kernel }: Platform, ctx: IommufdCtx): string {
  for (const task of [...kernel.scheduler.tasks, ...kernel.shells]) {
    const found = task.fds.find(([, file]) => file === ctx);
    if (found !== undefined) return `fd ${found[0]} of ${task.comm} (${task.pid})`;
  }
  return "";
}

function objects(out: TreeLines, parent: string, ctx: IommufdCtx): void {
  for (const object of ctx.objects.all) {
    const key = `${parent}/${object.id}`;
    if (object instanceof Ioas) {
      const { items } = object.iopt.areas;
      const pinned = items.reduce((sum, area) => sum + (area.pages?.pinned ?? 0), 0);
      const detail = `${items.length} ${items.length === 1 ? "area" : "areas"}` +
        (pinned > 0 ? `, ${pinned} pages pinned` : "");
      out.branch(1, key, `${object.id} IOAS`, detail, () => {
        for (const area of items) areaLine(out, key, area);
      });
    } else out.leaf(1, key, `${object.id} ${nameOf(object)}`, detailOf(object));
  }
}

function areaLine(out: TreeLines, parent: string, area: Area): void {
  const { start, last, prot, pages } = area;
  const rights = (prot & IOMMU_READ ? "r" : "-") + (prot & IOMMU_WRITE ? "w" : "-");
  const file = pages?.source.persistent;
  const pinned = pages?.pinned ?? 0;
  const pins = pages === null ? ", no pages" : pinned > 0 ? `, ${pinned} pages pinned` : "";
  const source = file === undefined ? pins : `, file ${file.handle}${pins}`;
  const size = formatSize(Number(last - start) + 1);
  const name = `${hex(start)}-${hex(last)}`;
  out.leaf(2, `${parent}/${hex(start)}`, name, `${rights} ${size}${source}`);
}

function nameOf(object: IommufdObject): string {
  if (object instanceof HwptPaging) return `HWPT of ${object.ioas.id}`;
  if (object instanceof HwptNested) return `HWPT over ${object.parent.id}`;
  if (object instanceof IommufdDevice) {
    return `device ${formatBdf(object.dev.bus, object.dev.devfn)}`;
  }
  return object.kind === ObjectKind.access
    ? "access"
    : object.kind === ObjectKind.fault
    ? "fault queue"
    : "object";
}

function detailOf(object: IommufdObject): string {
  if (object instanceof HwptPaging) {
    const { domain, auto, users } = object;
    const attached = users > 1 ? `, ${users - 1} attached` : "";
    const persistent = domain.persistentId > 0 ? `, persists as ${domain.persistentId}` : "";
    const walked = domain.did < 0 ? "walked by no hardware" : `DID ${domain.did}`;
    return `${walked}${auto ? " auto" : ""}${attached}${persistent}`;
  }
  return object instanceof IommufdDevice ? attachments(object) : `${object.users - 1} users`;
}

/** `on 3, PASID 5 on 4` */
function attachments({ hwpt, nested, pasids }: IommufdDevice): string {
  const on = [
    ...hwpt === undefined ? [] : [`on ${(nested ?? hwpt).id}`],
    ...pasids.map(([pasid, { id }]) => `PASID ${pasid} on ${id}`),
  ];
  return on.length > 0 ? on.join(", ") : "unattached";
}
