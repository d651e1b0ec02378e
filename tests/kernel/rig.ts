import { SeededChooser } from "../../src/base/choice.ts";
import { MiB } from "../../src/base/units.ts";
import type { LogLine } from "../../src/kernel/dmesg.ts";
import { findImage, type KernelImage } from "../../src/kernel/image.ts";
import type { DmarDomain } from "../../src/kernel/iommu/intel/domain.ts";
import { Kernel } from "../../src/kernel/kernel.ts";
import type { PciDev } from "../../src/kernel/pci/pci.ts";
import type { Syscalls } from "../../src/kernel/syscalls.ts";
import type { DmaObserver } from "../../src/machine/dma_port.ts";
import { type DeviceSpec, Machine } from "../../src/machine/machine.ts";
import { findProfile, type Profile } from "../../src/machine/profile.ts";
import type { AmdviCapability } from "../../src/machine/amdvi/capability.ts";
import type { SmmuCapability } from "../../src/machine/smmuv3/capability.ts";
import type { VtdCapability } from "../../src/machine/vtd/capability.ts";
import type { VtdUnit } from "../../src/machine/vtd/unit.ts";
import { LINUX_REBOOT_CMD_KEXEC, O_RDONLY, O_WRONLY } from "../../src/uapi/sys.ts";
import { throwAway } from "../throw_away.ts";

export const NIC = "0000:3a:00.0", NVME = "0000:3b:00.0";
export const NIC_SID = 0x3a00, NVME_SID = 0x3b00;

/** Seeded choice with one more way to make a fault point fire: a condition. */
export class FaultChooser extends SeededChooser {
  failWhen: (point: string) => boolean = () => false;

  override pick(point: string, bound: number): number {
    if (point.startsWith("fault:") && this.failWhen(point)) return Math.min(1, bound);
    return super.pick(point, bound);
  }
}

export interface RigOptions {
  image?: string;
  /** Bytes of RAM. */
  memory?: number;
  /** The kernel command line; {@link DEFAULT_CMDLINE} unless said. */
  cmdline?: string;
  /** Name of the machine's profile; `intel-legacy` unless said. */
  profile?: string;
  /** Of the unit that the profile has. */
  vtd?: Partial<VtdCapability>;
  smmu?: Partial<SmmuCapability>;
  amdvi?: Partial<AmdviCapability>;
  devices?: readonly DeviceSpec[];
  seed?: number;
  /** Sees the kernel before its first instruction. */
  beforeBoot?(rig: KernelRig): void;
}

const DEVICES: readonly DeviceSpec[] = [
  { id: "nic0", bdf: "3a:00.0", model: "nic", interval: 200_000, packetBytes: 256 },
  { id: "nvme0", bdf: "3b:00.0", model: "nvme", latency: 1_000_000 },
];

const DEFAULT_CMDLINE = "guestmemfs=16M kho_scratch=4M iommufd.allow_unsafe_interrupts=1";

/** What devices did, by the DMA port. */
export class DmaLog implements DmaObserver {
  readonly done = () => {};
  readonly failed = () => {};
  readonly work = () => {};
  readonly starved = () => {};
}

/** A bare kernel on a small machine, with a console that remembers, and kexec at hand. */
export class KernelRig {
  readonly chooser: FaultChooser;
  readonly machine: Machine;
  readonly lines: LogLine[] = [];
  readonly printed: string[] = [];
  kernel: Kernel;
  boots = 0;
  /** Of the next boot. */
  cmdline: string;
  #jumpTo: KernelImage | undefined;

  constructor(options: RigOptions = {}) {
    const base = findProfile(options.profile ?? "intel-legacy") as Profile;
    const profile: Profile = {
      ...base,
      ...(base.vtd && { vtd: { ...base.vtd, ...options.vtd } }),
      ...(base.smmu && { smmu: { ...base.smmu, ...options.smmu } }),
      ...(base.amdvi && { amdvi: { ...base.amdvi, ...options.amdvi } }),
    };
    const devices = options.devices ?? DEVICES;
    const seed = options.seed ?? 1;
    this.chooser = new FaultChooser(seed);
    const spec = { profile, memory: options.memory ?? 64 * MiB, devices };
    const guests = { mapped: () => {} };
    this.machine = throwAway(new Machine(spec, this.chooser, new DmaLog(), guests, seed));
    this.cmdline = options.cmdline ?? DEFAULT_CMDLINE;
    options.beforeBoot?.(this);
    this.kernel = this.#boot(findImage(options.image ?? "rfc-v1") as KernelImage);
  }

