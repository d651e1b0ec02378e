import assert from "node:assert/strict";
import { FAULT_POINTS } from "../../src/kernel/fault_points.ts";
import type { Syscalls } from "../../src/kernel/syscalls.ts";
import { Platform } from "../../src/platform/platform.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { platformSpec } from "../../src/scenario/platform_of.ts";
import * as S from "../../src/uapi/sys.ts";
import type { Sys } from "../../src/uapi/sys.ts";
import { throwAway } from "../throw_away.ts";

/** The machine the vectors are played on, unless they ask for another. */
const MACHINE = {
  memory: "128MiB",
  guestmemfs: "32MiB",
  kho_scratch: "8MiB",
  devices: [
    { id: "nic0", model: "nic", bdf: "3a:00.0" },
    { id: "nic1", model: "nic", bdf: "3b:00.0" },
  ],
};

export interface StageOptions {
  /** Kernel image of the first boot. */
  readonly image?: string | undefined;
  /** Replaces entries of the standard machine. */
  readonly machine?: Readonly<Record<string, unknown>> | undefined;
  /** Words appended to every kernel's command line. */
  readonly cmdline?: string | undefined;
}

/** Names a vector may arm: `alloc_page` for `fault:alloc_page`. */
const POINTS = Object.values(FAULT_POINTS).map((p) => p.slice("fault:".length));

/** One machine for one vector: its processes, its kernels one after the other. */
export class Stage {
  readonly platform: Platform;
  readonly #processes = new Map<string, Sys>();

  constructor(options: StageOptions = {}) {
    const file = {
      version: 1,
      name: "conformance",
      description: "the machine of a conformance vector",
      machine: { ...MACHINE, ...options.machine },
      steps: [{ do: "check" }],
    };
    // Every JSON text is a YAML text.
    const { scenario } = loadScenario(JSON.stringify(file), "conformance");
    const spec = platformSpec(scenario, 1, options.image ?? "rfc-v1");
    this.platform = throwAway(new Platform({ ...spec, cmdline: options.cmdline ?? "" }));
    this.#untilReady();
  }

  #untilReady(): void {
    const { platform } = this;
    for (let i = 0; i < 100 && !platform.kernel.ready; i++) platform.runFor(1e7);
    assert.ok(platform.kernel.ready, "the kernel does not come up");
  }

  /** System calls of a process; it is started when it is first named. */
  process(name: string): Sys {
    let sys = this.#processes.get(name);
    if (sys === undefined) this.#processes.set(name, sys = this.platform.shell());
    return sys;
  }

  /** The process exits: descriptors close, mappings go. */
  exit(name: string): void {
    assert.ok(this.#processes.has(name), `no process ${name}`);
    (this.process(name) as Syscalls).task.exit(0);
    this.#processes.delete(name);
  }

  /** Hands a descriptor to another process, as over a socket (SCM_RIGHTS); its number there. */
  pass(from: string, fd: number, to: string): number {
    const file = (this.process(from) as Syscalls).task.file(fd);
    assert.ok(file !== undefined, `${from} has no descriptor ${fd}`);
    return (this.process(to) as Syscalls).task.installFd(file.get());
  }

  /** reboot(LINUX_REBOOT_CMD_KEXEC), and what follows, up to the next kernel's first process. */
  reboot(as: string, command: number): number {
    const before = this.platform.kernel;
    const rc = this.process(as).reboot(command);
    if (rc < 0) return rc;
    for (let i = 0; i < 100 && this.platform.kernel === before; i++) this.platform.runFor(1e7);
    assert.notEqual(this.platform.kernel, before, "no jump");
    this.#processes.clear();
    this.#untilReady();
    return 0;
  }

  /** Loads a kernel and jumps into it. */
  kexec(as: string, image: string): { load: number; reboot?: number } {
    const load = this.process(as).kexecFileLoad(image, 0);
    if (load < 0) return { load };
    return { load, reboot: this.reboot(as, S.LINUX_REBOOT_CMD_KEXEC) };
  }

  /** Lets a fault point fire at its `nth` visit from now. */
  arm(point: string, nth: number): void {
    const known = POINTS.some((p) => p === point || (p.endsWith(":") && point.startsWith(p)));
    assert.ok(known, `no fault point ${point}; there are ${POINTS.join(", ")}`);
    this.platform.chooser.arm(`fault:${point}`, nth);
  }

  /** The running kernel's log. */
  get dmesg(): string[] {
    const { events, boots } = this.platform;
    return events.filter((e) => e.source === "kernel" && e.boot === boots).map((e) => e.text);
  }

  /** There is something at the path. */
  has(path: string): boolean {
    const cut = path.lastIndexOf("/");
    const names = this.platform.shell().readdir(path.slice(0, cut) || "/");
    return typeof names !== "number" && names.includes(path.slice(cut + 1));
  }
}
