import { hex, MiB, PAGE_SIZE } from "../../base/units.ts";
import { type Fdt, FdtError, FdtWriter, openFdt } from "../../fdt/mod.ts";
import * as E from "../../uapi/errno.ts";
import { fails } from "../fault_points.ts";
import { sysfsFile } from "../fs/sysfs.ts";
import type { Kernel } from "../kernel.ts";
import { FrameUse } from "../mm/frames.ts";
import { type Region, RegionList } from "../mm/memblock.ts";
import * as A from "./abi.ts";
import type { BootParams } from "./boot_params.ts";

const DT_MAX_DEFAULT = BigInt(10 * MiB);
/** Modes of the files in /sys/kernel/kho (FACTS 6.1). */
const OWNER_RW = 0o600, OWNER_R = 0o400;
/** Room for a tree's header and not much more: what a full blob is made with. */
const TOO_SMALL = 192;
/** A tree's sizes are 32-bit, and libfdt's are signed: a larger buffer is not to be had. */
const DT_LIMIT = 2n ** 31n;

/** What stands between activate and kexec: the tree, and the memory it names. */
export interface KhoDump {
  readonly dt: Uint8Array;
  readonly mem: readonly Region[];
  /** Frames of the dt_max buffer. */
  readonly buffer: number;
  readonly bufferPages: number;
}

type Subscriber = (command: A.KhoCommand, fdt: FdtWriter) => number;

/** Kexec HandOver, the version the series builds on (FACTS 6.1). */
export class Kho {
  /** The tree the previous kernel handed over. */
  incoming: Fdt | undefined;
  incomingBlob: Uint8Array | undefined;
  /** The one region early boot and kexec images may use; passed on from kernel to kernel. */
  scratch: Region | undefined;
  /** Set while active. */
  dump: KhoDump | undefined;
  /** Bytes of the buffer for the next tree: what was written to `dt_max`, whatever it is. */
  dtMax = DT_MAX_DEFAULT;
  readonly #preserved = new RegionList();
  readonly #chain: { name: string; notify: Subscriber }[] = [];

  constructor(readonly kernel: Kernel) {}

  /** This kernel has KHO, and nobody switched it off with `kho=off`. */
  get enabled(): boolean {
    return this.kernel.image.kho && this.kernel.parameter("kho") !== "off";
  }

  get active(): boolean {
    return this.dump !== undefined;
  }

  /** Ranges handed over by the previous kernel. */
  get preserved(): readonly Region[] {
    return this.#preserved.regions;
  }

  /**
   * First thing in boot: learn what must not be touched. An unknown version is treated as no
   * handover at all, and then the previous kernel's memory is free for use.
   */
  early(params: BootParams | undefined): void {
    const { memblock, dmesg, machine } = this.kernel;
    if (params === undefined || params.dtSize === 0) return;
    const scratch = { start: params.scratch, end: params.scratch + params.scratchSize };
    memblock.scratchOnly = scratch;
    this.scratch = scratch;
    const blob = machine.memory.read(params.dt, params.dtSize);
    const incoming = this.#open(blob);
    if (incoming !== undefined) {
      const cache = A.decodeMem(machine.memory.read(params.memCache, params.memCacheSize));
      for (const mem of cache) {
        const { start, end } = A.pageBounds(mem);
        this.#preserved.add(start, end);
        memblock.reserve(start, end - start);
      }
      dmesg.info(`KHO: handover of ${cache.length} ranges, DT ${hex(params.dt)}`);
      this.incoming = incoming;
      this.incomingBlob = blob;
    }
    memblock.reserve(scratch.start, scratch.end - scratch.start);
    memblock.scratchOnly = undefined;
  }

