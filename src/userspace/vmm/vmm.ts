import { GiB } from "../../base/units.ts";
import { O_RDWR, type Program, type Sys } from "../../uapi/sys.ts";
import { EAGAIN, errnoName } from "../../uapi/errno.ts";
import {
  CallFailed,
  faultQueueAlloc,
  ifSupported,
  ioasAlloc,
  ioasMap,
  ioasMapFile,
  ioasUnmapAll,
  must,
  noHugePages,
  setPersistent,
} from "../calls.ts";
import { Guest } from "../guest/guest.ts";
import { PERSISTED_DIR, type SavedState, type VmConfig, type VmStatus } from "./config.ts";
import {
  attachAgain,
  attachDevices,
  type Attached,
  barOf,
  bindDevice,
  enableBusMaster,
  makeVm,
  type OpenDevice,
  openDevice,
  placeRam,
  takeHandle,
} from "./hardware.ts";
import { attachPaged, BLOCK, Pager } from "./pager.ts";
import { attachParents, besideTables, enableGuestIommu } from "./guest_iommu.ts";
import { GuestRam } from "./ram.ts";
import { type Manageable, serve } from "./serve.ts";
import { loadState } from "./state_file.ts";
import { attachOrReplace, finishHandover, limitPages } from "./take_over.ts";

/** Sees each guest as it runs: what a console attached to it would show. */
export type GuestWatcher = (name: string, guest: Guest) => void;

interface RunningVm {
  readonly guest: Guest;
  readonly iommufd: number;
  state: SavedState;
  readonly ram: GuestRam;
  /** Who brings its devices what they ask for; undefined: they can reach everything. */
  pager: Pager | undefined;
  /** What is still to be made of the address space, step by step, while the guest runs already. */
  rest: Generator<undefined, SavedState, void> | undefined;
  /** Why there is no address space to change: its devices are on the previous kernel's tables. */
  stuck: string | undefined;
}

/**
 * A virtual machine monitor with passed-through devices. Started when its predecessor left a state
 * file, it picks up where that one stopped; otherwise it boots its guest from scratch.
 */
export function vmm(config: VmConfig, watch: GuestWatcher): Program {
  return function* (sys: Sys): Generator<number, number, void> {
    const status = (s: VmStatus) => sys.notify(s);
    try {
      status("starting");
      const saved = loadState<SavedState>(sys, config.name);
      const vm = saved ? restore(sys, config, saved) : start(sys, config);
      watch(config.name, vm.guest);
      status(saved ? "restored" : "running");
      try {
        return yield* serve(sys, config.name, manageable(sys, vm), saved === undefined);
      } finally {
        if (vm.pager !== undefined) vm.pager.over = true;
      }
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      sys.log(`cannot go on: ${error.message}`);
      status("failed");
      return 1;
    }
  };
}

function manageable(sys: Sys, vm: RunningVm): Manageable {
  return {
    persistent: vm.state.persistentId > 0,
    step: () => void vm.guest.step(),
    advance: () => advance(sys, vm),
    get whole() {
      return vm.rest === undefined && vm.stuck === undefined;
    },
    save: () => ({ ...vm.state, ...(vm.pager && { resident: vm.pager.resident }) }),
    unmap: () => vm.stuck !== undefined ? -EAGAIN : unmapGuest(sys, vm),
    limitPages: (bytes) =>
      vm.stuck !== undefined ? -EAGAIN : limitPages(sys, vm.iommufd, vm.state, bytes),
    map: () => vm.stuck !== undefined ? -EAGAIN : mapGuest(sys, vm),
  };
}

/** Takes everything from the devices; whoever asks has to wait. Bytes, or a negative errno. */
function unmapGuest(sys: Sys, { iommufd, state, pager }: RunningVm): number {
  const rc = ioasUnmapAll(sys, iommufd, state.ioas);
  if (rc >= 0 && pager !== undefined) {
    pager.on = false;
    pager.resident = [];
  }
  return rc;
}

