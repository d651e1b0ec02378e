import { PAGE_SIZE, us } from "../base/units.ts";
import * as U from "../uapi/iommufd.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  type Program,
  PROT_READ,
  PROT_WRITE,
  type Sys,
} from "../uapi/sys.ts";
import {
  call,
  CallFailed,
  ioasAlloc,
  ioasMap,
  must,
  setPersistent,
  vfioAttach,
  vfioBind,
} from "./calls.ts";

/**
 * Programs whose threads get in each other's way, as somebody would write them who looks for the
 * moments in which a kernel has let go of a lock too early. Each tries a number of times, tells
 * `done`, and keeps what it has.
 */

/** How long a thread sleeps between two tries. All sleep alike, so that they wake together. */
const TICK = us;
const RW = PROT_READ | PROT_WRITE;
const ACTIVE = "/sys/kernel/kho/active";

/** A call that fails ends the thread, and nothing else. */
function guarded(program: Program): Program {
  return function* (sys) {
    try {
      return yield* program(sys);
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      sys.log(`cannot go on: ${error.message}`);
      return 1;
    }
  };
}

function* rest(sys: Sys): Generator<number, number, void> {
  sys.notify("done");
  for (;;) yield 1e9;
}

/**
 * Maps a page of a guestmemfs file for a device again and again, while another thread puts anonymous
 * memory in its place and the file back.
 */
export function mapRace(device: string, path: string, tries: number): Program {
  return guarded(function* (sys) {
    const iommufd = must("/dev/iommu", sys.open("/dev/iommu", O_RDWR));
    must("IOMMU_OPTION_PERSISTENT", setPersistent(sys, iommufd));
    const cdev = must(device, sys.open(device, O_RDWR));
    vfioBind(sys, cdev, iommufd);
    const ioas = ioasAlloc(sys, iommufd);
    vfioAttach(sys, cdev, ioas);
    const file = must(path, sys.open(path, O_RDWR));
    const va = must("mmap", sys.mmap(PAGE_SIZE, RW, MAP_SHARED, file, 0));
    let over = false;
    sys.clone(guarded(function* (sys) {
      const anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
      while (!over) {
        sys.mmap(PAGE_SIZE, RW, anonymous, -1, 0, va);
        yield TICK;
        sys.mmap(PAGE_SIZE, RW, MAP_SHARED | MAP_FIXED, file, 0, va);
        yield TICK;
      }
      return 0;
    }));
    for (let i = 0; i < tries; i++) {
      ioasMap(sys, iommufd, ioas, va, PAGE_SIZE, i * PAGE_SIZE);
      yield TICK;
    }
    over = true;
    return yield* rest(sys);
  });
}

/** Marks an iommufd persistent, while another thread makes use of it for a device. */
export function markRace(device: string, tries: number): Program {
  return guarded(function* (sys) {
    let iommufd = -1, used = false, over = false;
    sys.clone(guarded(function* (sys) {
      while (!over) {
        // Only between the two ends of the call.
        if (iommufd >= 0 && !used) {
          used = true;
          const cdev = must(device, sys.open(device, O_RDWR));
          vfioBind(sys, cdev, iommufd);
          vfioAttach(sys, cdev, ioasAlloc(sys, iommufd));
        }
        yield TICK;
      }
      return 0;
    }));
    for (let i = 0; i < tries && !used; i++) {
      const fd = must("/dev/iommu", sys.open("/dev/iommu", O_RDWR));
      iommufd = fd;
      setPersistent(sys, fd);
      iommufd = -1;
      if (!used) sys.close(fd);
      yield TICK;
    }
    over = true;
    return yield* rest(sys);
  });
}

/** Switches KHO on and off, while another thread closes a persistent iommufd. */
export function dumpRace(tries: number): Program {
  return guarded(function* (sys) {
    const active = must(ACTIVE, sys.open(ACTIVE, O_WRONLY));
    const write = (text: string) => sys.write(active, new TextEncoder().encode(text));
    let iommufd = -1, dumping = false, over = false;
    sys.clone(guarded(function* (sys) {
      while (!over) {
        if (dumping && iommufd >= 0) {
          sys.close(iommufd);
          iommufd = -1;
        }
        yield TICK;
      }
      return 0;
    }));
    for (let i = 0; i < tries; i++) {
      if (iommufd < 0) {
        iommufd = must("/dev/iommu", sys.open("/dev/iommu", O_RDWR));
        must("IOMMU_OPTION_PERSISTENT", setPersistent(sys, iommufd));
      }
      dumping = true;
      must(`write to ${ACTIVE}`, write("1"));
      dumping = false;
      must(`write to ${ACTIVE}`, write("0"));
      yield TICK;
    }
    over = true;
    return yield* rest(sys);
  });
}

/** Picks up every iommufd that waits, while other threads call the descriptors that may come. */
export function pickUpRace(threads: number): Program {
  return guarded(function* (sys) {
    const dir = "/sys/kernel/iommufd_persisted";
    let over = false;
    for (let t = 0; t < threads; t++) {
      sys.clone(guarded(function* (sys) {
        while (!over) {
          for (let fd = 3; fd < 12; fd++) {
            call(sys, fd, U.IOMMU_DESTROY, U.iommu_destroy, { id: 99 });
          }
          yield TICK;
        }
        return 0;
      }));
    }
    const ids = sys.readdir(dir);
    for (const id of typeof ids === "number" ? [] : ids) {
      const file = must(dir, sys.open(`${dir}/${id}/iommufd`, O_RDONLY));
      sys.read(file, 16);
      sys.close(file);
      yield TICK;
    }
    over = true;
    return yield* rest(sys);
  });
}
