import { ms, PAGE_SIZE } from "../../base/units.ts";
import { EIO, ENODEV, EOPNOTSUPP, errnoName } from "../../uapi/errno.ts";
import {
  MAP_SHARED,
  O_CREAT,
  O_RDWR,
  type Program,
  PROT_READ,
  PROT_WRITE,
  type Sys,
} from "../../uapi/sys.ts";
import { NVME_BAR_SIZE } from "../../uapi/nvme_regs.ts";
import { VFIO_PCI_BAR0_REGION_INDEX } from "../../uapi/vfio.ts";
import {
  CallFailed,
  ioasAlloc,
  ioasMap,
  ioasMapFile,
  ioasUnmapAll,
  must,
  setPersistent,
  vfioAttach,
  vfioRegion,
} from "../calls.ts";
import type { GuestCpu } from "../guest/cpu.ts";
import { Guest } from "../guest/guest.ts";
import { MEMORY_DIR, PERSISTED_DIR } from "../vmm/config.ts";
import { barOf, enableBusMaster, makeVm, openDevice, takeHandle } from "../vmm/hardware.ts";
import { loadState } from "../vmm/state_file.ts";
import { type Manageable, serve } from "../vmm/serve.ts";
import type { GuestWatcher } from "../vmm/vmm.ts";
import type { ParavisorConfig } from "./config.ts";
import { Controller, type ControllerState } from "./controller.ts";
import { Disk, type DiskState } from "./disk.ts";
import {
  type DmaMemory,
  fileMemory,
  inheritedMemory,
  type Iommufd,
  lockedMemory,
  pagemap,
  physicalPages,
  pinnedMemory,
} from "./dma_memory.ts";

/** How often the disk is looked at while it comes up. */
const SETUP_POLL = 1 * ms;

/** What a paravisor leaves for the one that comes after it. */
interface Saved {
  readonly version: 1;
  readonly persistentId: number;
  readonly ioas: number;
  readonly hwpt: number;
  /** Physical address of each page of the disk's memory. */
  readonly pages: readonly number[];
  readonly blocks: number;
  readonly disk: DiskState;
  readonly controller: ControllerState;
}

/** Guest memory, and what maps it. */
interface GuestMapping {
  readonly iommufd: Iommufd;
  readonly persistentId: number;
  /** Its file, where this process has it, and its size. */
  readonly file: number;
  readonly ram: number;
  readonly bytes: number;
}

/** What there is before the guest. */
interface Base extends GuestMapping {
  readonly hwpt: number;
  readonly cdev: number;
  /** Physical address of each page of the guest's. */
  readonly ramPages: readonly number[];
  readonly memory: DmaMemory;
}

/**
 * A paravisor: it drives an NVMe controller that no IOMMU covers, from queues in memory that stays
 * where it is, and plays a controller for the guest above it. Data goes straight to the guest's
 * pages. When its kernel is replaced it saves the state of both queues, and whoever comes after it
 * finds the commands that were completed meanwhile.
 */
export function paravisor(config: ParavisorConfig, watch: GuestWatcher): Program {
  return function* (sys: Sys): Generator<number, number, void> {
    try {
      sys.notify("starting");
      const saved = loadState<Saved>(sys, config.name);
      const vm = saved ? restore(sys, config, saved) : yield* start(sys, config);
      watch(config.name, vm.guest);
      sys.notify(saved ? "restored" : "running");
      return yield* serve(sys, config.name, vm, saved === undefined);
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      sys.log(`cannot go on: ${error.message}`);
      sys.notify("failed");
      return 1;
    }
  };
}

/** The machine a paravisor runs: guest, played controller, real disk. */
class Paravised implements Manageable {
  readonly guest: Guest;
  readonly persistent: boolean;

  constructor(
    readonly sys: Sys,
    readonly base: Base,
    readonly disk: Disk,
    readonly controller: Controller,
    makeGuest: () => Guest,
  ) {
    this.persistent = base.persistentId > 0;
    this.guest = makeGuest();
  }

  step(): void {
    this.disk.reap((tag, status) => this.controller.done(tag, status));
    this.guest.step();
    this.controller.step();
  }

