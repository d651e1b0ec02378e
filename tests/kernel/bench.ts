import assert from "node:assert/strict";
import { MiB, ms, PAGE_SIZE } from "../../src/base/units.ts";
import type { Syscalls } from "../../src/kernel/syscalls.ts";
import { findProfile } from "../../src/machine/profile.ts";
import type { DeviceSpec } from "../../src/machine/machine.ts";
import type { VtdCapability } from "../../src/machine/vtd/capability.ts";
import { Platform } from "../../src/platform/platform.ts";
import { errnoName } from "../../src/uapi/errno.ts";
import * as U from "../../src/uapi/iommufd.ts";
import { PCI_COMMAND, PCI_COMMAND_MASTER } from "../../src/uapi/pci_regs.ts";
import type { FieldType, Struct, StructValue } from "../../src/uapi/struct.ts";
import * as S from "../../src/uapi/sys.ts";
import * as V from "../../src/uapi/vfio.ts";
import { PERSISTED_DIR } from "../../src/userspace/vmm/config.ts";
import { openCdev } from "../../src/userspace/vmm/hardware.ts";
import { throwAway } from "../throw_away.ts";

export const PAGE = BigInt(PAGE_SIZE);
export const RW = U.IOMMU_IOAS_MAP_READABLE | U.IOMMU_IOAS_MAP_WRITEABLE;
export const FIXED = U.IOMMU_IOAS_MAP_FIXED_IOVA;
export const MEM = "/mnt/guestmemfs";
const CONFIG = V.regionOffset(V.VFIO_PCI_CONFIG_REGION_INDEX);

/** `ok`, or the name of the errno. */
export function said(rc: number): string {
  return rc < 0 ? errnoName(rc) : "ok";
}

export interface Answer<F extends Record<string, FieldType>> {
  /** `ok`, or the name of the errno. */
  readonly rc: string;
  /** The structure as it lies in user memory after the call. */
  readonly out: StructValue<F>;
}

export interface MapRequest {
  readonly flags: number;
  readonly ioas_id: number;
  readonly rsvd: number;
  readonly user_va: bigint;
  readonly length: bigint;
  readonly iova: bigint;
}

/** A request for so much of `va` at a fixed IOVA, read and write. */
export function fixed(ioas_id: number, va: number, length: number | bigint, iova: number | bigint) {
  return {
    flags: FIXED | RW,
    ioas_id,
    user_va: BigInt(va),
    length: BigInt(length),
    iova: BigInt(iova),
  };
}

/** A small machine with two network cards behind one IOMMU, booted, and a shell on it. */
export class Bench {
  readonly platform: Platform;
  sys: S.Sys;

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

  ioctl<F extends Record<string, FieldType>>(
    fd: number,
    command: number,
    struct: Struct<F>,
    value: Partial<StructValue<F>>,
    sys = this.sys,
  ): Answer<F> {
    const bytes = struct.encode({ [Object.keys(struct.fields)[0]]: struct.size, ...value });
    const rc = said(sys.ioctl(fd, command, bytes));
    return { rc, out: struct.decode(bytes) };
  }

  // Files and memory.

  iommufd(sys = this.sys): number {
    const fd = sys.open("/dev/iommu", S.O_RDWR);
    assert.ok(fd >= 0, said(fd));
    return fd;
  }

  /** Anonymous memory, every page of it touched, so that pinning it takes no new ones. */
  anon(bytes: number, prot = S.PROT_READ | S.PROT_WRITE, sys = this.sys): number {
    const va = sys.mmap(bytes, prot, S.MAP_PRIVATE | S.MAP_ANONYMOUS, -1, 0);
    for (let at = 0; at < bytes; at += PAGE_SIZE) sys.load32(va + at);
    return va;
  }

  /** A memfd, every page of it touched. */
  memfd(bytes: number, sys = this.sys): number {
    const fd = sys.memfdCreate("ram");
    assert.equal(sys.ftruncate(fd, bytes), 0);
    const va = this.mmap(fd, bytes, S.PROT_READ, sys);
    for (let at = 0; at < bytes; at += PAGE_SIZE) sys.load32(va + at);
    sys.munmap(va, bytes);
    return fd;
  }

