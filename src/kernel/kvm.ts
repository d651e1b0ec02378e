import { PAGE_SIZE } from "../base/units.ts";
import * as E from "../uapi/errno.ts";
import * as U from "../uapi/kvm.ts";
import type { Frames } from "../machine/frame_runs.ts";
import { GuestMemory } from "../machine/guest_memory.ts";
import { OpenFile } from "./fs/vfs.ts";
import type { Kernel } from "./kernel.ts";
import type { MoveNotifier } from "./mm/user_pages.ts";
import type { Task } from "./process/task.ts";

/** /dev/kvm: makes VMs. */
export class KvmFile extends OpenFile {
  constructor(readonly kernel: Kernel) {
    super();
  }

  override ioctlValue(task: Task, command: number, _value: number): number {
    if (command !== U.KVM_CREATE_VM) return -E.ENOTTY;
    return task.installFd(new KvmVmFile(this.kernel, task));
  }
}

/** A VM: memory slots from the address space of the process that made it. */
export class KvmVmFile extends OpenFile {
  readonly guest: GuestMemory;
  readonly #slots = new Map<number, { readonly gpa: number; readonly size: number }>();
  readonly #moved: MoveNotifier = (from, to) => this.guest.moved(from, to);

  constructor(readonly kernel: Kernel, readonly owner: Task) {
    super();
    const { memory, bus, guestObserver } = kernel.machine;
    this.guest = new GuestMemory(owner.comm, memory, bus, guestObserver);
    kernel.userPages.notifiers.add(this.#moved);
  }

  protected override release(): void {
    this.kernel.userPages.notifiers.delete(this.#moved);
  }

  override ioctlValue(task: Task, command: number, _value: number): number {
    if (command !== U.KVM_CREATE_VCPU) return -E.ENOTTY;
    return task.installFd(new KvmVcpuFile(this));
  }

  /**
   * KVM_SET_USER_MEMORY_REGION. EINVAL for unaligned regions and for changing a slot, which must be
   * taken away first (size 0); EEXIST over another slot; EFAULT where the process has nothing
   * mapped. Pages are resolved here rather than at the guest's first touch: same frames, sooner.
   */
  override ioctl(task: Task, command: number, payload: Uint8Array): number {
    if (command !== U.KVM_SET_USER_MEMORY_REGION) return -E.ENOTTY;
    if (payload.length < U.kvm_userspace_memory_region.size) return -E.EFAULT;
    const region = U.kvm_userspace_memory_region.decode(payload);
    const gpa = Number(region.guest_phys_addr), size = Number(region.memory_size);
    const va = Number(region.userspace_addr);
    if (gpa % PAGE_SIZE || size % PAGE_SIZE || va % PAGE_SIZE) return -E.EINVAL;
    const old = this.#slots.get(region.slot);
    if (size === 0 && old !== undefined) {
      this.guest.remove(old.gpa);
      this.#slots.delete(region.slot);
      return 0;
    }
    if (size === 0 || old !== undefined) return -E.EINVAL;
    for (const other of this.#slots.values()) {
      if (gpa < other.gpa + other.size && other.gpa < gpa + size) return -E.EEXIST;
    }
    const rc = this.#fill(task, gpa, size, va);
    if (rc === 0) this.#slots.set(region.slot, { gpa, size });
    return rc;
  }

  /** Puts memory or registers of the process behind guest-physical addresses. */
  #fill(task: Task, gpa: number, size: number, va: number): number {
    const vma = task.mm.find(va);
    if (vma === undefined) return -E.EFAULT;
    if (vma.backing.kind === "io") {
      if (va + size > vma.end) return -E.EFAULT;
      const io = (vma.backing.io ?? 0) + vma.pgoff * PAGE_SIZE + (va - vma.start);
      this.guest.addIo(gpa, size, io);
      return 0;
    }
    const frames: Frames[] = [];
    for (let done = 0; done < size / PAGE_SIZE;) {
      const run = task.mm.translateRun(va + done * PAGE_SIZE, size / PAGE_SIZE - done);
      if (run.pfn < 0) return -E.EFAULT;
      frames.push(run);
      done += run.count;
    }
    this.guest.addRam(gpa, frames);
    return 0;
  }
}

/** A virtual CPU: memory as the guest sees it. */
export class KvmVcpuFile extends OpenFile {
  constructor(readonly vm: KvmVmFile) {
    super();
    vm.get();
  }

  protected override release(): void {
    this.vm.put();
  }
}