  /** Nothing is left for later: its memory came over as it was. */
  advance(): boolean {
    return true;
  }

  get whole(): boolean {
    return true;
  }

  map(): number {
    return mapGuest(this.sys, this.base);
  }

  /** Nothing walks tables of its. */
  limitPages(): number {
    return -EOPNOTSUPP;
  }

  unmap(): number {
    const { fd, ioas } = this.base.iommufd;
    return ioas === 0 ? -EOPNOTSUPP : ioasUnmapAll(this.sys, fd, ioas);
  }

  save(): Saved {
    const { persistentId, iommufd, hwpt, memory } = this.base;
    return {
      version: 1,
      persistentId,
      ioas: iommufd.ioas,
      hwpt,
      pages: memory.pages,
      blocks: this.controller.blocks,
      disk: this.disk.save(),
      controller: this.controller.save(),
    };
  }
}

function* start(sys: Sys, config: ParavisorConfig): Generator<number, Paravised, void> {
  const fd = must("/dev/iommu", sys.open("/dev/iommu", O_RDWR));
  let persistentId = config.persistent ? setPersistent(sys, fd) : 0;
  if (persistentId < 0) {
    sys.log(`kernel cannot persist an iommufd (${errnoName(persistentId)}): going on without`);
    persistentId = 0;
  }
  const file = persistentId > 0
    ? must(config.name, sys.open(`${MEMORY_DIR}/${config.name}`, O_RDWR | O_CREAT))
    : must("memfd_create", sys.memfdCreate(config.name));
  must("ftruncate guest memory", sys.ftruncate(file, config.memory));
  const ram = mapRam(sys, config, file);
  const { cdev } = openDevice(sys, config.devices[0], fd);
  const ioas = config.dma === "iommufd" ? ioasAlloc(sys, fd) : 0;
  const hwpt = ioas === 0 ? 0 : vfioAttach(sys, cdev, ioas);
  const iommufd = { fd, ioas };
  const { memory: bytes } = config;
  const guest = { iommufd, persistentId, file, ram, bytes };
  if (ioas !== 0) must("map guest memory", mapGuest(sys, guest));
  const memory = ioas !== 0
    ? pinnedMemory(sys, iommufd, Disk.bytes)
    : config.dma === "mlock"
    ? lockedMemory(sys, Disk.bytes)
    : fileMemory(sys, config.name, Disk.bytes);
  const base = { ...guest, hwpt, cdev, memory, ramPages: guestPages(sys, config, guest) };
  const disk = new Disk(processorOf(sys), mapBar(sys, cdev), memory);
  enableBusMaster(sys, cdev);
  disk.start();
  for (let ready = disk.ready(); ready !== true; ready = disk.ready()) {
    if (typeof ready === "string") throw new CallFailed(`bring the disk up (${ready})`, EIO);
    yield SETUP_POLL;
  }
  return assemble(sys, config, base, disk, disk.blocks, (cpu) =>
    Guest.boot(cpu, {
      id: config.guestId,
      ramBase: 0,
      ramBytes: config.memory,
      nvmes: [{ bar: barOf(0) }],
    }));
}

/** After a kexec: nothing is reset, and what the disk did meanwhile lies in its queues. */
function restore(sys: Sys, config: ParavisorConfig, saved: Saved): Paravised {
  const file = must(config.name, sys.open(`${MEMORY_DIR}/${config.name}`, O_RDWR));
  const ram = mapRam(sys, config, file);
  const path = `${PERSISTED_DIR}/${saved.persistentId}/iommufd`;
  const iommufd = { fd: takeHandle(sys, path), ioas: saved.ioas };
  const { cdev } = openDevice(sys, config.devices[0], iommufd.fd, saved.persistentId);
  const hwpt = saved.hwpt === 0 ? 0 : vfioAttach(sys, cdev, saved.hwpt);
  if (config.dma === "mlock") throw new CallFailed("find the disk's memory again", ENODEV);
  const memory = saved.ioas !== 0
    ? inheritedMemory(sys, iommufd, saved.persistentId, Disk.bytes)
    : fileMemory(sys, config.name, Disk.bytes);
  const { persistentId } = saved;
  const guest = { iommufd, persistentId, file, ram, bytes: config.memory };
  const base = { ...guest, hwpt, cdev, memory, ramPages: guestPages(sys, config, guest) };
  if (saved.pages.some((page, i) => page !== memory.pages[i])) {
    sys.log("the disk's memory is not where it was");
  }
  const disk = new Disk(processorOf(sys), mapBar(sys, cdev), memory);
  if (!disk.alive) sys.log("the disk was reset: what it had in hand is lost");
  disk.resume(saved.disk);
  const vm = assemble(sys, config, base, disk, saved.blocks, (cpu) => Guest.attach(cpu, 0));
  vm.controller.restore(saved.controller);
  return vm;
}