  /** A file in guestmemfs, made if it is not there. */
  file(name: string, bytes: number, sys = this.sys): number {
    const fd = sys.open(`${MEM}/${name}`, S.O_RDWR | S.O_CREAT);
    assert.ok(fd >= 0, said(fd));
    if (bytes > 0) assert.equal(said(sys.ftruncate(fd, bytes)), "ok");
    return fd;
  }

  mmap(fd: number, bytes: number, prot = S.PROT_READ | S.PROT_WRITE, sys = this.sys): number {
    const va = sys.mmap(bytes, prot, S.MAP_SHARED, fd, 0);
    assert.ok(va >= 0, said(va));
    return va;
  }

  unlink(name: string): string {
    return said(this.sys.unlink(`${MEM}/${name}`));
  }

  // iommufd.

  ioas(fd: number, sys = this.sys): number {
    const { rc, out } = this.ioctl(fd, U.IOMMU_IOAS_ALLOC, U.iommu_ioas_alloc, {}, sys);
    assert.equal(rc, "ok");
    return out.out_ioas_id;
  }

  map(fd: number, request: Partial<MapRequest>, sys = this.sys) {
    return this.ioctl(fd, U.IOMMU_IOAS_MAP, U.iommu_ioas_map, request, sys);
  }

  mapFile(fd: number, request: Partial<StructValue<typeof U.iommu_ioas_map_file.fields>>) {
    return this.ioctl(fd, U.IOMMU_IOAS_MAP_FILE, U.iommu_ioas_map_file, request);
  }

  unmap(fd: number, ioas_id: number, iova: number | bigint, length: number | bigint) {
    const range = { ioas_id, iova: BigInt(iova), length: BigInt(length) };
    return this.ioctl(fd, U.IOMMU_IOAS_UNMAP, U.iommu_ioas_unmap, range);
  }

  destroy(fd: number, id: number): string {
    return this.ioctl(fd, U.IOMMU_DESTROY, U.iommu_destroy, { id }).rc;
  }

  hwptAlloc(fd: number, dev_id: number, pt_id: number) {
    return this.ioctl(fd, U.IOMMU_HWPT_ALLOC, U.iommu_hwpt_alloc, { dev_id, pt_id });
  }

  option(
    fd: number,
    op: number,
    val64 = 0n,
    more: { object_id?: number; option_id?: number } = {},
  ) {
    const value = { option_id: U.IOMMU_OPTION_PERSISTENT, op, val64, ...more };
    return this.ioctl(fd, U.IOMMU_OPTION, U.iommu_option, value);
  }

  /** A fresh iommufd, marked persistent. */
  persistent(): number {
    const fd = this.iommufd();
    assert.equal(this.option(fd, U.IOMMU_OPTION_OP_SET, 1n).rc, "ok");
    return fd;
  }

  /** What IOVA_RANGES says. `capacity`: how many the array holds. */
  ranges(fd: number, ioas_id: number, capacity = 16) {
    const at = this.anon(PAGE_SIZE);
    const { rc, out } = this.ioctl(fd, U.IOMMU_IOAS_IOVA_RANGES, U.iommu_ioas_iova_ranges, {
      ioas_id,
      num_iovas: capacity,
      allowed_iovas: BigInt(at),
    });
    const size = U.iommu_iova_range.size;
    const list = Array.from({ length: Math.min(out.num_iovas, capacity) }, (_, i) => {
      const { start, last } = U.iommu_iova_range.decode(this.sys.copyIn(at + i * size, size));
      return [start, last];
    });
    return { rc, count: out.num_iovas, alignment: out.out_iova_alignment, list };
  }

  // VFIO.

  /** A device's file; of one that waits for its heir, its handle gives it. */
  cdev(index = 0, sys = this.sys): number {
    const { dev } = this.platform.kernel.vfio.devices[index];
    const ids = sys.readdir(PERSISTED_DIR);
    const has = (id: string) => {
      const names = sys.readdir(`${PERSISTED_DIR}/${id}/devices`);
      return typeof names !== "number" && names.includes(dev.name);
    };
    const id = typeof ids === "number" ? undefined : ids.find(has);
    return openCdev(sys, dev.name, Number(id ?? 0));
  }

  bind(cdev: number, iommufd: number, sys = this.sys) {
    const command = V.VFIO_DEVICE_BIND_IOMMUFD;
    return this.ioctl(cdev, command, V.vfio_device_bind_iommufd, { iommufd }, sys);
  }

