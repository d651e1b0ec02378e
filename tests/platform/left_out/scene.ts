import assert from "node:assert/strict";
import { MiB, ms, PAGE_SIZE } from "../../../src/base/units.ts";
import type { PagingDomain } from "../../../src/kernel/iommu/domain.ts";
import type { PciDev } from "../../../src/kernel/pci/pci.ts";
import { Syscalls } from "../../../src/kernel/syscalls.ts";
import type { VtdCapability } from "../../../src/machine/vtd/capability.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import * as K from "../../../src/uapi/kvm.ts";
import * as N from "../../../src/uapi/nic_regs.ts";
import { PCI_COMMAND_MASTER } from "../../../src/uapi/pci_regs.ts";
import { LINUX_REBOOT_CMD_KEXEC, O_RDWR } from "../../../src/uapi/sys.ts";
import * as V from "../../../src/uapi/vfio.ts";
import { Bench } from "../../kernel/bench.ts";
import { fixed, said } from "../../kernel/requests.ts";
import { Front } from "./front.ts";

/** A machine, and what of the unit differs. */
export interface Kind {
  readonly name: string;
  readonly profile: string;
  readonly vtd?: Partial<VtdCapability>;
}

export const PAGES = 32;
/** Where a guest's memory is to its card; its ring is in the first page. */
export const IOVA = 0x100000;
/** The page that packets come into, and that is given away. */
export const BUFFER = 20;
export const PASID = 70;
const RING = 256;

const spec = (id: string, device: string) => ({
  id,
  memory: 2 * MiB,
  persistent: false,
  devices: [device],
  ring: RING,
});

/** A process that is a guest to the ledger: what its virtual processor reaches is that guest's. */
export class Party {
  readonly sys: Syscalls;
  readonly #vm: number;
  #slots = 0;

  constructor(scene: Scene, name: string) {
    const { kernel } = scene;
    this.sys = new Syscalls(kernel, kernel.scheduler.newTask(name));
    this.#vm = this.sys.ioctlValue(this.sys.open("/dev/kvm", O_RDWR), K.KVM_CREATE_VM, 0);
  }

  /** Memory of this process becomes the guest's. Returns the slot. */
  own(va: number, bytes: number, gpa: number): number {
    this.#slot(this.#slots, va, bytes, gpa);
    return this.#slots++;
  }

  /** The guest has it no more. */
  disown(slot: number): void {
    this.#slot(slot, 0, 0, 0);
  }

