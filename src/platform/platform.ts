import { assert } from "../base/assert.ts";
import { SeededChooser } from "../base/choice.ts";
import { Health } from "../health/health.ts";
import type { LogLine } from "../kernel/dmesg.ts";
import { findImage, type KernelImage } from "../kernel/image.ts";
import { Kernel } from "../kernel/kernel.ts";
import type { Frames } from "../machine/frame_runs.ts";
import { type DeviceSpec, Machine } from "../machine/machine.ts";
import { formatSbdf, parseBdf, PCI_DEVICE_ID, PCI_VENDOR_ID } from "../uapi/pci_regs.ts";
import type { Sys } from "../uapi/sys.ts";
import type { Guest } from "../userspace/guest/guest.ts";
import { paravisor } from "../userspace/paravisor/paravisor.ts";
import { giveToVfio } from "../userspace/paravisor/rebind.ts";
import { type GuestWatcher, vmm } from "../userspace/vmm/vmm.ts";
import type { VmConfig } from "../userspace/vmm/config.ts";
import { Chronicle } from "./chronicle.ts";
import { Director, type Script } from "./director.ts";
import { fingerprint, firstDifference } from "./fingerprint.ts";
import { liveUpdate, type Phase, type UpdateRecord } from "./live_update.ts";
import {
  commandLine,
  hasNativeDriver,
  paravisorOf,
  type PlatformSpec,
  type VmSpec,
} from "./spec.ts";

/** A line of what happened, for people. */
export interface EventLine {
  /** Virtual nanoseconds. */
  readonly time: number;
  readonly source: "kernel" | "program" | "operator";
  readonly level: "info" | "warn" | "err";
  readonly text: string;
  readonly boot: number;
}

/** Handed the old kernel's last state at each jump. */
export type JumpListener = (kernel: Kernel, n: number) => void;

/** Machine, kernel and programs put together, with the hands of an operator on them. */
export class Platform {
  readonly machine: Machine;
  readonly health = new Health();
  readonly director: Director;
  readonly events: EventLine[] = [];
  readonly updates: UpdateRecord[] = [];
  readonly chooser: SeededChooser;
  kernel: Kernel;
  boots = 0;
  readonly chronicle = new Chronicle(() => this.now);
  /** Guests as they run now; what their consoles show. */
  readonly guests = new Map<string, Guest>();
  /** VMs that are meant to run. */
  readonly wanted = new Set<string>();
  onJump: JumpListener | undefined;
  readonly #devices: ReadonlyMap<string, DeviceSpec>;
  #nextImage: KernelImage;
  #atJump: ((old: Kernel) => void)[] = [];
  readonly #released = new WeakSet<UpdateRecord>();

  constructor(readonly spec: PlatformSpec) {
    this.#devices = new Map(spec.machine.devices.map((d) => [d.id, d]));
    this.chooser = new SeededChooser(spec.seed);
    const { meters } = this.health;
    const ledger = {
      mapped: (guest: string, page: number, frames: readonly Frames[]) => {
        this.health.ledger.mapped(guest, page, frames);
        this.health.refreshOwners();
      },
      migrated: (guest: string, from: number, to: number) =>
        this.health.ledger.migrated(guest, from, to),
      programs: {
        watches: (program: string) => this.vm(program)?.program === "paravisor",
        programPage: (program: string, page: number, pfn: number) => {
          this.health.ledger.programMemory.set(program, page, pfn);
          this.health.refreshOwners();
        },
      },
    };
    this.machine = new Machine(spec.machine, this.chooser, meters, ledger, spec.seed);
    const vms = new Map(spec.vms.flatMap((vm) => vm.devices.map((id) => [id, vm])));
    this.health.start(
      this.machine,
      spec.machine.devices.map((d, fn) => {
        const vm = vms.get(d.id);
        const sid = parseBdf(d.bdf) ?? 0;
        const driven = vm?.program === "paravisor" || hasNativeDriver(spec, d);
        // Nobody asked firmware: what it has put to work goes on whoever boots.
        const promised = vm?.persistent ?? d.model === "bmc";
        return { fn, name: d.id, sid, guest: vm?.id, promised, model: d.model, driven };
      }),
    );
    this.director = new Director(this.machine.queue);
    this.machine.onPoke(() => {
      this.#noteWhole();
      this.#buryGuests();
      this.chronicle.lookAt((id) => this.runs(id));
      this.director.poke();
    });
    const image = findImage(spec.kernel);
    assert(image !== undefined, `no kernel image ${spec.kernel}`);
    this.#nextImage = image;
    this.kernel = this.#boot();
  }

  /** Virtual time, nanoseconds. */
  get now(): number {
    return this.machine.queue.now;
  }

  /** The live update that runs, or ran last. */
  get update(): UpdateRecord | undefined {
    return this.updates[this.updates.length - 1];
  }

