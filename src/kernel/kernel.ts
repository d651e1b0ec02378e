import type { Chooser } from "../base/choice.ts";
import type { EventQueue } from "../base/event_queue.ts";
import type { Machine } from "../machine/machine.ts";
import { ProgramTables } from "../machine/program_tables.ts";
import { EINVAL } from "../uapi/errno.ts";
import { type Program, TaskKilled } from "../uapi/sys.ts";
import { boot } from "./boot.ts";
import { Costs } from "./costs.ts";
import type { DefectId } from "./defects/catalogue.ts";
import { Dmesg, type LogLine } from "./dmesg.ts";
import type { Guestmemfs } from "./fs/guestmemfs/guestmemfs.ts";
import { Vfs } from "./fs/vfs.ts";
import { type Design, designOf } from "./handover/design.ts";
import type { KernelImage } from "./image.ts";
import { AmdDriver } from "./iommu/amd/driver.ts";
import { SmmuDriver } from "./iommu/arm/driver.ts";
import { IommuCore, type IommuDriver } from "./iommu/core.ts";
import { IntelDriver } from "./iommu/intel/driver.ts";
import { IommufdModule } from "./iommufd/module.ts";
import { Kexec } from "./kho/kexec.ts";
import { Kho } from "./kho/kho.ts";
import { Compaction } from "./mm/compaction.ts";
import { Kasan } from "./mm/kasan.ts";
import { Memblock } from "./mm/memblock.ts";
import { PageAllocator } from "./mm/page_alloc.ts";
import { UserPages } from "./mm/user_pages.ts";
import { Oops } from "./oops.ts";
import { PciCore } from "./pci/pci.ts";
import { AddressSpace } from "./process/address_space.ts";
import { Scheduler } from "./process/scheduler.ts";
import type { Task } from "./process/task.ts";
import { Syscalls } from "./syscalls.ts";
import { VfioPciDriver } from "./vfio/vfio.ts";

/** The world outside the machine that a kernel can be seen from: nothing comes in through here. */
export interface Console {
  /** A line of the kernel log. */
  log(line: LogLine): void;
  /** A line a program printed. */
  program(text: string): void;
  /** Device shutdown begins: reboot(2) was called. */
  rebooting(): void;
  /** Memory and registers as they stand, between the last store here and the next kernel's first. */
  atJump(kernel: Kernel): void;
  /** The jump itself: this kernel is no more. */
  jump(image: KernelImage): void;
}

/**
 * One kernel, from its boot to its kexec. Nothing of it reaches the next one except what lies in
 * memory, in registers, and in the KHO tree.
 */
export class Kernel {
  readonly queue: EventQueue;
  readonly chooser: Chooser;
  readonly dmesg: Dmesg;
  readonly costs = new Costs();
  readonly kasan = new Kasan(this);
  readonly memblock = new Memblock();
  readonly pages: PageAllocator;
  readonly userPages: UserPages;
  readonly compaction: Compaction;
  readonly vfs = new Vfs();
  readonly kho = new Kho(this);
  readonly kexec = new Kexec(this);
  readonly pci = new PciCore(this);
  readonly iommu = new IommuCore(this);
  readonly iommufd = new IommufdModule(this);
  /** The driver of the IOMMUs that firmware tells of. */
  readonly iommuDriver: IommuDriver | undefined;
  /** The same, where it is VT-d's: the only one with persistence. */
  readonly intel: IntelDriver | undefined;
  readonly vfio: VfioPciDriver;
  /** How this kernel hands DMA over. */
  readonly design: Design;
  readonly scheduler: Scheduler;
  /** Tasks of shells, those that have nothing open any more included. */
  readonly shells: Task[] = [];
  /** Memory set aside for guests, bytes. */
  guestRange: { readonly base: number; readonly size: number } | undefined;
  guestmemfs: Guestmemfs | undefined;
  /** TAINT_* bits: what makes a kernel's word worth less, as /proc/sys/kernel/tainted has it. */
  taint = 0;
  /** init runs: programs can be started. */
  ready = false;
  /** reboot(2) was called and cannot be taken back. */
  rebooting = false;
  /** Why this kernel has stopped for good; its devices go on as hardware has them. */
  panicked: string | undefined;
  readonly #bootedAt: number;
  readonly #shutdownEvent: number;
  readonly #jumpEvent: number;

  /** `number`: 1 for the first boot of the machine. `cmdline`: `name=value` words. */
  constructor(
    readonly machine: Machine,
    readonly image: KernelImage,
    readonly cmdline: string,
    readonly number: number,
    readonly out: Console,
  ) {
    this.queue = machine.queue;
    this.chooser = machine.chooser;
    this.#bootedAt = machine.queue.now;
    this.design = designOf(image.handover);
    this.dmesg = new Dmesg(number, machine.queue, machine.hash, (line) => out.log(line));
    this.pages = new PageAllocator(machine.memory, machine.chooser, this.costs);
    this.pages.onBadPage = (pfn) => {
      this.dmesg.splat(`BUG: Bad page state, pfn:${pfn.toString(16)}`, "freed, but nobody has it");
    };
    this.userPages = new UserPages(this.pages);
    this.compaction = new Compaction(this.pages, this.userPages, this.dmesg);
    this.pages.onFragmented = () => this.compaction.run() > 0;
    const { drhds, smmus, ivhds } = machine.firmware;
    this.intel = drhds.length > 0 ? new IntelDriver(this) : undefined;
    this.iommuDriver = this.intel ??
      (smmus.length > 0
        ? new SmmuDriver(this)
        : ivhds.length > 0
        ? new AmdDriver(this)
        : undefined);
    this.vfio = new VfioPciDriver(this);
    const sys = (task: Task) => new Syscalls(this, task);
    const mm = (comm: string) => this.#addressSpace(comm);
    const exited = () => machine.poke();
    this.scheduler = new Scheduler(machine.queue, machine.chooser, this.dmesg, sys, mm, exited);
    this.#shutdownEvent = machine.queue.register(() => this.#orPanic(() => this.#shutdown()));
    this.#jumpEvent = machine.queue.register(() => this.#orPanic(() => this.#jump()));
  }

