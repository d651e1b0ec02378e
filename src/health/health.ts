import { hex, PAGE_SIZE } from "../base/units.ts";
import type { IommufdCtx } from "../kernel/iommufd/ctx.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { DMA_PAGE_REFUSED } from "../machine/ats.ts";
import { DMA_BUS_MASTER_OFF, DMA_MASTER_ABORT } from "../machine/dma_port.ts";
import type { Machine } from "../machine/machine.ts";
import { iommuFaultText } from "../uapi/iommu_faults.ts";
import { formatBdf } from "../uapi/pci_regs.ts";
import type { GuestReport } from "../userspace/guest/guest.ts";
import { emptyLook, type Look, lookOver, type Strange } from "./checks.ts";
import { CommandLedger } from "./commands.ts";
import { complaintsOf } from "./complaints.ts";
import { type InvariantId, INVARIANTS, type Premise, type Violation } from "./invariants.ts";
import { lookAtJump } from "./jump.ts";
import { type Damage, Ledger } from "./ledger.ts";
import type { DmaIncident } from "./meter.ts";
import { type IncidentSink, Meters } from "./meters.ts";
import { Promises } from "./promises.ts";

/** What health has to know of a device: whose it is, and what was promised to its owner. */
export interface Watched {
  readonly fn: number;
  readonly name: string;
  readonly sid: number;
  /** The guest it belongs to; undefined: nobody's. */
  readonly guest: string | undefined;
  /** Its DMA was promised to go on through a kexec. */
  readonly promised: boolean;
  /** It receives packets, a DMA that fails costs one; or is a disk, and loses what it has in flight. */
  readonly model?: "nic" | "nvme" | "bmc";
  /** Until its program runs the kernel may drive it, which has a driver for it. */
  readonly driven?: boolean;
}

/** One line of the verdict on an invariant. */
export interface InvariantState {
  readonly id: InvariantId;
  readonly title: string;
  readonly premise: Premise;
  readonly verdict: "holds" | "violated" | "not exercised";
  readonly violations: readonly Violation[];
}

/**
 * The judge: watches every DMA as it happens, looks the system over after every phase, and keeps
 * what was found broken. It is fed by hardware and by the guests, and never asked by them.
 */
export class Health implements IncidentSink {
  readonly meters = new Meters();
  readonly violations: Violation[] = [];
  readonly premises = new Set<Premise>();
  ledger!: Ledger;
  #machine!: Machine;
  #watched: Watched[] = [];
  /** By the source ids its requests carry, and its own. */
  readonly #bySid = new Map<number, Watched>();
  readonly #byFn = new Map<number, Watched>();
  readonly #promises = new Promises();
  readonly #commands = new CommandLedger();
  /** Guests that were there at a jump. */
  readonly #crossed = new Set<string>();
  /** Iommufds that were compared with what was handed over. */
  readonly #pickedUp = new WeakSet<IommufdCtx>();
  /** Between the jump and the next kernel's first program. */
  #jumping = false;
  /** Functions that did DMA before the jump and were not promised anything. */
  #unheld = new Set<number>();

  /** The observers exist before the machine they watch. */
  start(machine: Machine, watched: readonly Watched[]): void {
    this.#machine = machine;
    this.ledger = new Ledger(machine.memory);
    this.#watched = [...watched];
    for (const w of watched.toReversed()) {
      const { requester } = machine.functions[w.fn]?.port ?? { requester: w.sid };
      this.#bySid.set(requester, w).set(w.sid, w);
    }
    for (const w of watched) this.#byFn.set(w.fn, w);
    this.meters.sink = this;
    this.meters.start(machine.queue, this.ledger);
    for (const w of watched) {
      this.meters.get(w.fn);
      if (w.promised && w.guest === undefined) this.#promises.set(w.fn, true);
    }
    this.refreshOwners();
  }

  /** A guest's memory became known, or went: devices are judged by its number from here on. */
  refreshOwners(): void {
    for (const w of this.#watched) {
      // A guest without memory has none that its device could reach.
      const none = w.driven ? 0 : -1;
      const number = w.guest === undefined ? 0 : this.ledger.numberOf(w.guest) || none;
      this.meters.setGuest(w.fn, number);
    }
  }

  /** The guest runs: what was promised to its devices is watched. Or it is given up. */
  promise(guest: string, stands: boolean): void {
    if (stands) this.#reportStopped();
    else this.#crossed.delete(guest);
    for (const w of this.#watched) {
      if (w.guest === guest && w.promised) this.#promises.set(w.fn, stands);
    }
  }