  #boot(image: KernelImage): Kernel {
    const kernel = new Kernel(this.machine, image, this.cmdline, ++this.boots, {
      log: (line) => this.lines.push(line),
      program: (text) => this.printed.push(text),
      rebooting: () => {},
      atJump: () => {},
      jump: (next) => this.#jumpTo = next,
    });
    this.kernel = kernel;
    for (const ns of kernel.boot()) this.run(ns);
    return kernel;
  }

  /** The VT-d unit, as hardware. */
  get unit(): VtdUnit {
    return this.machine.units[0];
  }

  /** A shell on the running kernel. */
  get sys(): Syscalls {
    return this.kernel.shell();
  }

  run(ns: number): void {
    this.machine.queue.runUntil(this.machine.queue.now + ns);
  }

  /** What this boot's kernel log says. */
  get log(): string[] {
    return this.lines.filter((l) => l.boot === this.boots).map((l) => l.text);
  }

  /** `echo -n text > path`: 0 or more, or a negative errno. */
  echo(path: string, text: string): number {
    const sys = this.sys;
    const fd = sys.open(path, O_WRONLY);
    return fd < 0 ? fd : sys.write(fd, new TextEncoder().encode(text));
  }

  /** `cat path`: the text, or a negative errno. */
  cat(path: string): string | number {
    const sys = this.sys;
    const fd = sys.open(path, O_RDONLY);
    if (fd < 0) return fd;
    const bytes = sys.read(fd, 1 << 20);
    return typeof bytes === "number" ? bytes : new TextDecoder().decode(bytes);
  }

  /** echo 1 > /sys/kernel/kho/active */
  activate(): number {
    return this.echo("/sys/kernel/kho/active", "1");
  }

  deactivate(): number {
    return this.echo("/sys/kernel/kho/active", "0");
  }

  load(image = "rfc-v1"): number {
    return this.sys.kexecFileLoad(image, 0);
  }

  /**
   * Jumps into the loaded image. `atJump`: before the next kernel's first instruction; `rebooting`:
   * when reboot(2) was called and devices are not shut down yet.
   */
  jump(atJump: () => void = () => {}, rebooting: () => void = () => {}): Kernel {
    const rc = this.sys.reboot(LINUX_REBOOT_CMD_KEXEC);
    if (rc < 0) throw new Error(`reboot: ${rc}`);
    rebooting();
    this.#jumpTo = undefined;
    while (this.#jumpTo === undefined && this.machine.queue.step());
    if (this.#jumpTo === undefined) throw new Error("the kernel never jumped");
    atJump();
    return this.#boot(this.#jumpTo);
  }

  /** KHO on, load, jump: the whole of a live update as the kernel sees it. */
  liveUpdate(image = "rfc-v1", atJump?: () => void): Kernel {
    for (const rc of [this.activate(), this.load(image)]) {
      if (rc < 0) throw new Error(`live update: ${rc}`);
    }
    return this.jump(atJump);
  }

  dev(name = NIC): PciDev {
    const dev = this.kernel.pci.find(name);
    if (dev === undefined) throw new Error(`no device ${name}`);
    return dev;
  }

  /** Frame of a bus's context table (legacy mode), out of the root table. */
  contextTableOf(bus: number): number {
    const { memory } = this.machine;
    return memory.load(this.unit.rootPfn, bus * 4) >>> 12;
  }

  /** A paging domain for a device of this machine. */
  domain(persistentId = 0, name = NIC): DmarDomain {
    const domain = this.kernel.intel?.allocPaging(this.dev(name), { persistentId });
    if (domain === undefined || typeof domain === "number") throw new Error(`no domain: ${domain}`);
    return domain as DmarDomain;
  }

  /** A device under a persistent domain that maps pages 16… to frames of guest memory. */
  persistentDevice(name = NIC, id = 1): { domain: DmarDomain; owner: symbol; first: number } {
    const owner = Symbol(`owner of ${name}`);
    const group = this.dev(name).group;
    if (group === undefined || group.claim(owner, () => false) !== 0) throw new Error("no claim");
    const domain = this.domain(id, name);
    domain.persistentOwner = 1;
    const first = (this.kernel.guestmemfs?.base ?? 0) / 4096;
    domain.map(16, first, 8, 3);
    if (group.attach(domain) !== 0) throw new Error("no attach");
    return { domain, owner, first };
  }

  /** What hardware, of any kind, makes of a device's access: a frame, or the negative fault reason. */
  translate(sid: number, page: number, write = false): number {
    const { units, smmus, amdvis } = this.machine;
    const unit = [...units, ...smmus, ...amdvis][0];
    return unit.translate(sid, Math.floor(page / 1048576), (page % 1048576) << 12, write);
  }
}
