import { MiB, us } from "../../base/units.ts";
import { EAGAIN, EBUSY, ENODEV, EOPNOTSUPP } from "../../uapi/errno.ts";
import { IOMMUFD_PAGE_RESP_INVALID, IOMMUFD_PAGE_RESP_SUCCESS } from "../../uapi/iommufd.ts";
import type { Program, Sys } from "../../uapi/sys.ts";
import {
  answerFault,
  CallFailed,
  destroyObject,
  faultQueueAlloc,
  ioasUnmap,
  readFaults,
} from "../calls.ts";
import { attachDevices, type Attached, type OpenDevice } from "./hardware.ts";

/** What is mapped for devices, or taken from them, at a time. */
export const BLOCK = 2 * MiB;
/** How long the thread sleeps where nothing waits, nanoseconds, and pages it reads at once. */
const TICK = 100 * us, BATCH = 16;

/** A guest's memory, for devices that ask for what they need of it. */
export interface PagedRam {
  readonly iommufd: number;
  readonly ioas: number;
  readonly ramBase: number;
  readonly memory: number;
  /** Blocks that are mapped at a time, at least 1. */
  readonly most: number;
  /** Maps a piece of RAM, from an offset on: 0 or a negative errno. */
  map(offset: number, length: number): number;
}

/** Groups of one device or another, with the blocks they wait for. */
interface Waiting {
  readonly cookie: number;
  readonly blocks: number[];
}

/**
 * Gives devices of an over-committed guest the memory they ask for: what a device misses is mapped, a
 * block at a time, and the block that has been there longest goes for it. While nothing may change, since
 * a handover is under way, who asks has to wait.
 */
export class Pager {
  readonly #waiting: Waiting[] = [];
  /** Off: nobody gets anything. */
  on = false;
  /** The program has ended. */
  over = false;

  /** `resident`: blocks that are mapped, the oldest first. */
  constructor(
    readonly sys: Sys,
    readonly ram: PagedRam,
    readonly queue: number,
    public resident: number[] = [],
  ) {}

  /** Begins to give, with the first block, where devices have their rings. 0 or a negative errno. */
  start(): number {
    this.on = true;
    return this.#bring([0]);
  }

  /** The thread that answers. */
  get thread(): Program {
    const serve = () => this.#serve();
    const over = () => this.over;
    return function* () {
      while (!over() && serve()) yield TICK;
      return 0;
    };
  }

  /** False when there is nothing left to read from. */
  #serve(): boolean {
    try {
      this.#read();
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      return false;
    }
    while (this.on && this.#waiting.length > 0) {
      const [{ cookie, blocks }] = this.#waiting;
      const rc = this.#bring(blocks);
      // A dump stands, or the devices are between two sets of tables: later.
      if (rc === -EBUSY || rc === -EAGAIN) break;
      const code = rc < 0 ? IOMMUFD_PAGE_RESP_INVALID : IOMMUFD_PAGE_RESP_SUCCESS;
      answerFault(this.sys, this.queue, cookie, code);
      this.#waiting.shift();
    }
    return true;
  }

  #read(): void {
    const { ramBase } = this.ram;
    for (const { iova, cookie } of readFaults(this.sys, this.queue, BATCH)) {
      const block = Math.floor((iova - ramBase) / BLOCK);
      const group = this.#waiting.find((w) => w.cookie === cookie);
      if (group === undefined) this.#waiting.push({ cookie, blocks: [block] });
      else group.blocks.push(block);
    }
  }

  /** Makes blocks present: 0, ENODEV for one that is not RAM, or what mapping answers. */
  #bring(blocks: readonly number[]): number {
    const { ram, resident } = this;
    for (const block of blocks) {
      if (block < 0 || block * BLOCK >= ram.memory) return -ENODEV;
      if (resident.includes(block)) continue;
      while (resident.length >= ram.most) {
        const rc = this.#evict(resident[0]);
        if (rc < 0) return rc;
      }
      const rc = ram.map(block * BLOCK, BLOCK);
      if (rc < 0) return rc;
      resident.push(block);
    }
    return 0;
  }

  #evict(block: number): number {
    const { iommufd, ioas, ramBase } = this.ram;
    const rc = ioasUnmap(this.sys, iommufd, ioas, ramBase + block * BLOCK, BLOCK);
    if (rc >= 0) this.resident.shift();
    return rc;
  }
}

/** Devices on HWPTs whose page requests go to a queue. */
export interface Paged {
  readonly attached: Attached;
  /** Descriptor of the queue. */
  readonly queue: number;
}

/**
 * Attaches each device to a HWPT with a fault queue. Undefined where the kernel does not have that
 * (EOPNOTSUPP), or a device or its IOMMU cannot ask (ENODEV): then all memory has to be there.
 */
export function attachPaged(
  sys: Sys,
  iommufd: number,
  ioas: number,
  devices: readonly OpenDevice[],
  flags = 0,
): Paged | undefined {
  let queue: { id: number; file: number } | undefined;
  try {
    queue = faultQueueAlloc(sys, iommufd);
    const attached = attachDevices(sys, iommufd, ioas, devices, flags, queue.id);
    return { attached, queue: queue.file };
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    if (error.errno !== EOPNOTSUPP && error.errno !== ENODEV) throw error;
    if (queue !== undefined) {
      sys.close(queue.file);
      destroyObject(sys, iommufd, queue.id);
    }
    sys.log(`no page requests (${error.message}): all of its memory is mapped`);
    return undefined;
  }
}
