/** Snapshots made by hand, and at random: the view has to draw them all. */

import { noCosts } from "../../src/platform/update_costs.ts";
import fc from "fast-check";
import { HEALTH_WORDS } from "../../src/health/words.ts";
import { BUCKETS } from "../../src/health/rings.ts";
import { type InvariantId, INVARIANTS } from "../../src/health/invariants.ts";
import { type Phase, PHASES, type UpdateRecord } from "../../src/platform/live_update.ts";
import type { DeviceLook } from "../../src/platform/look/device_look.ts";
import type { Scene } from "../../src/dashboard/model.ts";
import { MEMORY_KINDS, type MemoryMap } from "../../src/platform/look/memory_map.ts";
import type { DeviceView, VmView } from "../../src/platform/snapshot.ts";

const ms = 1e6;

/** The invariants of these snapshots: pictures stay as they are when there are new ones. */
const SHOWN: readonly InvariantId[] = [
  "no-dma-fault",
  "no-stray-dma",
  "quiet-unless-held",
  "tables-owned",
  "domain-in-hardware",
  "pins-balanced",
  "iotlb-fresh",
  "guest-intact",
];

export function device(id: string, more: Partial<DeviceView> = {}): DeviceView {
  return {
    id,
    bdf: "3a:00.0",
    model: "nic",
    present: true,
    mode: "iommu",
    vm: "vm0",
    persistent: true,
    owner: "vfio-pci",
    domain: "persist 1",
    did: 3,
    busMaster: true,
    health: "healthy",
    operations: 27000,
    bytes: 3_456_000,
    rate: 15000,
    history: new Array<number>(BUCKETS).fill(300),
    age: 20_000,
    longestGap: 200_000,
    longestGapEnd: 500 * ms,
    openGap: 20_000,
    faults: 0,
    faultReasons: [],
    blocked: 0,
    stray: 0,
    starved: 0,
    resets: 1,
    ...more,
  };
}

export function vm(id: string, more: Partial<VmView> = {}): VmView {
  return {
    id,
    status: "running",
    persistent: true,
    memory: 2 ** 25,
    pause: -1,
    lives: [{ from: 343 * ms, to: -1 }],
    received: 0,
    ioCompleted: 0,
    complaints: 0,
    ...more,
  };
}

/** An update to rfc-v1 that began at 700 ms, with the times at which its phases began. */
export function record(
  phase: Phase,
  began: UpdateRecord["began"],
  more: Partial<UpdateRecord> = {},
): UpdateRecord {
  return {
    image: "rfc-v1",
    startedAt: 700 * ms,
    phase,
    outcome: "running",
    began,
    endedAt: -1,
    reason: "",
    pauses: new Map(),
    costs: noCosts(),
    lostBefore: new Map(),
    fingerprint: "",
    kho: true,
    abortRequested: false,
    held: false,
    ...more,
  };
}

/** 16 pieces of 1 MiB: kernel, tables, two guests, scratch, and free memory. */
export function memoryOf(pieces = "ktkk1111222.ss..", letters = "kt1.s2"): MemoryMap {
  const kinds: Record<string, typeof MEMORY_KINDS[number]> = {
    "k": "kernel",
    "t": "tables",
    "1": "guest",
    "2": "guest",
    "s": "scratch",
    ".": "free",
    "!": "taken",
  };
  const all = [...pieces];
  const kindOf = (p: string) => MEMORY_KINDS.indexOf(kinds[p] ?? "hole");
  const frames = (kind: string) => 256 * all.filter((p) => kinds[p] === kind).length;
  return {
    pieces: Uint8Array.from(all, kindOf),
    owners: Uint8Array.from(all, (p) => p === "1" || p === "2" ? Number(p) : 0),
    guests: letters === "" ? [] : ["vm0", "vm1"],
    guestFrames: letters === ""
      ? []
      : ["1", "2"].map((n) => 256 * all.filter((p) => p === n).length),
    bytes: 2 ** 20,
    frames: Object.fromEntries(MEMORY_KINDS.map((kind) => [kind, frames(kind)])) as MemoryMap[
      "frames"
    ],
    stride: 1,
  };
}