/** Cold start. Falls back to ordinary memory where the kernel has no persistence. */
function start(sys: Sys, config: VmConfig): RunningVm {
  const iommufd = must("/dev/iommu", sys.open("/dev/iommu", O_RDWR));
  let persistentId = config.persistent ? setPersistent(sys, iommufd) : 0;
  if (persistentId < 0) {
    sys.log(`kernel cannot persist an iommufd (${errnoName(persistentId)}): going on without`);
    persistentId = 0;
  }
  const named = persistentId > 0 && config.backing !== "memfd";
  const ram = GuestRam.make(sys, config, named);
  const devices = config.devices.map((device) => openDevice(sys, device, iommufd));
  const cdevs = devices.map(({ cdev }) => cdev);
  const ioas = ioasAlloc(sys, iommufd);
  if (config.hugePages === false) noHugePages(sys, iommufd, ioas);
  const wanted = config.guestIommu === true;
  const parents = wanted ? attachParents(sys, iommufd, ioas, devices) : undefined;
  const paged = config.resident === undefined
    ? undefined
    : attachPaged(sys, iommufd, ioas, devices);
  const attached = parents ?? paged?.attached ??
    (persistentId > 0
      ? attachPersistent(sys, iommufd, ioas, devices)
      : attachDevices(sys, iommufd, ioas, devices));
  if (attached === undefined) {
    // Everything goes back: the file's pins with the iommufd, the devices to nobody.
    for (const fd of [...cdevs, iommufd]) sys.close(fd);
    ram.remove(sys, config, named);
    return start(sys, { ...config, persistent: false });
  }
  // Only an address space with the devices on it knows which IOVAs are not for memory.
  const ramBase = placeRam(sys, iommufd, ioas, config);
  const { name, memory } = config;
  const first = { version: 1, name, persistentId, ioas, ...attached, memory, ramBase } as const;
  const mapping = { iommufd, state: first, ram };
  const pager = paged && startPager(sys, config, mapping, paged.queue);
  must("map guest memory", mapGuest(sys, { ...mapping, pager }));
  const nested = parents &&
    enableGuestIommu(sys, iommufd, devices, parents.hwpts, { ram: ram.address, ramBase, memory });
  const state = { ...first, hwpts: nested ?? attached.hwpts };
  const cpu = makeVm(sys, config, ram.address, ramBase, cdevs);
  for (const cdev of cdevs) enableBusMaster(sys, cdev);
  const nics = config.devices.flatMap((d, i) =>
    d.model === "nic" ? [{ bar: barOf(i), ringEntries: d.ringEntries, pasid: d.pasid }] : []
  );
  const nvmes = config.devices.flatMap((d, i) => d.model === "nvme" ? [{ bar: barOf(i) }] : []);
  const guest = Guest.boot(cpu, {
    id: config.guestId,
    ramBase,
    ramBytes: parents === undefined ? memory : besideTables({ ramBase, memory }),
    nics,
    nvmes,
  });
  return { guest, iommufd, state, ram, pager, rest: undefined, stuck: undefined };
}

/** What mapping guest memory for the devices takes. */
type GuestMapping = Pick<RunningVm, "iommufd" | "state" | "ram">;

/** Maps a part of guest memory for the devices, by its files where it is to persist: 0 or an errno. */
function mapPiece(sys: Sys, vm: GuestMapping, offset: number, length: number): number {
  const { iommufd, ram, state: { persistentId, ioas, ramBase } } = vm;
  if (persistentId === 0) {
    return ioasMap(sys, iommufd, ioas, ram.address + offset, length, ramBase + offset);
  }
  for (const piece of ram.pieces(offset, length)) {
    const { file, at } = piece;
    const rc = ioasMapFile(sys, iommufd, ioas, file, piece.length, ramBase + at, piece.offset);
    if (rc < 0) return rc;
  }
  return 0;
}

/** Maps guest memory for the devices, all of it unless they ask for what they need. 0 or an errno. */
function mapGuest(sys: Sys, vm: GuestMapping & Pick<RunningVm, "pager">): number {
  if (vm.pager === undefined) return mapPiece(sys, vm, 0, vm.state.memory);
  return vm.pager.start();
}

/** The thread that brings devices what they ask for. */
function startPager(
  sys: Sys,
  config: VmConfig,
  mapping: GuestMapping,
  queue: number,
): Pager {
  const { iommufd, state } = mapping;
  const { ioas, ramBase, memory, resident = [] } = state;
  const most = Math.max(1, Math.floor((config.resident ?? memory) / BLOCK));
  const map = (offset: number, length: number) => mapPiece(sys, mapping, offset, length);
  const ram = { iommufd, ioas, ramBase, memory, most, map };
  const pager = new Pager(sys, ram, queue, [...resident]);
  sys.clone(pager.thread);
  return pager;
}

