import { PAGE_SIZE } from "../../base/units.ts";
import type { Memory } from "../../machine/memory.ts";
import type { AddressSpace } from "./address_space.ts";

/** copy_to_user: false where nothing (writable) is mapped. May stop half-way, as the real one. */
export function copyToUser(
  memory: Memory,
  mm: AddressSpace,
  address: number,
  bytes: Uint8Array,
): boolean {
  for (let done = 0; done < bytes.length;) {
    const at = address + done;
    const vma = mm.find(at);
    const pfn = mm.translate(at);
    if (pfn < 0 || !vma?.writable) return false;
    const n = Math.min(bytes.length - done, PAGE_SIZE - at % PAGE_SIZE);
    memory.write(pfn * PAGE_SIZE + at % PAGE_SIZE, bytes.subarray(done, done + n));
    done += n;
  }
  return true;
}

/** copy_from_user: undefined where nothing is mapped. */
export function copyFromUser(
  memory: Memory,
  mm: AddressSpace,
  address: number,
  length: number,
): Uint8Array | undefined {
  const out = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const at = address + done;
    const pfn = mm.translate(at);
    if (pfn < 0) return undefined;
    const n = Math.min(length - done, PAGE_SIZE - at % PAGE_SIZE);
    out.set(memory.read(pfn * PAGE_SIZE + at % PAGE_SIZE, n), done);
    done += n;
  }
  return out;
}