export function snapshotOf(more: Partial<Scene> = {}): Scene {
  return {
    time: 700 * ms,
    image: "rfc-v1",
    version: "6.11.0-rfc1",
    boot: 1,
    reigns: [{ from: 0, ready: 260 * ms, left: -1 }],
    ready: true,
    panicked: "",
    rebooting: false,
    hasKho: true,
    khoActive: false,
    loaded: "",
    armed: [],
    update: more.updates?.at(-1),
    updates: [],
    devices: [device("nic0"), device("nic1", { persistent: false, vm: "vm1", did: 4 })],
    vms: [vm("vm0"), vm("vm1", { persistent: false })],
    iommufd: [
      { key: "p1", depth: 0, name: "iommufd persistent 1", detail: "of vm0", state: "open" },
      { key: "p1/1", depth: 1, name: "1 device 3a:00.0", detail: "on 3", state: "leaf" },
    ],
    files: [
      { key: "kho", depth: 0, name: "KHO", detail: "not active", state: "closed" },
      { key: "/sys", depth: 0, name: "/sys/", detail: "", state: "open", path: "/sys" },
      {
        key: "/sys/a",
        depth: 1,
        name: "active",
        detail: "",
        state: "leaf",
        path: "/sys/kernel/kho/active",
      },
    ],
    memory: memoryOf(),
    device: undefined,
    invariants: INVARIANTS.filter(({ id }) => SHOWN.includes(id)).map(({ id, title, premise }) => ({
      id,
      title,
      premise,
      verdict: "holds",
      violations: [],
    })),
    verdict: "holds",
    events: [
      {
        time: 0,
        source: "kernel",
        level: "info",
        text: "Linux version 6.11.0-rfc1 (rfc-v1)",
        boot: 1,
      },
      { time: 260 * ms, source: "program", level: "info", text: "vm0: hello", boot: 1 },
      { time: 700 * ms, source: "operator", level: "info", text: "live update: prepare", boot: 1 },
    ],
    hash: "0000000000000000",
    ...more,
  };
}

/** In the middle of boot 2: no kernel is ready, nic0 goes on, nic1 was not handed over. */
export function booting(): Scene {
  const pauses = new Map(
    ["vm0", "vm1"].map((id) => [id, { from: 702 * ms, to: -1 }] as const),
  );
  const update = record("boot", {
    prepare: 700 * ms,
    pause: 702 * ms,
    kexec: 704 * ms,
    boot: 760 * ms,
  }, { pauses });
  const history = [...new Array<number>(BUCKETS - 6).fill(300), 10, 0, 0, 0, 0, 0];
  const lost = { persistent: false, vm: "vm1", domain: "none", did: -1, owner: "none" };
  return snapshotOf({
    time: 840 * ms,
    boot: 2,
    reigns: [
      { from: 0, ready: 260 * ms, left: 704 * ms },
      { from: 760 * ms, ready: -1, left: -1 },
    ],
    ready: false,
    updates: [update],
    devices: [
      device("nic0", { domain: "none", did: -1, owner: "none" }),
      device("nic1", {
        ...lost,
        busMaster: false,
        health: "blocked",
        rate: 0,
        history,
        blocked: 400,
        openGap: 100 * ms,
        longestGap: 100 * ms,
      }),
    ],
    vms: [
      vm("vm0", { status: "exited", pause: 138 * ms }),
      vm("vm1", { status: "exited", pause: 138 * ms, persistent: false }),
    ],
    iommufd: [],
    files: [],
    memory: memoryOf("kkkk1111222.ss.."),
  });
}

/** One broken invariant, seen once. */
export function violated(id: InvariantId): Partial<Scene> {
  const violation = {
    invariant: id,
    time: 834 * ms,
    subject: "nic0",
    address: 0xdfd0,
    detail: "read to IOVA 0xdfd0: bus mastering is off",
    count: 1,
  };
  const invariants = snapshotOf().invariants.map((i) =>
    i.id === id ? { ...i, verdict: "violated" as const, violations: [violation] } : i
  );
  return { verdict: "violated", invariants };
}

const text = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.constantFrom("", "日本語", "a\x1b[31mb", "e\u0301", "👩‍👩‍👧", "\ud800", "x".repeat(300)),
);
const amount = fc.oneof(fc.nat(), fc.constantFrom(0, 1, 999, 1e6, 2 ** 53 - 1));
const time = fc.oneof(fc.nat(5e9), fc.constantFrom(0, 20 * ms, 1e15));

