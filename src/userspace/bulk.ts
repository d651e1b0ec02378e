import { GiB, MiB } from "../base/units.ts";
import { IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET } from "../uapi/iommufd.ts";
import * as U from "../uapi/iommufd.ts";
import { O_CREAT, O_RDWR, O_WRONLY, type Sys } from "../uapi/sys.ts";
import {
  call,
  CallFailed,
  ioasAlloc,
  ioasMapFile,
  must,
  setPersistent,
  vfioAttach,
  vfioBind,
} from "./calls.ts";
import { MEMORY_DIR, PERSISTED_DIR } from "./vmm/config.ts";
import { takeHandle } from "./vmm/hardware.ts";

/** Below 4 GiB lies the window of interrupts. */
const LOWEST = 4 * GiB;
/** The largest file that guestmemfs has. */
const FILE = GiB;

export interface BulkConfig {
  /** Bytes of memory, and of the pages it is to be mapped with: 4 KiB, 2 MiB or 1 GiB. */
  readonly guest: number;
  readonly page: number;
  /** Physical address of the memory files, so that pages can be made to fit, or not to. */
  readonly base: number;
}

/**
 * The part of a VMM that costs: it maps much memory for one device, file by file, and after a kexec
 * has it mapped again. There is no guest.
 */
export class BulkProgram {
  #id = 0;
  #ioas = 0;

  constructor(readonly config: BulkConfig) {}

  /** Makes the files, maps them, attaches the first device. */
  start(sys: Sys): void {
    const iommufd = must("/dev/iommu", sys.open("/dev/iommu", O_RDWR));
    this.#id = must("persistent", setPersistent(sys, iommufd));
    const cdev = must("cdev", sys.open("/dev/vfio/devices/vfio0", O_RDWR));
    vfioBind(sys, cdev, iommufd);
    this.#map(sys, iommufd, O_RDWR | O_CREAT);
    vfioAttach(sys, cdev, this.#ioas);
  }

  /** Takes over, as the kernel's design wants it. */
  restore(sys: Sys): void {
    const dir = `${PERSISTED_DIR}/${this.#id}`;
    const names = sys.readdir(dir), handles = sys.readdir(`${dir}/devices`);
    if (typeof handles === "number") throw new CallFailed("devices", -handles);
    const iommufd = takeHandle(sys, `${dir}/iommufd`);
    // A handover that has to be finished leaves the objects to us.
    const empty = typeof names !== "number" && names.includes("finish");
    const cdev = takeHandle(sys, `${dir}/devices/${handles[0]}`);
    vfioBind(sys, cdev, iommufd);
    if (!empty) return;
    this.#map(sys, iommufd, O_RDWR);
    vfioAttach(sys, cdev, this.#ioas);
    const finish = must("finish", sys.open(`${dir}/finish`, O_WRONLY));
    must("finish", sys.write(finish, new TextEncoder().encode("1")));
  }

  #map(sys: Sys, iommufd: number, flags: number): void {
    const { guest, page, base } = this.config;
    this.#ioas = ioasAlloc(sys, iommufd);
    if (page < 2 * MiB) this.#smallPages(sys, iommufd);
    // An IOVA that is as far into its GiB as the memory is into its own makes the largest pages.
    const offset = LOWEST + base % GiB + (page >= GiB ? 0 : 2 * MiB);
    for (let at = 0; at < guest; at += FILE) {
      const length = Math.min(FILE, guest - at);
      const path = `${MEMORY_DIR}/ram${at / FILE}`;
      const file = must(path, sys.open(path, flags));
      if (flags & O_CREAT) must("ftruncate", sys.ftruncate(file, length));
      must("map", ioasMapFile(sys, iommufd, this.#ioas, file, length, offset + at));
      sys.close(file);
    }
  }

  /** IOMMU_OPTION_HUGE_PAGES off. */
  #smallPages(sys: Sys, iommufd: number): void {
    const value = {
      option_id: IOMMU_OPTION_HUGE_PAGES,
      op: IOMMU_OPTION_OP_SET,
      object_id: this.#ioas,
      val64: 0n,
    };
    const reply = call(sys, iommufd, U.IOMMU_OPTION, U.iommu_option, value);
    if (typeof reply === "number") must("IOMMU_OPTION_HUGE_PAGES", reply);
  }
}