  /** The kernel runs programs, or never will. */
  get settled(): boolean {
    return this.kernel.ready || this.kernel.panicked !== undefined;
  }

  get updating(): boolean {
    return this.update?.outcome === "running";
  }

  #boot(): Kernel {
    this.boots++;
    this.chronicle.begins();
    // A paravisor's device is given to VFIO by name: others of its kind may be the kernel's own.
    const passed = this.machine.functions.filter((f) =>
      paravisorOf(this.spec, f.name) === undefined
    );
    const ids = passed.map((f) => {
      const hex4 = (n: number) => n.toString(16).padStart(4, "0");
      return `${hex4(f.configRead(PCI_VENDOR_ID, 2))}:${hex4(f.configRead(PCI_DEVICE_ID, 2))}`;
    });
    const cmdline = commandLine(this.spec, [...new Set(ids)]);
    const kernel = new Kernel(this.machine, this.#nextImage, cmdline, this.boots, {
      log: (line) => this.#kernelLine(line),
      program: (text) => this.#add("program", "info", text),
      rebooting: () => this.chronicle.leaves(),
      atJump: (old) => {
        for (const act of this.#atJump.splice(0)) act(old);
        this.health.atJump(old);
        this.onJump?.(old, this.boots);
      },
      jump: (image) => this.#jump(image),
    });
    this.director.start(this.#bootScript(kernel));
    return kernel;
  }

