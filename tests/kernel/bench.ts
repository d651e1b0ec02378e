import assert from "node:assert/strict";
import { MiB, ms, PAGE_SIZE } from "../../src/base/units.ts";
import type { Syscalls } from "../../src/kernel/syscalls.ts";
import { findProfile } from "../../src/machine/profile.ts";
import type { DeviceSpec } from "../../src/machine/machine.ts";
import type { VtdCapability } from "../../src/machine/vtd/capability.ts";
import { Platform } from "../../src/platform/platform.ts";
import * as S from "../../src/uapi/sys.ts";
import { throwAway } from "../throw_away.ts";
import { said } from "./requests.ts";
import { VfioCalls } from "./vfio_calls.ts";

/** A small machine with two network cards behind one IOMMU, booted, and a shell on it. */
export class Bench extends VfioCalls {
  readonly platform: Platform;
  override sys: S.Sys;

  constructor(
    kernel = "rfc-v1",
    o: {
      vms?: Platform["spec"]["vms"];
      seed?: number;
      profile?: string;
      /** Of the unit that the profile has. */
      vtd?: Partial<VtdCapability>;
      /** Bits of PASID of the network cards. */
      pasidBits?: number;
      /** They have ATS and PRI. */
      pageRequests?: boolean;
      /** Words for the end of the kernel's command line. */
      cmdline?: string;
      /** Bytes for guestmemfs, 32 MiB unless said. */
      guestmemfs?: number;
    } = {},
  ) {
    super();
    const device = (id: string, bdf: string): DeviceSpec => ({
      id,
      bdf,
      model: "nic",
      interval: 200_000,
      packetBytes: 256,
      ...(o.pasidBits !== undefined && { pasidBits: o.pasidBits }),
      ...(o.pageRequests !== undefined && { pageRequests: o.pageRequests }),
    });
    const base = findProfile(o.profile ?? "intel-legacy");
    assert.ok(base);
    const profile = base.vtd ? { ...base, vtd: { ...base.vtd, ...o.vtd } } : base;
    this.platform = throwAway(
      new Platform({
        machine: {
          profile,
          memory: 96 * MiB,
          devices: [device("nic0", "3a:00.0"), device("nic1", "3b:00.0")],
        },
        vms: o.vms ?? [],
        kernel,
        guestmemfs: o.guestmemfs ?? 32 * MiB,
        khoScratch: 16 * MiB,
        ...(o.cmdline !== undefined && { cmdline: o.cmdline }),
        seed: o.seed ?? 1,
      }),
    );
    this.untilReady();
    this.sys = this.platform.shell();
  }

  override deviceName(index: number): string {
    return this.platform.kernel.vfio.devices[index].dev.name;
  }

  /** Starts every VM there is, and lets them run for a while. */
  startVms(ns = 20 * ms): void {
    for (const vm of this.platform.spec.vms) this.platform.startVm(vm);
    this.platform.runFor(ns);
  }

  /** A live update from beginning to end; how it ended. */
  update(image = "rfc-v1"): string {
    const done = this.platform.startUpdate(image);
    for (let i = 0; i < 200 && !done(); i++) this.platform.runFor(10 * ms);
    assert.ok(done(), `the update hangs in ${this.platform.update?.phase}`);
    this.sys = this.platform.shell();
    return this.platform.update?.outcome ?? "none";
  }

  untilReady(): void {
    for (let i = 0; i < 100 && !this.platform.kernel.ready; i++) this.platform.runFor(10 * ms);
    assert.ok(this.platform.kernel.ready, "the kernel did not come up");
  }

  /** Another process. */
  shell(): S.Sys {
    return this.platform.shell();
  }

  /** SIGKILL, or exit: descriptors close, memory goes. */
  kill(sys: S.Sys): void {
    (sys as Syscalls).task.exit(137);
  }

  /** SIGKILL to a VMM. */
  killVm(id: string): void {
    const { scheduler } = this.platform.kernel;
    const task = scheduler.find(id);
    assert.ok(task, `${id} does not run`);
    scheduler.kill(task);
  }

  // Live update by hand.

  write(path: string, text: string): string {
    const sys = this.platform.shell();
    const fd = sys.open(path, S.O_WRONLY);
    return fd < 0 ? said(fd) : said(sys.write(fd, new TextEncoder().encode(text)));
  }

  kho(active: boolean): string {
    return this.write("/sys/kernel/kho/active", active ? "1" : "0");
  }

  load(image = "rfc-v1"): string {
    return said(this.platform.shell().kexecFileLoad(image, 0));
  }

  /** Jumps, waits for the next kernel, and opens a shell there. */
  jump(): void {
    const before = this.platform.kernel;
    assert.equal(said(this.platform.shell().reboot(S.LINUX_REBOOT_CMD_KEXEC)), "ok");
    for (let i = 0; i < 50 && this.platform.kernel === before; i++) this.platform.runFor(10 * ms);
    assert.notEqual(this.platform.kernel, before, "no jump");
    this.untilReady();
    this.sys = this.platform.shell();
  }

  /** KHO on, load, jump: in the order that hands things over. */
  kexec(image = "rfc-v1"): void {
    assert.equal(this.kho(true), "ok");
    assert.equal(this.load(image), "ok");
    this.jump();
  }

  /** Opens the handle of a persistent iommufd: a descriptor, or the name of the errno. */
  pickUp(id: number, sys = this.sys): number | string {
    const fd = sys.open(`/sys/kernel/iommufd_persisted/${id}/iommufd`, S.O_RDONLY);
    if (fd < 0) return said(fd);
    const text = sys.read(fd, 16);
    sys.close(fd);
    return typeof text === "number" ? said(text) : Number(new TextDecoder().decode(text));
  }

  mustPickUp(id: number, sys = this.sys): number {
    const fd = this.pickUp(id, sys);
    assert.ok(typeof fd === "number", String(fd));
    return fd;
  }

  // What an onlooker sees: never asked of the kernel under test through its own calls.

  /** Frames of ordinary memory under a long-term pin. */
  get pinned(): number {
    return this.platform.kernel.userPages.pinned;
  }

  get freePages(): number {
    return this.platform.kernel.pages.freePages;
  }

  /** Frame that hardware would reach from a device's IOVA; -1: the DMA faults. */
  frame(index: number, iova: number): number {
    const { dev } = this.platform.kernel.vfio.devices[index];
    const domain = dev.group?.domain as unknown as { translate?(page: number): number } | undefined;
    return domain?.translate?.(Math.floor(iova / PAGE_SIZE)) ?? -1;
  }

  get fingerprint(): string {
    return this.platform.fingerprint();
  }

  /** Violations seen so far, as text. */
  get complaints(): string[] {
    this.platform.health.check(this.platform.kernel);
    return this.platform.health.violations.map((v) => `${v.invariant} ${v.subject}: ${v.detail}`);
  }
}
