import { GiB, MiB, ms, PAGE_SIZE } from "../base/units.ts";
import type { CostCounts } from "../kernel/costs.ts";
import { findProfile, type Profile, PROFILES } from "../machine/profile.ts";
import { costsSince, modelledTime } from "../platform/cost_model.ts";
import { Platform } from "../platform/platform.ts";
import { LINUX_REBOOT_CMD_KEXEC, O_WRONLY } from "../uapi/sys.ts";
import { BulkProgram } from "../userspace/bulk.ts";

/** The designs that hand over, in the order of the review (FACTS 10.5). */
export const COMPARED = ["rfc-v1", "replay", "redrive", "redrive-replace"] as const;

/** A guest whose memory is mapped with pages of one size. Bytes. */
export interface CompareCase {
  readonly guest: number;
  readonly page: number;
}

/** What one update of one guest took. */
export interface CostRow extends CompareCase {
  readonly design: string;
  /** Of the old kernel from KHO's activation to the jump, of the new one from its first program. */
  readonly handingOver: CostCounts;
  readonly takingOver: CostCounts;
  /** Pages of I/O page tables in use at the first program. */
  readonly tablesBefore: number;
  /** Modelled nanoseconds of both. */
  readonly modelled: number;
}

/** Below 4 GiB there is a hole for registers: the guests lie above it. */
const MACHINE_REST = 4 * GiB;

/**
 * One update of a machine with one card and a guest of that size, its memory in files of up to 1 GiB,
 * as its program makes the calls; nothing is done with the memory. Step by step, in this order.
 */
export class BulkUpdate {
  readonly platform: Platform;
  readonly #program: BulkProgram;

  constructor(readonly design: string, { guest, page }: CompareCase) {
    this.platform = machineFor(design, guest);
    const { guestRange } = this.platform.kernel;
    this.#program = new BulkProgram({ guest, page, base: guestRange?.base ?? 0 });
  }

  /** Maps the memory. */
  start(): void {
    this.#program.start(this.platform.shell());
  }

  /** KHO's activation and the loading of the next kernel: all that the old one writes down. */
  handOver(): void {
    const sys = this.platform.shell();
    const active = sys.open("/sys/kernel/kho/active", O_WRONLY);
    must("activate", sys.write(active, new TextEncoder().encode("1")));
    must("load", sys.kexecFileLoad(this.design, 0));
  }

  /** The jump, and the boot up to the first program. */
  jump(): void {
    must("reboot", this.platform.shell().reboot(LINUX_REBOOT_CMD_KEXEC));
    untilReady(this.platform, 2);
  }

  /** The program takes over what is its. */
  restore(): void {
    this.#program.restore(this.platform.shell());
  }
}

/** What one update takes. All counts are of what the kernels really did. */
export function measure(design: string, c: CompareCase): CostRow {
  const update = new BulkUpdate(design, c), { platform } = update;
  update.start();
  const then = platform.kernel.costs.copy();
  update.handOver();
  const handingOver = costsSince(platform.kernel.costs.copy(), then);
  update.jump();
  const fresh = platform.kernel.costs.copy();
  update.restore();
  const takingOver = costsSince(platform.kernel.costs.copy(), fresh);
  const modelled = modelledTime(handingOver) + modelledTime(takingOver);
  platform.dispose();
  return { design, ...c, handingOver, takingOver, tablesBefore: fresh.tables, modelled };
}

function machineFor(design: string, guest: number): Platform {
  const profile = findProfile("intel-legacy") ?? PROFILES[0] as Profile;
  const platform = new Platform({
    machine: {
      profile,
      // Memory ends where a GiB does: the guests' range, taken from the top, begins so as well.
      memory: Math.ceil(guest / GiB) * GiB + MACHINE_REST,
      devices: [{ id: "nic0", bdf: "3a:00.0", model: "nic", interval: 1 * ms, packetBytes: 64 }],
    },
    vms: [],
    kernel: design,
    guestmemfs: Math.max(guest, 2 * MiB),
    khoScratch: 16 * MiB,
    seed: 1,
  });
  untilReady(platform, 1);
  return platform;
}

function untilReady(platform: Platform, boot: number): void {
  for (let i = 0; i < 200 && !(platform.boots === boot && platform.kernel.ready); i++) {
    platform.runFor(10 * ms);
  }
}

function must(what: string, rc: number): void {
  if (rc < 0) throw new Error(`compare: ${what}: ${rc}`);
}

/** Every design on every case. `seen`: before each, for whoever waits. */
export function measureAll(
  designs: readonly string[],
  cases: readonly CompareCase[],
  seen: (done: number, of: number, what: string) => void = () => {},
): CostRow[] {
  const all = cases.flatMap((c) => designs.map((design) => ({ design, c })));
  return all.map(({ design, c }, i) => {
    seen(
      i,
      all.length,
      `${design}, ${c.guest / GiB} GiB in pages of ${c.page / PAGE_SIZE * 4} KiB`,
    );
    return measure(design, c);
  });
}
