import {
  MAP_SHARED,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  type Program,
  PROT_READ,
  PROT_WRITE,
  type Sys,
} from "../../uapi/sys.ts";
import { EOPNOTSUPP, errnoName } from "../../uapi/errno.ts";
import {
  CallFailed,
  ioasAlloc,
  ioasMap,
  ioasMapFile,
  ioasUnmapAll,
  must,
  noHugePages,
  setPersistent,
} from "../calls.ts";
import { Guest } from "../guest/guest.ts";
import { MEMORY_DIR, type SavedState, SLICE, type VmConfig, type VmStatus } from "./config.ts";
import {
  attachAgain,
  attachDevices,
  type Attached,
  barOf,
  enableBusMaster,
  makeVm,
  type OpenDevice,
  openDevice,
  placeRam,
} from "./hardware.ts";
import { createStateFile, loadState, removeStateFile, saveState } from "./state_file.ts";

/** Sees each guest as it runs: what a console attached to it would show. */
export type GuestWatcher = (name: string, guest: Guest) => void;

interface RunningVm {
  readonly guest: Guest;
  readonly iommufd: number;
  readonly state: SavedState;
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
      const saved = loadState(sys, config.name);
      const vm = saved ? restore(sys, config, saved) : start(sys, config);
      watch(config.name, vm.guest);
      status(saved ? "restored" : "running");
      return yield* serve(sys, config, vm, saved === undefined);
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      sys.log(`cannot go on: ${error.message}`);
      status("failed");
      return 1;
    }
  };
}

/** Cold start. Falls back to ordinary memory where the kernel has no persistence. */
function start(sys: Sys, config: VmConfig): RunningVm {
  const iommufd = must("/dev/iommu", sys.open("/dev/iommu", O_RDWR));
  let persistentId = config.persistent ? setPersistent(sys, iommufd) : 0;
  if (persistentId < 0) {
    sys.log(`kernel cannot persist an iommufd (${errnoName(persistentId)}): going on without`);
    persistentId = 0;
  }
  const file = persistentId > 0
    ? must(config.name, sys.open(`${MEMORY_DIR}/${config.name}`, O_RDWR | O_CREAT))
    : must("memfd_create", sys.memfdCreate(config.name));
  must("ftruncate guest memory", sys.ftruncate(file, config.memory));
  const ram = mapRam(sys, config, file);
  const devices = config.devices.map((device) => openDevice(sys, device, iommufd));
  const cdevs = devices.map(({ cdev }) => cdev);
  const ioas = ioasAlloc(sys, iommufd);
  if (config.hugePages === false) noHugePages(sys, iommufd, ioas);
  const attached = persistentId > 0
    ? attachPersistent(sys, iommufd, ioas, devices)
    : attachDevices(sys, iommufd, ioas, devices);
  if (attached === undefined) {
    // Everything goes back: the file's pins with the iommufd, the devices to nobody.
    for (const fd of [...cdevs, iommufd]) sys.close(fd);
    must("munmap guest memory", sys.munmap(ram, config.memory));
    sys.close(file);
    must("unlink guest memory", sys.unlink(`${MEMORY_DIR}/${config.name}`));
    return start(sys, { ...config, persistent: false });
  }
  // Only an address space with the devices on it knows which IOVAs are not for memory.
  const ramBase = placeRam(sys, iommufd, ioas, config);
  const rc = persistentId > 0
    ? ioasMapFile(sys, iommufd, ioas, file, config.memory, ramBase)
    : ioasMap(sys, iommufd, ioas, ram, config.memory, ramBase);
  must("map guest memory", rc);
  const cpu = makeVm(sys, config, ram, ramBase, cdevs);
  for (const cdev of cdevs) enableBusMaster(sys, cdev);
  const nics = config.devices.flatMap((d, i) =>
    d.model === "nic" ? [{ bar: barOf(i), ringEntries: d.ringEntries, pasid: d.pasid }] : []
  );
  const nvmes = config.devices.flatMap((d, i) => d.model === "nvme" ? [{ bar: barOf(i) }] : []);
  const guest = Guest.boot(cpu, {
    id: config.guestId,
    ramBase,
    ramBytes: config.memory,
    nics,
    nvmes,
  });
  const { name, memory } = config;
  const state = { version: 1, name, persistentId, ioas, ...attached, memory, ramBase } as const;
  return { guest, iommufd, state };
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
  try {
    return attachDevices(sys, iommufd, ioas, devices);
  } catch (error) {
    if (!(error instanceof CallFailed) || error.errno !== EOPNOTSUPP) throw error;
    sys.log(`the IOMMU cannot persist (${error.message}): going on without`);
    return undefined;
  }
}

function mapRam(sys: Sys, config: VmConfig, file: number): number {
  const prot = PROT_READ | PROT_WRITE;
  return must("mmap guest memory", sys.mmap(config.memory, prot, MAP_SHARED, file, 0));
}

/** After a kexec: the iommufd comes back from sysfs, the devices are bound again, nothing is reset. */
function restore(sys: Sys, config: VmConfig, saved: SavedState): RunningVm {
  const file = must(config.name, sys.open(`${MEMORY_DIR}/${config.name}`, O_RDWR));
  const ram = mapRam(sys, config, file);
  const path = `/sys/kernel/iommufd_persisted/${saved.persistentId}/iommufd`;
  const handle = must(path, sys.open(path, O_RDONLY));
  const text = sys.read(handle, 16);
  if (typeof text === "number") throw new CallFailed(`read ${path}`, -text);
  const iommufd = Number(new TextDecoder().decode(text));
  sys.close(handle);
  const devices = config.devices.map((device) => openDevice(sys, device, iommufd));
  const attached = attachAgain(sys, devices, saved);
  const cpu = makeVm(sys, config, ram, saved.ramBase, devices.map(({ cdev }) => cdev));
  return { guest: Guest.attach(cpu, saved.ramBase), iommufd, state: { ...saved, ...attached } };
}

/** The main loop: runs the guest, slice by slice, and does what the monitor socket says. */
function* serve(
  sys: Sys,
  config: VmConfig,
  vm: RunningVm,
  running: boolean,
): Generator<number, number, void> {
  const persistent = vm.state.persistentId > 0;
  let stateAt = -1;
  for (;;) {
    for (let m = sys.receive(); m !== undefined; m = sys.receive()) {
      switch (m) {
        case "prepare":
          try {
            if (persistent && stateAt < 0) stateAt = createStateFile(sys, config.name);
            sys.notify("prepared");
          } catch (error) {
            if (!(error instanceof CallFailed)) throw error;
            // Nothing is lost yet: better no update than an update without this guest.
            sys.log(`not ready for an update: ${error.message}`);
            sys.notify("refused");
          }
          break;
        case "pause":
          running = false;
          if (stateAt >= 0) saveState(sys, stateAt, vm.state);
          sys.notify("paused");
          break;
        case "resume":
          running = true;
          sys.notify("running");
          break;
        case "forget":
          // The update is over, one way or the other: nobody will need the state file.
          if (persistent) removeStateFile(sys, config.name, stateAt);
          stateAt = -1;
          running = true;
          sys.notify("running");
          break;
        case "unmap":
          if (ioasUnmapAll(sys, vm.iommufd, vm.state.ioas) < 0) sys.notify("refused");
          else {
            running = false;
            sys.notify("unmapped");
          }
          break;
        case "quit":
          return 0;
      }
    }
    if (running) vm.guest.step();
    yield SLICE;
  }
}