  /** After the page allocator is up: mark what is kept, make the sysfs files. */
  init(): void {
    const { vfs } = this.kernel;
    for (const r of this.#preserved.regions) this.#mark(r, FrameUse.preserved);
    const dir = vfs.mkdirs("/sys/kernel/kho");
    dir.add(
      "active",
      sysfsFile({
        show: () => (this.active ? "1\n" : "0\n"),
        store: (text) => this.#storeActive(text.trim()),
      }, OWNER_RW),
    );
    dir.add(
      "dt_max",
      sysfsFile({
        show: () => `0x${this.dtMax.toString(16)}\n`,
        store: (text) => this.#storeDtMax(text.trim()),
      }, OWNER_RW),
    );
    const { start, end } = this.scratch ?? { start: 0, end: 0 };
    dir.add("scratch_phys", sysfsFile({ show: () => `${hex(start)}\n` }, OWNER_R));
    dir.add("scratch_len", sysfsFile({ show: () => `${hex(end - start)}\n` }, OWNER_R));
    const blob = this.incomingBlob;
    if (blob !== undefined) {
      vfs.mkdirs("/sys/firmware/kho").add(
        "dt",
        sysfsFile({ show: () => blob }, OWNER_R),
      );
    }
  }

  /** Subscribers are called in the order they registered. EEXIST: it is one already. */
  register(name: string, notify: Subscriber): number {
    if (this.#chain.some((s) => s.name === name)) return -E.EEXIST;
    this.#chain.push({ name, notify });
    return 0;
  }

  /**
   * Takes handed-over memory into use: every page of it must have been preserved and not claimed
   * before. False, with a warning, otherwise; then none of it has been taken. `by`: whose it is, for
   * the fault point.
   */
  claim(mem: A.KhoMem | readonly A.KhoMem[], use = FrameUse.kernel, by = ""): boolean {
    const { chooser } = this.kernel;
    const taken: Region[] = [];
    for (const { start, end } of [mem].flat().map(A.pageBounds)) {
      const failed = fails(chooser, "khoClaim", by);
      const bad = failed ? start : this.#notPreserved(start, end);
      if (bad !== undefined) {
        const text = `WARNING: kho_claim_mem: ${hex(bad)} is not preserved memory`;
        if (failed) this.kernel.dmesg.warn(text);
        else this.kernel.dmesg.splat(text);
        for (const r of taken) this.#mark(r, FrameUse.preserved);
        return false;
      }
      taken.push({ start, end });
      this.#mark({ start, end }, use);
    }
    return true;
  }

  /** Address of the first page that nobody handed over, or somebody has claimed. */
  #notPreserved(start: number, end: number): number | undefined {
    for (let at = start; at < end; at += PAGE_SIZE) {
      if (this.kernel.pages.useOf(at / PAGE_SIZE) !== FrameUse.preserved) return at;
    }
    return undefined;
  }

  #mark({ start, end }: Region, use: FrameUse): void {
    this.kernel.pages.mark(start / PAGE_SIZE, (end - start) / PAGE_SIZE, use);
  }

