import { PAGE_SIZE } from "../../../src/base/units.ts";
import {
  KEXEC_KHO_DUMP,
  type KhoCommand,
  type KhoMem,
  memProperty,
  NOTIFY_BAD,
  NOTIFY_DONE,
} from "../../../src/kernel/kho/abi.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import type { KernelRig } from "../rig.ts";

/** A subscriber that notes what it is told, preserves some memory, and answers as it is bid. */
export function subscribe(rig: KernelRig, name: string, mem: KhoMem[] = [], answer = NOTIFY_DONE) {
  const told: KhoCommand[] = [];
  rig.kernel.kho.register(name, (command, fdt) => {
    told.push(command);
    if (command !== KEXEC_KHO_DUMP) return NOTIFY_DONE;
    const err = fdt.beginNode(name) | memProperty(fdt, mem) | fdt.endNode();
    return err !== 0 ? NOTIFY_BAD : answer;
  });
  return told;
}

/** Pages somebody holds, as a "mem" entry. */
export function somePages(rig: KernelRig, count: number): KhoMem {
  const pfn = rig.kernel.pages.allocRange(count, 1, FrameUse.kernel);
  return { address: pfn * PAGE_SIZE, length: count * PAGE_SIZE };
}