  /** Boots, yielding the nanoseconds each stage takes. */
  *boot(): Generator<number, void, void> {
    try {
      yield* boot(this);
    } catch (error) {
      this.#die(error, "Attempted to kill init! exitcode=0x00000009");
    }
  }

  /** The end of this kernel: no task runs any more, no interrupt finds a handler. */
  panic(why: string): void {
    this.dmesg.splat(`Kernel panic - not syncing: ${why}`);
    this.panicked = why;
    this.scheduler.stop();
    this.machine.dropInterruptHandlers();
    this.machine.poke();
  }

  /** With the other processors stopped there is no task left that could be killed instead. */
  #orPanic(run: () => void): void {
    if (this.panicked !== undefined) return;
    try {
      run();
    } catch (error) {
      this.#die(error, "Fatal exception");
    }
  }

  /** An oops where no task can be killed for it. Any other error is a bug of the emulator. */
  #die(error: unknown, why: string): void {
    if (!(error instanceof Oops)) throw error;
    this.dmesg.splat(error.message, `RIP: ${error.at}`);
    this.panic(why);
  }

  /** Nanoseconds since this kernel took over. */
  get uptime(): number {
    return this.queue.now - this.#bootedAt;
  }

  /** This kernel's code is as it was posted where the defect is (see defects/catalogue.ts). */
  has(id: DefectId): boolean {
    return this.image.defects.has(id);
  }

  /** Value of a command-line parameter, the last one's; undefined when it is not there. */
  parameter(name: string): string | undefined {
    const word = this.cmdline.split(" ").findLast((w) => w.startsWith(name + "="));
    return word?.slice(name.length + 1);
  }

  /** A switch on the command line, as the kernel reads one: `1`, `y` or `on`. */
  isSet(name: string): boolean {
    return /^(1|y|on)$/i.test(this.parameter(name) ?? "");
  }

  console(text: string): void {
    this.machine.hash.mixAt(this.queue.now, text.length);
    this.machine.hash.mixText(text);
    this.out.program(text);
  }

  /** A program's memory; the tables a processor goes by only where somebody watches them. */
  #addressSpace(comm: string): AddressSpace {
    const { programs } = this.machine.guestObserver;
    if (!programs?.watches(comm)) return new AddressSpace();
    const tables = new ProgramTables(comm, programs);
    this.userPages.notifiers.add((from, to) => tables.moved(from, to));
    return new AddressSpace(tables);
  }

  /**
   * A shell: system calls of a task of its own that runs no program. A call that the kernel does not
   * come back from throws {@link TaskKilled}.
   */
  shell(): Syscalls {
    const task = this.scheduler.newTask("sh");
    this.shells.push(task);
    const calls = new Map<string | symbol, unknown>();
    return new Proxy(new Syscalls(this, task), {
      get: (sys, name) => {
        const known = calls.get(name);
        if (known !== undefined) return known;
        const value = Reflect.get(sys, name);
        if (typeof value !== "function") return value;
        const call = (...args: unknown[]) => this.#callOf(task, () => value.apply(sys, args));
        calls.set(name, call);
        return call;
      },
    });
  }

  #callOf<T>(task: Task, call: () => T): T {
    if (this.panicked !== undefined) throw new TaskKilled(`the kernel has panicked`);
    if (task.exitStatus !== undefined) throw new TaskKilled(`${task.comm} was killed`);
    try {
      return call();
    } catch (error) {
      if (!(error instanceof Oops)) throw error;
      this.scheduler.oops(task, error);
      throw new TaskKilled(`${task.comm} was killed by an oops in ${error.at}`);
    }
  }

  spawn(comm: string, program: Program): Task {
    return this.scheduler.spawn(comm, program);
  }

  /** reboot(LINUX_REBOOT_CMD_KEXEC). EINVAL when nothing is loaded. The rest happens in time. */
  kexecReboot(): number {
    if (this.kexec.loaded === undefined || this.rebooting) return -EINVAL;
    this.rebooting = true;
    this.dmesg.info("kexec_core: Starting new kernel");
    this.out.rebooting();
    this.queue.after(this.machine.profile.timing.shutdown, this.#shutdownEvent);
    return 0;
  }

  #shutdown(): void {
    this.pci.shutdown();
    this.iommu.shutdown();
    this.queue.after(this.machine.profile.timing.jump, this.#jumpEvent);
  }

  #jump(): void {
    const loaded = this.kexec.loaded;
    if (loaded === undefined) return;
    this.kexec.relocate();
    // No close handler runs: programs and their files cease, as in reality.
    this.scheduler.stop();
    this.machine.dropInterruptHandlers();
    this.out.atJump(this);
    this.out.jump(loaded.image);
  }
}