  /**
   * What a write to `active` answers: EINVAL for what is neither 0 nor 1; ENOMEM without a scratch
   * region; 0; EINVAL when no tree came of it, whatever the reason.
   */
  #storeActive(text: string): number {
    if (text !== "0" && text !== "1") return -E.EINVAL;
    if (this.scratch === undefined) return -E.ENOMEM;
    // Once the jump is under way the next kernel counts on what was dumped.
    if (this.kernel.rebooting) return -E.EBUSY;
    if (text === "1") return this.active ? 0 : this.#activate();
    if (this.active) this.#deactivate();
    return 0;
  }

  /** Any number of 64 bits: only activation finds out whether a tree can have that size. */
  #storeDtMax(text: string): number {
    if (!/^(0x[0-9a-f]+|[0-9]+)$/i.test(text)) return -E.EINVAL;
    // As C reads it: what begins with 0 is octal.
    const octal = /^0[0-9]/.test(text);
    if (octal && !/^[0-7]+$/.test(text)) return -E.EINVAL;
    const value = BigInt(octal ? `0o${text}` : text);
    if (value >= 2n ** 64n) return -E.EINVAL;
    this.dtMax = value;
    return 0;
  }

  #activate(): number {
    const { pages, dmesg, chooser, machine } = this.kernel;
    const dtMax = this.dtMax < DT_LIMIT ? Number(this.dtMax) : 0;
    const bufferPages = Math.ceil(dtMax / PAGE_SIZE);
    const buffer = dtMax > 0 ? pages.allocRange(bufferPages, 1, FrameUse.kernel) : -1;
    if (buffer < 0) {
      dmesg.err(`KHO: no buffer of 0x${this.dtMax.toString(16)} bytes for a tree`);
      this.#notifyAll(A.KEXEC_KHO_ABORT, new FdtWriter(0));
      return -E.EINVAL;
    }
    const fdt = new FdtWriter(fails(chooser, "khoBlobFull") ? TOO_SMALL : dtMax);
    let failed = fdt.beginNode("") | fdt.propString("compatible", this.kernel.image.khoCompatible);
    for (const { name, notify } of this.#chain) {
      if (failed !== 0) break;
      const answer = fails(chooser, "khoNotify", name)
        ? A.NOTIFY_BAD
        : notify(A.KEXEC_KHO_DUMP, fdt);
      if (answer & A.NOTIFY_STOP_MASK) {
        dmesg.err(`KHO: ${name} refused the dump`);
        failed = answer;
      }
    }
    failed |= fdt.endNode();
    const dt = failed === 0 ? fdt.tryFinish() : failed;
    const mem = typeof dt === "number" ? undefined : this.#collect(openFdt(dt, { lenient: true }));
    if (typeof dt === "number" || mem === undefined) {
      this.#notifyAll(A.KEXEC_KHO_ABORT, fdt);
      pages.freeRange(buffer, bufferPages);
      return -E.EINVAL;
    }
    machine.memory.write(buffer * PAGE_SIZE, dt);
    this.dump = { dt, mem, buffer, bufferPages };
    this.kernel.costs.bytesSerialised += dt.length;
    this.kernel.vfs.mkdirs("/sys/kernel/kho").add("dt", sysfsFile({ show: () => dt }, OWNER_R));
    dmesg.info(`KHO: active, DT of ${dt.length} bytes, ${mem.length} ranges`);
    return 0;
  }

  #deactivate(): void {
    const dump = this.dump;
    if (dump === undefined) return;
    this.kernel.pages.freeRange(dump.buffer, dump.bufferPages);
    this.dump = undefined;
    this.kernel.vfs.mkdirs("/sys/kernel/kho").remove("dt");
    this.#notifyAll(A.KEXEC_KHO_ABORT, new FdtWriter(0));
    this.kernel.dmesg.info("KHO: deactivated");
  }

  #notifyAll(command: A.KhoCommand, fdt: FdtWriter): void {
    for (const { notify } of this.#chain) notify(command, fdt);
  }

  /** Every "mem" of the tree, sorted, merged, page aligned; undefined if any meets scratch. */
  #collect(fdt: Fdt): Region[] | undefined {
    const list = new RegionList();
    const scratch = this.scratch;
    const walk = (node: number): boolean => {
      for (const mem of A.readMem(fdt, node)) {
        const { start, end } = A.pageBounds(mem);
        if (scratch && start < scratch.end && scratch.start < end) return false;
        list.add(start, end);
      }
      for (const child of fdt.subnodes(node)) if (!walk(child)) return false;
      return true;
    };
    return walk(fdt.root) ? [...list.regions] : undefined;
  }

  #open(bytes: Uint8Array): Fdt | undefined {
    const { dmesg } = this.kernel;
    try {
      const fdt = openFdt(bytes, { lenient: true });
      const compatible = fdt.getprop(fdt.root, "compatible");
      const version = compatible && new TextDecoder().decode(compatible);
      // Another version: boot as if nothing had been handed over.
      if (version === this.kernel.image.khoCompatible + "\0") return fdt;
      dmesg.err("KHO: handed-over tree is of an unknown version, ignored");
    } catch (error) {
      if (!(error instanceof FdtError)) throw error;
      dmesg.err(`KHO: handed-over tree is damaged, ignored (${error.message})`);
    }
    return undefined;
  }
}