  #slot(slot: number, va: number, bytes: number, gpa: number): void {
    const region = K.kvm_userspace_memory_region.encode({
      slot,
      flags: 0,
      guest_phys_addr: BigInt(gpa),
      memory_size: BigInt(bytes),
      userspace_addr: BigInt(va),
    });
    assert.equal(said(this.sys.ioctl(this.#vm, K.KVM_SET_USER_MEMORY_REGION, region)), "ok");
  }

  frame(va: number): number {
    return this.sys.task.mm.translate(va);
  }
}

/** nic0 receives packets into a page of vm0's memory, by an IOAS of its VMM; caches are warm. */
export class Scene {
  readonly bench: Bench;
  readonly front = new Front();
  vm0!: Party;
  vm1!: Party;
  fd = -1;
  lastIoas = -1;
  nic0 = -1;
  /** Its object id in the iommufd. */
  dev0 = -1;
  /** vm0's memory by page, a mapping each, and the slot of the page that is given away. */
  va: number[] = [];
  slot = -1;

  constructor({ profile, vtd }: Kind) {
    const vms = [spec("vm0", "nic0"), spec("vm1", "nic1")];
    this.bench = new Bench("rfc-v1", { profile, vms, pasidBits: 15, ...(vtd && { vtd }) });
    this.front.install(this.kernel);
    this.begin();
  }

  get platform() {
    return this.bench.platform;
  }

  get kernel() {
    return this.platform.kernel;
  }

  get health() {
    return this.platform.health;
  }

  dev(index: number): PciDev {
    return this.kernel.pci.devices[index];
  }

  domainOf(index: number): PagingDomain {
    return this.dev(index).group!.domain as PagingDomain;
  }

  /** `taken`: a frame that is vm1's before vm0 gets its memory. */
  begin(taken?: number): void {
    const { bench } = this;
    this.vm1 = new Party(this, "vm1");
    if (taken !== undefined) this.take(taken);
    this.vm0 = new Party(this, "vm0");
    const { sys } = this.vm0;
    this.va = Array.from({ length: PAGES }, () => bench.anon(PAGE_SIZE, undefined, sys));
    const slots = this.va.map((va, page) => this.vm0.own(va, PAGE_SIZE, page * PAGE_SIZE));
    this.slot = slots[BUFFER];
    this.fd = bench.iommufd(sys);
    const nic0 = bench.bound(this.fd, 0, sys);
    this.nic0 = nic0.cdev;
    this.dev0 = nic0.dev;
  }

  /** A kexec without a handover, into a kernel that makes tables of its own; then all over again. */
  restart(taken: number): void {
    const { bench, platform } = this;
    const before = this.kernel;
    assert.equal(bench.load("mainline"), "ok");
    assert.equal(said(platform.shell().reboot(LINUX_REBOOT_CMD_KEXEC)), "ok");
    while (this.kernel === before) platform.machine.queue.step();
    this.front.install(this.kernel);
    bench.untilReady();
    platform.booted();
    bench.sys = platform.shell();
    this.begin(taken);
  }

  run(ns: number): this {
    this.platform.runFor(ns);
    return this;
  }

  /** An IOAS of vm0's VMM with its memory in it; the buffer's page can be another one. */
  ioas(buffer = BUFFER): number {
    const id = this.lastIoas = this.bench.ioas(this.fd, this.vm0.sys);
    for (let page = 0; page < PAGES; page++) {
      this.map(id, this.va[page === BUFFER ? buffer : page], PAGE_SIZE, page);
    }
    return id;
  }

  map(ioas: number, va: number, bytes: number, page = 0): void {
    const request = fixed(ioas, va, bytes, IOVA + page * PAGE_SIZE);
    assert.equal(this.bench.map(this.fd, request, this.vm0.sys).rc, "ok");
  }

  unmap(ioas_id: number, page: number, pages: number): void {
    const range = {
      ioas_id,
      iova: BigInt(IOVA + page * PAGE_SIZE),
      length: BigInt(pages * PAGE_SIZE),
    };
    const { fd, bench, vm0 } = this;
    const { rc } = bench.ioctl(fd, U.IOMMU_IOAS_UNMAP, U.iommu_ioas_unmap, range, vm0.sys);
    assert.equal(rc, "ok");
  }

  /** A HWPT of nic0's for the IOAS, which stays when the card leaves it. */
  tables(pt_id: number): number {
    const command = U.IOMMU_HWPT_ALLOC, struct = U.iommu_hwpt_alloc;
    const { bench, fd, vm0 } = this;
    const { rc, out } = bench.ioctl(fd, command, struct, { dev_id: this.dev0, pt_id }, vm0.sys);
    assert.equal(rc, "ok");
    return out.out_hwpt_id;
  }

  attach(cdev: number, pt: number): void {
    assert.equal(this.bench.attach(cdev, pt, this.vm0.sys).rc, "ok");
  }

  detach(cdev: number): void {
    const { VFIO_DEVICE_DETACH_IOMMUFD_PT: command, vfio_device_detach_iommufd_pt: struct } = V;
    assert.equal(this.bench.ioctl(cdev, command, struct, {}, this.vm0.sys).rc, "ok");
  }

  /** The card is to receive, every packet into the page {@link BUFFER}. */
  start(): this {
    const { sys } = this.vm0;
    for (let i = 0; i < RING; i++) {
      sys.store32(this.va[0] + i * N.RX_DESC_BYTES, IOVA + BUFFER * PAGE_SIZE);
      sys.store32(this.va[0] + i * N.RX_DESC_BYTES + 4, 0);
    }
    this.dev(0).setCommand(PCI_COMMAND_MASTER, 0);
    this.#nic(N.E1000_RDBAL, IOVA);
    this.#nic(N.E1000_RDLEN, RING * N.RX_DESC_BYTES);
    this.#nic(N.E1000_RDT, RING - 1);
    this.#nic(N.E1000_RCTL, N.E1000_RCTL_EN);
    return this.run(4 * ms);
  }

  /** Packets come in, and nothing is wrong. */
  receive(): this {
    const meter = this.health.meters.get(0), before = meter.writes;
    this.start();
    assert.ok(meter.writes > before + 10, "packets come in");
    this.expectNothing();
    return this;
  }

  tagged(): void {
    this.#nic(N.NIC_RXPASID, (N.NIC_RXPASID_VALID | PASID) >>> 0);
  }

  #nic(register: number, value: number): void {
    this.platform.machine.bus.write32(this.dev(0).bar0 + register, value);
  }

  /** vm0 has the buffer's page no more; the frame becomes vm1's. */
  give(): void {
    const { vm0 } = this;
    const va = this.va[BUFFER], frame = vm0.frame(va);
    assert.equal(this.kernel.userPages.pinsOf(frame), 0, "nothing holds the frame");
    vm0.disown(this.slot);
    assert.equal(vm0.sys.munmap(va, PAGE_SIZE), 0);
    this.take(frame);
  }

  /** vm1 gets memory until it has the frame. */
  take(frame: number): void {
    const { vm1, bench } = this;
    for (let gpa = 0; gpa < 20000 * PAGE_SIZE; gpa += PAGE_SIZE) {
      const va = bench.anon(PAGE_SIZE, undefined, vm1.sys);
      if (vm1.frame(va) !== frame) continue;
      vm1.own(va, PAGE_SIZE, gpa);
      return;
    }
    assert.fail("nobody gets that frame");
  }

  /** Memory that vm0's VMM has mapped and that is vm1's: a memfd that went from one to the other. */
  memoryOfVm1(): number {
    const { bench, vm0, vm1 } = this;
    const bytes = PAGES * PAGE_SIZE;
    const fd = bench.memfd(bytes, vm0.sys);
    const file = vm0.sys.task.file(fd);
    assert.ok(file);
    file.get();
    const there = vm1.sys.task.installFd(file);
    vm1.own(bench.mmap(there, bytes, undefined, vm1.sys), bytes, 0);
    return bench.mmap(fd, bytes, undefined, vm0.sys);
  }

  /** What is held against the system so far: by invariant and subject. */
  get found() {
    this.health.check(this.kernel);
    return this.health.violations;
  }

  expectNothing(): void {
    assert.deepEqual(this.found.map((v) => `${v.invariant} ${v.subject}: ${v.detail}`), []);
  }

  /** The card reached memory of vm1, by an IOVA of that page. */
  expectStray(page: number): void {
    const text = this.found.map((v) => `${v.invariant} ${v.subject}: ${v.detail}`).join("\n");
    const stray = this.found.find((v) => v.invariant === "no-stray-dma");
    assert.ok(stray !== undefined, `no stray DMA:\n${text}`);
    assert.equal(stray.subject, "nic0");
    assert.equal(Math.floor((stray.address ?? 0) / PAGE_SIZE), IOVA / PAGE_SIZE + page);
    assert.match(stray.detail, /to IOVA 0x[\da-f]+: landed in 0x[\da-f]+, vm1's memory$/);
  }
}