function mapRam(sys: Sys, config: ParavisorConfig, file: number): number {
  const prot = PROT_READ | PROT_WRITE;
  return must("mmap guest memory", sys.mmap(config.memory, prot, MAP_SHARED, file, 0));
}

/** Puts guest memory where physical addresses of it can be had. */
function mapGuest(
  sys: Sys,
  { iommufd: { fd, ioas }, persistentId, file, ram, bytes }: GuestMapping,
): number {
  return persistentId > 0
    ? ioasMapFile(sys, fd, ioas, file, bytes, 0)
    : ioasMap(sys, fd, ioas, ram, bytes, 0);
}

function mapBar(sys: Sys, cdev: number): number {
  const { size, offset } = vfioRegion(sys, cdev, VFIO_PCI_BAR0_REGION_INDEX);
  const prot = PROT_READ | PROT_WRITE;
  return must("mmap BAR 0", sys.mmap(size, prot, MAP_SHARED, cdev, offset));
}

/** Physical addresses of the guest's pages, by guest page. */
function guestPages(
  sys: Sys,
  config: ParavisorConfig,
  { iommufd, ram }: { readonly iommufd: Iommufd; readonly ram: number },
): number[] {
  return iommufd.ioas !== 0
    ? physicalPages(sys, iommufd, 0, config.memory)
    : pagemap(sys, ram, config.memory);
}

/** Puts the played controller between the guest and the disk. */
function assemble(
  sys: Sys,
  config: ParavisorConfig,
  base: Base,
  disk: Disk,
  blocks: number,
  makeGuest: (cpu: GuestCpu) => Guest,
): Paravised {
  const vcpu = makeVm(sys, config, base.ram, 0, []);
  const controller = new Controller(vcpu, {
    get full() {
      return disk.full;
    },
    physical: (gpa) => base.ramPages[gpa / PAGE_SIZE],
    submit: (command, tag) => disk.submit(command, tag),
    ring: () => disk.ring(),
  }, blocks);
  const cpu = withRegisters(vcpu, barOf(0), controller);
  return new Paravised(sys, base, disk, controller, () => makeGuest(cpu));
}

/** The program's own loads and stores. */
function processorOf(sys: Sys): GuestCpu {
  const bytesOf = (words: Uint32Array) =>
    new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  return {
    load32: (address) => sys.load32(address),
    store32: (address, value) => sys.store32(address, value),
    loadWords: (address, into) => bytesOf(into).set(sys.copyIn(address, into.byteLength)),
    storeWords: (address, words) => sys.copyOut(address, bytesOf(words)),
  };
}

/** Guest memory with registers in it: what the guest does there is an exit to this program. */
function withRegisters(vcpu: GuestCpu, bar: number, controller: Controller): GuestCpu {
  const inside = (gpa: number) => gpa >= bar && gpa < bar + NVME_BAR_SIZE;
  return {
    load32: (gpa) => inside(gpa) ? controller.load32(gpa - bar) : vcpu.load32(gpa),
    store32: (gpa, value) =>
      inside(gpa) ? controller.store32(gpa - bar, value) : vcpu.store32(gpa, value),
    // Runs of words are of memory, which has no registers in it.
    loadWords: (gpa, into) => vcpu.loadWords(gpa, into),
    storeWords: (gpa, words) => vcpu.storeWords(gpa, words),
  };
}