  /** Everything is looked over at the end of each stage, as it stands until the next one begins. */
  *#bootScript(kernel: Kernel): Script {
    for (const stage of kernel.boot()) {
      this.health.check(kernel);
      yield stage;
    }
    if (kernel.ready) this.chronicle.isReady();
  }

  #jump(image: KernelImage): void {
    this.#nextImage = image;
    this.health.jumped();
    this.guests.clear();
    for (const vm of this.spec.vms) {
      // Ordinary memory does not outlive its kernel, and nobody said it would.
      if (!vm.persistent) this.health.ledger.release(vm.id);
    }
    this.health.refreshOwners();
    this.kernel = this.#boot();
    this.director.poke();
  }

  #kernelLine(line: LogLine): void {
    const { time, level, text, boot } = line;
    this.events.push({ time, source: "kernel", level, text, boot });
    if (line.splat) this.health.splat(this.#nextImage.name, text);
  }

  #add(source: EventLine["source"], level: EventLine["level"], text: string): void {
    this.events.push({ time: this.now, source, level, text, boot: this.boots });
  }

  /** Done once, between the last store of the kernel that jumps and the first of the next. */
  atNextJump(act: (old: Kernel) => void): void {
    this.#atJump.push(act);
  }

  /** A line from the operator's side. */
  note(text: string): void {
    this.machine.hash.mixText(text);
    this.#add("operator", "info", text);
  }

  /** A shell on the running kernel: whoever holds it makes system calls. */
  shell(): Sys {
    return this.kernel.shell();
  }

  /** Starts a script of the operator's; the function tells whether it has ended. */
  run(script: Script): () => boolean {
    return this.director.start(script);
  }

  /** Runs the emulation for a while of virtual time. */
  runFor(ns: number): void {
    this.machine.queue.runUntil(this.now + ns);
  }

  startUpdate(image: string, hold?: Phase): () => boolean {
    return this.run(liveUpdate(this, image, hold));
  }

  /** Lets a held update go on. */
  release(update: UpdateRecord): void {
    this.#released.add(update);
    this.director.poke();
  }

  released(update: UpdateRecord): boolean {
    return this.#released.has(update);
  }

  /** The update has reached the phase it was to hold after. */
  isHeld(update: UpdateRecord): boolean {
    return update.held;
  }

  vm(id: string): VmSpec | undefined {
    return this.spec.vms.find((v) => v.id === id);
  }

  #config(vm: VmSpec): VmConfig {
    return {
      name: vm.id,
      guestId: this.spec.vms.indexOf(vm) + 1,
      memory: vm.memory,
      persistent: vm.persistent,
      ramBase: vm.ramBase,
      hugePages: vm.hugePages ?? true,
      guestIommu: vm.guestIommu ?? false,
      resident: vm.resident,
      backing: vm.backing ?? "guestmemfs",
      devices: vm.devices.map((id) => {
        const device = this.#devices.get(id);
        assert(device !== undefined, `VM ${vm.id}: no device ${id}`);
        const sid = parseBdf(device.bdf) ?? 0;
        const name = formatSbdf(0, sid >> 8, sid & 0xff);
        const pasid = this.spec.pasids?.get(id);
        assert(device.model !== "bmc", `${id} is firmware's own`);
        return { name, model: device.model, ringEntries: vm.ring, pasid };
      }),
    };
  }

  /** Starts the VMM or paravisor of a VM. */
  startVm(vm: VmSpec): void {
    this.wanted.add(vm.id);
    const watch: GuestWatcher = (name, guest) => {
      this.guests.set(name, guest);
      this.health.promise(name, true);
    };
    const config = this.#config(vm);
    if (vm.program === "paravisor") {
      for (const { name } of config.devices) giveToVfio(this.shell(), name);
      this.kernel.spawn(vm.id, paravisor({ ...config, dma: vm.dma ?? "iommufd" }, watch));
    } else this.kernel.spawn(vm.id, vmm(config, watch));
    this.chronicle.starts(vm.id);
  }

  /** init: every VM that is meant to run is started. */
  startVms(): void {
    for (const vm of this.spec.vms) if (this.wanted.has(vm.id)) this.startVm(vm);
  }

  /** The VM is meant to be gone: nothing is promised any more. */
  forgetVm(id: string): void {
    this.wanted.delete(id);
    this.guests.delete(id);
    this.health.promise(id, false);
    this.health.ledger.release(id);
    this.health.refreshOwners();
  }

  /**
   * A guest whose VMM ended by itself runs no more. Ordinary memory goes with it; a memory file
   * stays the guest's, and what was promised to its devices may be kept by a dump that stands.
   */
  #buryGuests(): void {
    for (const id of [...this.guests.keys()]) {
      if (this.kernel.scheduler.find(id) !== undefined) continue;
      this.guests.delete(id);
      if (this.vm(id)?.persistent) continue;
      this.health.ledger.release(id);
      this.health.refreshOwners();
    }
  }

  tellVms(message: string): void {
    for (const id of this.wanted) {
      const task = this.kernel.scheduler.find(id);
      if (task !== undefined) this.kernel.scheduler.send(task, message);
      if (task !== undefined) task.status = "";
    }
  }

  /** The VM has a VMM in this kernel. */
  runs(id: string): boolean {
    return this.kernel.scheduler.find(id) !== undefined;
  }

  statusOf(id: string): string {
    return this.kernel.scheduler.find(id)?.status ?? "exited";
  }

  /** True when every VM that is meant to run says one of these; "exited" is a VMM that is gone. */
  vmsAre(statuses: readonly string[]): boolean {
    return [...this.wanted].every((id) => statuses.includes(this.statusOf(id)));
  }

  checkAfter(_phase: Phase): void {
    this.health.check(this.kernel);
  }

  paused(update: UpdateRecord): void {
    for (const id of this.wanted) {
      if (this.statusOf(id) !== "paused") continue;
      update.pauses.set(id, { from: this.now, to: -1 });
      if (this.vm(id)?.persistent) this.health.ledger.seal(id);
    }
  }

  booted(): void {
    this.health.booted();
  }

  /** The guests' memory is compared with what it was at the pause, before they run again. */
  beforeResume(): void {
    for (const vm of this.spec.vms) {
      if (vm.persistent && this.wanted.has(vm.id)) this.health.checkMemory(vm.id);
      const jumped = this.update?.costs.handingOver !== undefined;
      if (jumped && this.wanted.has(vm.id)) {
        this.update?.costs.degraded.set(vm.id, { from: this.now, to: -1 });
      }
      this.health.ledger.unseal(vm.id);
    }
  }

  /** A guest has all of its address space again. */
  #noteWhole(): void {
    for (const [id, degraded] of this.update?.costs.degraded ?? []) {
      if (degraded.to < 0 && this.statusOf(id) === "whole") degraded.to = this.now;
    }
  }

  resumed(update: UpdateRecord): void {
    for (const pause of update.pauses.values()) {
      if (pause.to < 0) pause.to = this.now;
    }
    this.#judgeGuests(this.kernel.number > 1);
  }

  #judgeGuests(afterKexec: boolean): void {
    for (const [id, guest] of this.guests) {
      if (this.vm(id)?.persistent) this.health.judgeGuest(id, guest.report(), afterKexec);
    }
  }

  abortedUpdate(update: UpdateRecord): void {
    this.health.premises.add("update-aborted");
    const after = this.fingerprint();
    if (after !== update.fingerprint) {
      const detail = firstDifference(update.fingerprint, after);
      this.health.report("abort-restores", this.kernel.image.name, undefined, detail);
    }
    this.health.check(this.kernel);
  }

  fingerprint(): string {
    return fingerprint(this.machine, this.kernel);
  }

  /** The last word: every guest is asked, everything is looked over. */
  judge(): void {
    this.#judgeGuests(false);
    this.health.check(this.kernel);
    for (const id of this.wanted) {
      if (this.vm(id)?.persistent && !this.guests.has(id)) {
        this.health.report("guest-intact", id, undefined, "the guest is gone");
      }
    }
  }

  /** The end of it: the next platform gets its memory. Judged or not, it must not be used any more. */
  dispose(): void {
    this.machine.dispose();
  }
}
