import type { Life, Reign } from "./chronicle.ts";
import type { InvariantState } from "../health/health.ts";
import type { Meter } from "../health/meter.ts";
import { BUCKETS } from "../health/rings.ts";
import { type HealthWord, healthWord } from "../health/words.ts";
import { PagingDomain } from "../kernel/iommu/domain.ts";
import type { PciDev } from "../kernel/pci/pci.ts";
import { AtsPort } from "../machine/pci/ats_port.ts";
import { formatBdf } from "../uapi/pci_regs.ts";
import type { UpdateRecord } from "./live_update.ts";
import type { EventLine, Platform } from "./platform.ts";
import { isUncovered, type VmSpec } from "./spec.ts";

/** One device, for people. Times in nanoseconds. */
export interface DeviceView {
  readonly id: string;
  readonly bdf: string;
  readonly model: string;
  /** It is in its slot. */
  readonly present: boolean;
  /** Behind an IOMMU in a driver's hands or in nobody's; "noiommu": without one, whoever has it. */
  readonly mode: "iommu" | "noiommu" | "unbound";
  readonly vm: string;
  readonly persistent: boolean;
  /** Who has it: a driver, "held", "none". */
  readonly owner: string;
  readonly domain: string;
  readonly did: number;
  readonly busMaster: boolean;
  readonly health: HealthWord;
  /** DMA operations and bytes so far; operations per second over the last 100 ms. */
  readonly operations: number;
  readonly bytes: number;
  readonly rate: number;
  /** Operations per 20 ms, oldest first, the last still filling. */
  readonly history: readonly number[];
  /** Since the last success; -1 before the first. */
  readonly age: number;
  readonly longestGap: number;
  readonly longestGapEnd: number;
  readonly openGap: number;
  readonly faults: number;
  readonly faultReasons: readonly { readonly reason: number; readonly count: number }[];
  readonly blocked: number;
  readonly stray: number;
  readonly starved: number;
  /** Of a device that can ask for pages that are not there. */
  readonly pages?: PagesView;
  readonly resets: number;
}

/** What a device has asked for. Times in nanoseconds. */
export interface PagesView {
  /** Groups of pages it asked for; those of them that were answered. */
  readonly requests: number;
  readonly answered: number;
  /** The longest it has waited for one, and how long it waits now: 0 while it does not. */
  readonly longestWait: number;
  readonly openWait: number;
}

export interface VmView {
  readonly id: string;
  readonly status: string;
  readonly persistent: boolean;
  readonly memory: number;
  /** Guest pause of the last update: so far, or in all; -1 when there was none. */
  readonly pause: number;
  /** When there was a VMM for it. */
  readonly lives: readonly Life[];
  readonly received: number;
  readonly ioCompleted: number;
  /** What the guest itself complains of: lost and damaged things. */
  readonly complaints: number;
}

export interface Snapshot {
  readonly time: number;
  readonly image: string;
  readonly version: string;
  readonly boot: number;
  /** All kernels so far, this one last. */
  readonly reigns: readonly Reign[];
  /** The kernel is up and runs programs. */
  readonly ready: boolean;
  /** What the kernel died of; "" while it has not. */
  readonly panicked: string;
  /** reboot(2) was called: the kernel is about to go. */
  readonly rebooting: boolean;
  /** The kernel has KHO; a dump stands; the image that is loaded to be booted next, "" for none. */
  readonly hasKho: boolean;
  readonly khoActive: boolean;
  readonly loaded: string;
  /** The live update that runs, or ran last. */
  readonly update: UpdateRecord | undefined;
  /** All live updates so far, oldest first. */
  readonly updates: readonly UpdateRecord[];
  readonly devices: readonly DeviceView[];
  readonly vms: readonly VmView[];
  readonly invariants: readonly InvariantState[];
  /** "violated" as soon as one invariant is. */
  readonly verdict: "holds" | "violated";
  readonly events: readonly EventLine[];
  /** Fault points that are armed: name, and at which visit from now it fires. */
  readonly armed: readonly { readonly point: string; readonly nth: number }[];
  readonly hash: string;
}