  /**
   * Its VMM is told to take the guest's memory from its devices, until {@link promise}; `taken` false: it
   * has refused.
   */
  suspend(guest: string, taken: boolean): void {
    for (const w of this.#watched) if (w.guest === guest) this.#promises.suspend(w.fn, taken);
  }

  /** `seen`: what was found by first frame; a guest's devices reach the same memory, one like the other. */
  #strangerOf(
    seen: Map<number, { count: number; number: number; at: number }>,
    sid: number,
    pfn: number,
    count: number,
  ): Strange | undefined {
    const guest = this.#requester(sid)?.guest;
    const number = guest === undefined ? 0 : this.ledger.numberOf(guest);
    let found = seen.get(pfn);
    if (found === undefined || found.count !== count || found.number !== number) {
      found = { count, number, at: this.ledger.firstOfOthers(pfn, count, number) };
      seen.set(pfn, found);
    }
    const { at } = found;
    return at < 0 ? undefined : { pfn: at, what: `${this.ledger.ownerName(at)}'s memory` };
  }

  /** Whose requests carry a source id: a device's own, or another it uses. */
  #requester(sid: number): Watched | undefined {
    return this.#bySid.get(sid);
  }

  nameOf(sid: number): string {
    return this.#requester(sid)?.name ?? formatBdf(sid >> 8, sid & 0xff);
  }

  get now(): number {
    return this.#machine.queue.now;
  }

  fault(incident: DmaIncident): void {
    if (!this.#promises.failed(incident.fn)) return;
    const how = incident.code === DMA_BUS_MASTER_OFF
      ? "bus mastering is off"
      : incident.code === DMA_MASTER_ABORT
      ? "no memory at the address it led to"
      : incident.code === DMA_PAGE_REFUSED
      ? "the page was asked for and refused"
      : `fault reason 0x${(-incident.code).toString(16).padStart(2, "0")} ` +
        `(${iommuFaultText(-incident.code)})`;
    this.report("no-dma-fault", this.#name(incident.fn), incident.iova, access(incident, how));
  }

  stray(incident: DmaIncident): void {
    const where = `landed in ${hex(incident.pfn * PAGE_SIZE)}, ${this.#whose(incident.pfn)}`;
    this.report("no-stray-dma", this.#name(incident.fn), incident.iova, access(incident, where));
  }

  #whose(pfn: number): string {
    const owner = this.ledger.ownerName(pfn), former = this.ledger.formerOwner(pfn);
    if (owner !== undefined) return `${owner}'s memory`;
    return former === undefined ? "nobody's memory" : `memory that was ${former}'s`;
  }

  untranslated(incident: DmaIncident): void {
    if (this.#isFirmwares(incident)) return;
    const where = `reached ${hex(incident.pfn * PAGE_SIZE)} with translation off`;
    const name = this.#name(incident.fn);
    this.report("no-untranslated-dma", name, incident.iova, access(incident, where));
  }

  /** Memory that firmware set aside for the device: it is the same with translation and without. */
  #isFirmwares({ fn, pfn }: DmaIncident): boolean {
    const sid = this.#byFn.get(fn)?.sid;
    const at = pfn * PAGE_SIZE;
    return this.#machine.firmware.rmrrs.some((r) =>
      r.sid === sid && at >= r.base && at < r.base + r.size
    );
  }

  /** A reset, or somebody at the device's registers: its DMA has ended, and no fault says so. */
  stopped(fn: number): void {
    if (this.#promises.crossing(fn)) this.#reportStop(fn);
    else if (this.ledger.isSealed(this.#byFn.get(fn)?.guest ?? "")) {
      this.#promises.stopped(fn);
    }
  }

  #reportStop(fn: number): void {
    const detail = "was stopped with work in hand, under its guest";
    this.report("no-dma-fault", this.#name(fn), undefined, detail);
  }

  #reportStopped(): void {
    for (const fn of this.#promises.takeStopped()) this.#reportStop(fn);
  }

  done(fn: number, pfn: number): void {
    this.premises.add("dma-seen");
    // That there was one is enough, until it matters again whose they are.
    this.meters.tellsDone = this.#jumping;
    if (!this.#jumping) return;
    if (this.#promises.stands(fn)) this.premises.add("dma-during-kexec");
    else if (this.#unheld.has(fn)) {
      const detail = `reached ${hex(pfn * PAGE_SIZE)} before its driver was there`;
      this.report("quiet-unless-held", this.#name(fn), undefined, detail);
    }
  }

  asked(_fn: number): void {
    this.premises.add("page-asked");
  }

  unasked(fn: number): void {
    const detail = "was answered a page request that it had not made";
    this.report("page-requests-kept", this.#name(fn), undefined, detail);
  }

  /** A kernel said in its log that it has gone wrong. */
  splat(kernel: string, text: string): void {
    this.report("no-splat", kernel, undefined, text);
  }

  /** Each command of a guest's is executed once. */
  executed(fn: number, write: boolean, block: number, blocks: number, ok: boolean): void {
    const wrong = this.#commands.executed(fn, write, block, blocks, ok);
    if (wrong !== undefined) this.report("guest-intact", this.#name(fn), undefined, wrong);
  }

  restarted(fn: number): void {
    this.#commands.restarted(fn);
  }

  #name(fn: number): string {
    return this.#byFn.get(fn)?.name ?? `function ${fn}`;
  }

  /** The old kernel has done its last store. */
  atJump(kernel: Kernel): void {
    const look = emptyLook((sid) => this.nameOf(sid));
    const held = (sid: number) => {
      const watched = this.#requester(sid);
      return (watched !== undefined && this.#promises.stands(watched.fn)) ||
        kernel.pci.devices.some((dev) =>
          dev.requesters.includes(sid) && kernel.iommu.handsOver(dev)
        );
    };
    lookAtJump(this.#machine, look, held);
    this.#note(look);
  }

  /** The old kernel is gone. */
  jumped(): void {
    this.#jumping = this.meters.tellsDone = true;
    this.#reportStopped();
    this.ledger.programMemory.jumped();
    for (const guest of this.ledger.guests) this.#crossed.add(guest);
    for (const w of this.#watched) {
      this.#promises.jumped(w.fn);
      const active = this.meters.get(w.fn).lastDone >= 0;
      if (!this.#promises.stands(w.fn) && active) {
        this.#unheld.add(w.fn);
        this.premises.add("unheld-at-kexec");
      }
    }
  }

  /** The new kernel runs programs: drivers may have started their devices by now. */
  booted(): void {
    this.#jumping = false;
    this.#unheld.clear();
  }

  /** Looks everything over: after each phase, and whenever somebody wants to know. */
  check(kernel: Kernel): void {
    if (kernel.ready) this.premises.add("programs-ran");
    const strangers = new Map();
    const look = lookOver(this.#machine, kernel, {
      nameOf: (sid) => this.nameOf(sid),
      strangerOf: (sid, pfn, count) => this.#strangerOf(strangers, sid, pfn, count),
      seen: this.#pickedUp,
    });
    this.#note(look);
    this.#reportStopped();
    const running = (guest: string) => kernel.scheduler.find(guest) !== undefined;
    for (const guest of this.ledger.guests) {
      for (const damage of this.ledger.misplaced(guest)) {
        // Memory of a program that ended is free for the next one.
        if (damage.other !== undefined && !(running(guest) && running(damage.other))) continue;
        if (damage.what === "shared" || this.#isPersistent(guest)) this.#damaged(damage);
      }
    }
  }

  #note(look: Look): void {
    for (const premise of look.premises) this.premises.add(premise);
    for (const f of look.findings) this.report(f.invariant, f.subject, f.address, f.detail);
  }

  #isPersistent(guest: string): boolean {
    return this.#watched.some((w) => w.guest === guest && w.promised);
  }

  /** A paused guest's memory against its seal. */
  checkMemory(name: string): void {
    const damage = this.ledger.misplaced(name)[0] ?? this.ledger.check(name);
    if (damage !== undefined) this.#damaged(damage);
  }

  #damaged({ guest, gpa, pfn, what, other }: Damage): void {
    const frame = hex(pfn * PAGE_SIZE);
    const detail = {
      moved: `guest page is now frame ${frame}, it was another`,
      overwritten: `guest page was changed behind the guest's back (frame ${frame})`,
      shared: `guest page is frame ${frame}, which ${other} has too`,
    }[what];
    this.report("guest-intact", guest, gpa, detail);
  }

  /** How a guest says it fared so far. `resumedAfterKexec`: it has run on after one. */
  judgeGuest(name: string, report: GuestReport, resumedAfterKexec: boolean): void {
    if (resumedAfterKexec && this.#crossed.has(name)) this.premises.add("guest-resumed");
    const excused = (model: Watched["model"]) =>
      this.#watched.filter((w) => w.guest === name && w.model === model)
        .reduce((sum, w) => sum + this.#promises.excused(w.fn), 0);
    const excuse = { packets: excused("nic"), disks: excused("nvme") > 0 };
    for (const { detail, address } of complaintsOf(report, excuse)) {
      this.report("guest-intact", name, address, detail);
    }
  }

  /** Notes a violation; repeats at the same subject are counted, not listed. */
  report(
    invariant: InvariantId,
    subject: string,
    address: number | undefined,
    detail: string,
  ): void {
    const known = this.violations.find((v) =>
      v.invariant === invariant && v.subject === subject &&
      // What a kernel says of itself is told in its own words, each once.
      (invariant !== "no-splat" || v.detail === detail)
    );
    if (known !== undefined) {
      known.count++;
      return;
    }
    const violation = { invariant, time: this.now, subject, detail, count: 1 };
    this.violations.push(address === undefined ? violation : { ...violation, address });
  }

  /** Every invariant with its verdict so far. */
  states(): InvariantState[] {
    return INVARIANTS.map(({ id, title, premise }) => {
      const violations = this.violations.filter((v) => v.invariant === id);
      const verdict = violations.length > 0
        ? "violated"
        : this.premises.has(premise)
        ? "holds"
        : "not exercised";
      return { id, title, premise, verdict, violations };
    });
  }
}

function access(incident: DmaIncident, what: string): string {
  return `${incident.write ? "write" : "read"} to IOVA ${hex(incident.iova)}: ${what}`;
}