  /** Opens and closes both devices: after their first time they keep memory decoding on. */
  warm(): void {
    const fd = this.iommufd();
    for (const index of [0, 1]) this.sys.close(this.bound(fd, index).cdev);
    this.sys.close(fd);
  }

  attach(cdev: number, pt_id: number, sys = this.sys) {
    const command = V.VFIO_DEVICE_ATTACH_IOMMUFD_PT;
    return this.ioctl(cdev, command, V.vfio_device_attach_iommufd_pt, { pt_id }, sys);
  }

  detach(cdev: number): string {
    const command = V.VFIO_DEVICE_DETACH_IOMMUFD_PT;
    return this.ioctl(cdev, command, V.vfio_device_detach_iommufd_pt, {}).rc;
  }

  /** A device bound to the iommufd: its file and its object id. */
  bound(iommufd: number, index = 0, sys = this.sys): { cdev: number; dev: number } {
    const cdev = this.cdev(index, sys);
    const { rc, out } = this.bind(cdev, iommufd, sys);
    assert.equal(rc, "ok");
    return { cdev, dev: out.out_devid };
  }

  /** Binds and attaches: the IOAS has a domain from here on. */
  attached(iommufd: number, pt: number, index = 0) {
    const device = this.bound(iommufd, index);
    const { rc, out } = this.attach(device.cdev, pt);
    assert.equal(rc, "ok");
    return { ...device, hwpt: out.pt_id };
  }

  /** Opens the group of a device. */
  group(index = 0, sys = this.sys): number {
    return sys.open(`/dev/vfio/${index}`, S.O_RDWR);
  }

  setContainer(group: number, container: number, sys = this.sys): string {
    const bytes = V.vfio_group_container.encode({ fd: container });
    return said(sys.ioctl(group, V.VFIO_GROUP_SET_CONTAINER, bytes));
  }

  /** A descriptor of the device of that name, or a negative errno. */
  deviceFd(group: number, name: string, sys = this.sys): number {
    return sys.ioctl(group, V.VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode(`${name}\0`));
  }

  /** The device opened the legacy way: its group, container and descriptor. */
  legacy(index = 0, container = this.sys.open("/dev/vfio/vfio", S.O_RDWR)) {
    const group = this.group(index);
    assert.equal(this.setContainer(group, container), "ok");
    const device = this.deviceFd(group, `0000:3${"ab"[index]}:00.0`);
    assert.ok(device >= 0, said(device));
    return { container, group, device };
  }

  /** Binds a device to a fresh iommufd and attaches it to an empty IOAS there. */
  attachedFresh(index = 0) {
    const fd = this.iommufd();
    return this.attached(fd, this.ioas(fd), index);
  }

  command(cdev: number, sys = this.sys): number {
    const bytes = sys.pread(cdev, 2, CONFIG + PCI_COMMAND);
    assert.ok(typeof bytes !== "number");
    return bytes[0] | bytes[1] << 8;
  }

  setBusMaster(cdev: number): void {
    const value = this.command(cdev) | PCI_COMMAND_MASTER;
    const bytes = Uint8Array.of(value & 0xff, value >> 8);
    assert.equal(said(this.sys.pwrite(cdev, bytes, CONFIG + PCI_COMMAND)), "ok");
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

/** One way to get a request refused. Rules stand in the order the kernel must look at them. */
export interface Rule<R> {
  readonly name: string;
  readonly want: string;
  /** Fields it spoils: two rules that spoil the same one cannot be broken at once. */
  readonly spoils: readonly string[];
  readonly spoil: (request: R) => R;
}

/**
 * Breaks each rule alone and every two together: the earlier one's errno must come back. `call`
 * makes the call on a request and says how it went; it must leave nothing behind.
 */
export function checkOrder<R>(rules: readonly Rule<R>[], good: R, call: (r: R) => string): void {
  rules.forEach((first, i) => {
    assert.equal(call(first.spoil(good)), first.want, first.name);
    for (const second of rules.slice(i + 1)) {
      if (first.spoils.some((field) => second.spoils.includes(field))) continue;
      const got = call(second.spoil(first.spoil(good)));
      assert.equal(got, first.want, `${first.name}, before: ${second.name}`);
    }
  });
}