const anyDevice: fc.Arbitrary<DeviceView> = fc.record({
  id: text,
  bdf: text,
  model: text,
  present: fc.boolean(),
  mode: fc.constantFrom("iommu", "noiommu", "unbound"),
  vm: text,
  persistent: fc.boolean(),
  owner: fc.constantFrom("vfio-pci", "held", "none"),
  domain: text,
  did: fc.integer({ min: -1, max: 65535 }),
  busMaster: fc.boolean(),
  health: fc.constantFrom(...Object.keys(HEALTH_WORDS) as (keyof typeof HEALTH_WORDS)[]),
  operations: amount,
  bytes: amount,
  rate: amount,
  history: fc.array(fc.nat(1000), { maxLength: BUCKETS }),
  age: fc.oneof(time, fc.constant(-1)),
  longestGap: time,
  longestGapEnd: time,
  openGap: time,
  faults: amount,
  faultReasons: fc.array(fc.record({ reason: fc.nat(255), count: amount }), { maxLength: 3 }),
  blocked: amount,
  stray: amount,
  starved: amount,
  resets: amount,
});

const anyUpdate: fc.Arbitrary<UpdateRecord> = fc.record({
  image: text,
  startedAt: time,
  phase: fc.constantFrom(...PHASES),
  outcome: fc.constantFrom("running", "done", "aborted", "failed"),
  began: fc.record(
    Object.fromEntries(PHASES.map((p) => [p, time])) as Record<Phase, typeof time>,
    { requiredKeys: [] },
  ),
  endedAt: fc.oneof(time, fc.constant(-1)),
  reason: text,
  lostBefore: fc.constant(new Map<string, number>()),
  costs: fc.constant(noCosts()),
  pauses: fc.array(fc.tuple(
    fc.constantFrom("vm0", "vm1"),
    fc.record({ from: time, to: fc.oneof(time, fc.constant(-1)) }),
  )).map((pairs) => new Map(pairs)),
  fingerprint: text,
  kho: fc.boolean(),
  abortRequested: fc.boolean(),
  held: fc.boolean(),
});

const anyTree = fc.array(
  fc.record({
    depth: fc.nat(50),
    name: text,
    detail: text,
    state: fc.constantFrom("open", "closed", "leaf"),
  }),
  { maxLength: 12 },
).map((nodes) => nodes.map((node, i) => ({ ...node, key: String(i) })));

const anyMemory = fc.string({ unit: fc.constantFrom("k", "t", "1", "2", "s", ".", "!", "?") })
  .map((pieces) => pieces === "" ? undefined : memoryOf(pieces));

const anyLook: fc.Arbitrary<DeviceLook> = fc.record({
  id: text,
  config: fc.array(fc.record({ at: fc.nat(4095), name: text, value: text }), { maxLength: 5 }),
  dump: fc.array(text, { maxLength: 16 }),
  registers: fc.array(fc.tuple(text, text), { maxLength: 6 }),
  rings: fc.array(
    fc.record({
      name: text,
      base: amount,
      entries: amount,
      head: amount,
      tail: amount,
      rows: fc.array(text, { maxLength: 4 }),
    }),
    { maxLength: 3 },
  ),
  faults: fc.array(text, { maxLength: 6 }),
  pasids: fc.array(fc.nat(99), { maxLength: 2 }),
  strangers: fc.constant(new Map<number, "free" | "its own">()),
  translation: fc.record({
    iova: amount,
    write: fc.boolean(),
    pasid: fc.constant(-1),
    steps: fc.array(
      fc.record({
        level: text,
        table: amount,
        index: fc.nat(511),
        low: fc.nat(),
        high: fc.nat(),
        meaning: text,
      }),
      { maxLength: 6 },
    ),
    cached: text,
  }),
});

export const anySnapshot: fc.Arbitrary<Scene> = fc.record({
  time,
  image: text,
  version: text,
  boot: fc.integer({ min: 1, max: 99 }),
  ready: fc.boolean(),
  updates: fc.array(anyUpdate, { maxLength: 3 }),
  devices: fc.array(anyDevice, { maxLength: 9 }),
  vms: fc.array(fc.constantFrom("vm0", "vm1", "vm2"), { maxLength: 3 })
    .map((ids) => [...new Set(ids)].map((id) => vm(id, { pause: 5 * ms }))),
  iommufd: anyTree,
  files: anyTree,
  memory: anyMemory,
  device: fc.option(anyLook, { nil: undefined }),
  panicked: fc.constantFrom("", "", "oops"),
  rebooting: fc.boolean(),
  violated: fc.option(fc.constantFrom(...SHOWN)),
  events: fc.array(
    fc.record({
      time,
      source: fc.constantFrom("kernel", "program", "operator"),
      level: fc.constantFrom("info", "warn", "err"),
      text,
      boot: fc.integer({ min: 1, max: 9 }),
    }),
    { maxLength: 40 },
  ),
}).map(({ violated: id, ...rest }) =>
  snapshotOf({ ...rest, ...(id === null ? {} : violated(id)) })
);