/**
 * Attaches devices to a persistent address space. Only here does it turn out whether the IOMMU can
 * keep one: undefined where it cannot (EOPNOTSUPP, seed lines 589-621).
 */
function attachPersistent(
  sys: Sys,
  iommufd: number,
  ioas: number,
  devices: readonly OpenDevice[],
): Attached | undefined {
  return ifSupported(
    sys,
    () => attachDevices(sys, iommufd, ioas, devices),
    (why) => `the IOMMU cannot persist (${why}): going on without`,
  );
}

/**
 * After a kexec: the iommufd comes back from sysfs, the devices are bound again, nothing is reset.
 * Where the kernel has made the iommufd's objects again that is all; elsewhere they are left for later,
 * as the guest can run without (seed lines 2807-2814).
 */
function restore(sys: Sys, config: VmConfig, saved: SavedState): RunningVm {
  const dir = `${PERSISTED_DIR}/${saved.persistentId}`;
  const names = sys.readdir(dir);
  const iommufd = takeHandle(sys, `${dir}/iommufd`);
  // A memfd comes over with the iommufd.
  const ram = config.backing === "memfd"
    ? GuestRam.of(sys, [takeHandle(sys, `${dir}/memfd1`)], config.memory)
    : GuestRam.find(sys, config);
  // A handover that has to be finished leaves the objects to us.
  const empty = typeof names !== "number" && names.includes("finish");
  // Then a device that does not wait is not as it was: there is no going on with it.
  const devices = config.devices.map((device) =>
    empty
      ? bindDevice(sys, device, takeHandle(sys, `${dir}/devices/${device.name}`), iommufd)
      : openDevice(sys, device, iommufd, saved.persistentId)
  );
  const attached = empty ? { hwpts: [], pasidHwpts: [] } : attachAgain(sys, devices, saved);
  const cpu = makeVm(sys, config, ram.address, saved.ramBase, devices.map(({ cdev }) => cdev));
  const state = { ...saved, ...attached };
  const guest = Guest.attach(cpu, saved.ramBase);
  const vm: RunningVm = {
    guest,
    iommufd,
    state,
    ram,
    pager: undefined,
    rest: undefined,
    stuck: undefined,
  };
  if (empty) vm.rest = remake(sys, config, vm, devices);
  return vm;
}

/** Makes the address space again as it was, then moves each device over to it. */
function* remake(
  sys: Sys,
  config: VmConfig,
  vm: RunningVm,
  devices: readonly OpenDevice[],
): Generator<undefined, SavedState, void> {
  const { iommufd, state: saved } = vm;
  const ioas = ioasAlloc(sys, iommufd);
  if (config.hugePages === false) noHugePages(sys, iommufd, ioas);
  yield;
  const mapping = { ...vm, state: { ...saved, ioas } };
  const pieces = saved.resident?.map((block) => ({ at: block * BLOCK, length: BLOCK })) ??
    [{ at: 0, length: config.memory }];
  for (const { at, length } of pieces) {
    must("map guest memory", mapPiece(sys, mapping, at, length));
  }
  yield;
  const fault = saved.resident && faultQueueAlloc(sys, iommufd);
  const hwpts: number[] = [], pasidHwpts: number[] = [];
  let limited = false;
  for (const device of devices) {
    const one = attachOrReplace(sys, iommufd, ioas, device, fault?.id);
    hwpts.push(...one.hwpts);
    pasidHwpts.push(...one.pasidHwpts);
    limited ||= one.limited;
    yield;
  }
  finishHandover(sys, saved.persistentId);
  const state = { ...saved, ioas, hwpts, pasidHwpts };
  if (limited) {
    // Nothing of the previous kernel's is there any more that sizes would have to match.
    yield;
    limitPages(sys, iommufd, state, GiB);
  }
  if (fault !== undefined) {
    vm.pager = startPager(sys, config, mapping, fault.file);
    vm.pager.on = true;
  }
  return state;
}

/**
 * The next step of what is left; true when there is nothing more to do. A step that fails leaves the
 * devices on the previous kernel's tables: the guest runs, and nothing of its address space changes.
 */
function advance(sys: Sys, vm: RunningVm): boolean {
  if (vm.rest === undefined) return true;
  try {
    const step = vm.rest.next();
    if (step.done !== true) return false;
    vm.state = step.value;
    sys.notify("whole");
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    vm.stuck = error.message;
    sys.log(`staying on the tables of before: ${vm.stuck}`);
  }
  vm.rest = undefined;
  return true;
}