/** What the platform looks like now: plain values, nothing that reaches back into it. */
export function snapshot(platform: Platform): Snapshot {
  const { kernel, health } = platform;
  const invariants = health.states();
  const vmOf = new Map(platform.spec.vms.flatMap((vm) => vm.devices.map((id) => [id, vm])));
  const known = new Map(kernel.pci.devices.map((dev) => [dev.sid, dev]));
  return {
    time: platform.now,
    image: kernel.image.name,
    version: kernel.image.version,
    boot: platform.boots,
    reigns: platform.chronicle.reigns,
    ready: kernel.ready,
    panicked: kernel.panicked ?? "",
    rebooting: kernel.rebooting,
    hasKho: kernel.image.kho && kernel.kho.enabled,
    khoActive: kernel.kho.active,
    loaded: kernel.kexec.loaded?.image.name ?? "",
    update: platform.update,
    updates: platform.updates,
    devices: platform.machine.functions.map(({ port }, fn) => {
      const { id } = platform.spec.machine.devices[fn];
      return deviceView(platform, fn, vmOf.get(id), known.get(port.sid));
    }),
    vms: platform.spec.vms.map((vm) => vmView(platform, vm.id)),
    invariants,
    verdict: invariants.some((i) => i.verdict === "violated") ? "violated" : "holds",
    events: platform.events,
    armed: platform.chooser.armed.map(([point, nth]) => ({
      point: point.replace(/^fault:/, ""),
      nth,
    })),
    hash: platform.machine.hash.digest(),
  };
}

/** The history of a device that never did anything: most of a large machine's, and all the same. */
const QUIET: readonly number[] = Object.freeze(new Array<number>(BUCKETS).fill(0));

/** `vm`: whose it is; `dev`: as the kernel knows it. */
function deviceView(
  platform: Platform,
  fn: number,
  vm: VmSpec | undefined,
  dev: PciDev | undefined,
): DeviceView {
  const { health, machine, now } = platform;
  const device = machine.functions[fn];
  const spec = platform.spec.machine.devices[fn];
  const meter = health.meters.get(fn);
  const domain = dev?.group?.domain;
  const busMaster = device.port.busMaster;
  const idle = meter.lastTried < 0;
  const asking = device.port instanceof AtsPort ? device.port : undefined;
  return {
    id: spec.id,
    bdf: formatBdf(device.bus, device.devfn),
    model: spec.model,
    present: machine.isPlugged(fn),
    mode: isUncovered(platform.spec, spec)
      ? "noiommu"
      : dev?.driver === undefined
      ? "unbound"
      : "iommu",
    vm: vm?.id ?? "",
    persistent: vm?.persistent ?? false,
    owner: dev?.group?.held ? "held" : dev?.driver ?? "none",
    domain: domain === undefined
      ? "none"
      : domain.persistentId > 0
      ? `persist ${domain.persistentId}`
      : domain.type === "paging" && domain === dev?.group?.defaultDomain
      ? "default"
      : domain.type,
    did: domain instanceof PagingDomain ? domain.did : -1,
    busMaster,
    health: healthWord(meter, now, !busMaster || domain?.type === "blocking"),
    operations: meter.reads + meter.writes,
    bytes: meter.bytes,
    rate: idle ? 0 : meter.rate(now),
    history: idle ? QUIET : meter.recent(now, BUCKETS),
    age: meter.lastDone < 0 ? -1 : now - meter.lastDone,
    longestGap: Math.max(meter.longestGap, meter.openGap(now)),
    longestGapEnd: meter.longestGapEnd,
    openGap: meter.openGap(now),
    faults: meter.faultCount,
    faultReasons: [...meter.faults].map(([reason, count]) => ({ reason, count })),
    blocked: meter.blocked,
    stray: meter.stray,
    starved: meter.starved,
    ...(asking && { pages: pagesView(asking, meter, now) }),
    resets: device.resets,
  };
}

function pagesView({ open }: AtsPort, meter: Meter, now: number): PagesView {
  const openWait = open.length > 0 ? now - open[0].since : 0;
  return {
    requests: meter.pageRequests,
    answered: meter.pagesAnswered,
    longestWait: Math.max(meter.longestWait, openWait),
    openWait,
  };
}

function vmView(platform: Platform, id: string): VmView {
  const spec = platform.vm(id);
  const pause = platform.update?.pauses.get(id);
  const report = platform.guests.get(id)?.report();
  const to = pause === undefined || pause.to < 0 ? platform.now : pause.to;
  return {
    id,
    status: platform.wanted.has(id) ? platform.statusOf(id) || "busy" : "off",
    persistent: spec?.persistent ?? false,
    memory: spec?.memory ?? 0,
    pause: pause === undefined ? -1 : to - pause.from,
    lives: platform.chronicle.livesOf(id),
    received: report?.received ?? 0,
    ioCompleted: report?.ioCompleted ?? 0,
    complaints: report === undefined
      ? 0
      : report.missing - report.missed + report.corrupt + report.canaryDamaged + report.ioErrors +
        report.ioCorrupt + report.ioLost + (report.crashed ? 1 : 0),
  };
}
