import { hex, PAGE_SIZE } from "../../base/units.ts";
import { FrameUse } from "../../kernel/mm/frames.ts";
import type { DmaIncident } from "../../health/meter.ts";
import { Nic } from "../../machine/devices/nic.ts";
import { Nvme } from "../../machine/devices/nvme.ts";
import type { Machine } from "../../machine/machine.ts";
import { iommuFaultText } from "../../uapi/iommu_faults.ts";
import * as N from "../../uapi/nic_regs.ts";
import {
  NVME_REG_ACQ,
  NVME_REG_AQA,
  NVME_REG_ASQ,
  NVME_REG_CC,
  NVME_REG_CSTS,
} from "../../uapi/nvme_regs.ts";
import { DMA_FRCD_F_WORD3, DMA_FRCD_T_WORD3 } from "../../uapi/vtd_regs.ts";
import type { Platform } from "../platform.ts";
import { configDump, type ConfigField, configFields } from "./config_space.ts";
import { type Translation, translationOf } from "./translation.ts";

/** A ring of descriptors or commands that a device works on. */
export interface RingLook {
  readonly name: string;
  /** DMA address of its first entry. */
  readonly base: number;
  readonly entries: number;
  readonly head: number;
  readonly tail: number;
  /** Entries from the head on, as they lie in memory; empty where the address leads nowhere. */
  readonly rows: readonly string[];
}

/** Everything about one device that the list of devices has no room for. */
export interface DeviceLook {
  readonly id: string;
  readonly config: readonly ConfigField[];
  /** The first 256 bytes of configuration space in hexadecimal. */
  readonly dump: readonly string[];
  readonly registers: readonly (readonly [name: string, value: string])[];
  readonly rings: readonly RingLook[];
  /** Fault records and incidents, a line each. */
  readonly faults: readonly string[];
  /** PASIDs it uses. */
  readonly pasids: readonly number[];
  readonly translation: Translation;
  /** Tables on that way that this kernel takes for free memory, or has something else in. */
  readonly strangers: ReadonlyMap<number, "free" | "its own">;
}

/** Entries of a ring that are shown. */
const ROWS = 6;

/** `iova`: the address whose translation is wanted; undefined: one that the device uses. */
export function deviceLook(
  platform: Platform,
  id: string,
  iova: number | undefined,
  write = true,
): DeviceLook | undefined {
  const { machine, health, kernel, spec } = platform;
  const fn = spec.machine.devices.findIndex((d) => d.id === id);
  const device = machine.functions[fn];
  if (device === undefined) return undefined;
  const { sid } = device.port;
  const read = (at: number, size: 1 | 2 | 4) => machine.pci.configRead(sid, at, size);
  const rings = ringsOf(machine, device, sid);
  const meter = health.meters.get(fn);
  const fallback = meter.firstFault?.iova ?? rings[0]?.base ?? 0;
  const group = kernel.pci.devices.find((d) => d.sid === sid)?.group;
  const translation = translationOf(machine, sid, iova ?? fallback, write);
  return {
    id,
    config: configFields(read),
    dump: configDump(read),
    registers: registersOf(device),
    rings,
    faults: faultLines(machine, sid, meter.firstFault, meter.firstStray),
    pasids: [...group?.pasids.keys() ?? []],
    translation,
    strangers: strangersIn(translation, platform),
  };
}

/** What hardware reads as a table, and the kernel does not know for one. */
function strangersIn(
  { steps }: Translation,
  { kernel }: Platform,
): Map<number, "free" | "its own"> {
  const strangers = new Map<number, "free" | "its own">();
  for (const { level, table } of steps) {
    if (level === "unit") continue;
    const use = kernel.pages.useOf(Math.floor(table / PAGE_SIZE));
    if (use === FrameUse.free) strangers.set(table, "free");
    if (use === FrameUse.kernel) strangers.set(table, "its own");
  }
  return strangers;
}

function registersOf(device: Nic | Nvme | unknown): (readonly [string, string])[] {
  const all = (read: (at: number) => number, names: Readonly<Record<string, number>>) =>
    Object.entries(names).map(([name, at]) => [name, hex(read(at) >>> 0)] as const);
  if (device instanceof Nic) {
    // None of these is changed by being read; the counters would be.
    const { E1000_RCTL, E1000_RDBAL, E1000_RDBAH, E1000_RDLEN, E1000_RDH, E1000_RDT } = N;
    const names = {
      RCTL: E1000_RCTL,
      RDBAL: E1000_RDBAL,
      RDBAH: E1000_RDBAH,
      RDLEN: E1000_RDLEN,
      RDH: E1000_RDH,
      RDT: E1000_RDT,
      RXPASID: N.NIC_RXPASID,
    };
    return [
      ...all((at) => device.read32(at), names),
      ["arrived", String(device.arrived)],
      ["delivered", String(device.delivered)],
      ["no room", String(device.starved)],
      ["failed DMA", String(device.dmaErrors)],
    ];
  }
  if (!(device instanceof Nvme)) return [];
  const names = { CC: NVME_REG_CC, CSTS: NVME_REG_CSTS, AQA: NVME_REG_AQA };
  return [
    ...all((at) => device.read32(at), { ...names, ASQ: NVME_REG_ASQ, ACQ: NVME_REG_ACQ }),
    ["fetched", String(device.fetched)],
    ["completed", String(device.completed)],
    ["in service", String(device.outstanding)],
    ["failed DMA", String(device.dmaErrors)],
  ];
}

function ringsOf(machine: Machine, device: unknown, sid: number): RingLook[] {
  if (device instanceof Nic) {
    const entries = (device.read32(N.E1000_RDLEN) >>> 0) / N.RX_DESC_BYTES;
    if (entries === 0) return [];
    const base = (device.read32(N.E1000_RDBAH) >>> 0) * 4294967296 +
      (device.read32(N.E1000_RDBAL) >>> 0);
    const head = device.read32(N.E1000_RDH), tail = device.read32(N.E1000_RDT);
    const words = device.read32(N.NIC_RXPASID);
    const pasid = words & N.NIC_RXPASID_VALID ? words & N.NIC_RXPASID_MASK : -1;
    const ring = { name: "receive", base, entries, head, tail, entryBytes: N.RX_DESC_BYTES };
    return [{ ...ring, rows: rows(machine, sid, ring, pasid) }];
  }
  if (!(device instanceof Nvme)) return [];
  return device.rings.map((ring) => ({ ...ring, rows: rows(machine, sid, ring, -1) }));
}

/** Entries from the head on, read through the tables as they are now. */
function rows(
  machine: Machine,
  sid: number,
  ring: { base: number; entries: number; head: number; entryBytes: number },
  pasid: number,
): string[] {
  const out: string[] = [];
  for (let i = 0; i < Math.min(ROWS, ring.entries); i++) {
    const index = (ring.head + i) % ring.entries;
    const at = ring.base + index * ring.entryBytes;
    const { steps } = translationOf(machine, sid, at, false, pasid);
    const pfn = steps[steps.length - 1]?.pfn;
    if (pfn === undefined) {
      out.push(`${index}: ${hex(at)} leads nowhere`);
      continue;
    }
    const words = Array.from(
      { length: 4 },
      (_, w) => (machine.memory.load(pfn, (at % PAGE_SIZE) / 4 + w) >>> 0).toString(16),
    );
    out.push(`${index}: ${words.map((w) => w.padStart(8, "0")).join(" ")}`);
  }
  return out;
}

function faultLines(
  machine: Machine,
  sid: number,
  fault: DmaIncident | undefined,
  stray: DmaIncident | undefined,
): string[] {
  const lines: string[] = [];
  const what = ({ write, iova, time }: DmaIncident) =>
    `${write ? "write" : "read"} to ${hex(iova)} at ${(time / 1e9).toFixed(6)} s`;
  if (fault !== undefined) {
    const reason = fault.code > -1000 ? ` ${iommuFaultText(-fault.code)}` : "";
    lines.push(`first refused: ${what(fault)}${reason}`);
  }
  if (stray !== undefined) {
    lines.push(`first stray: ${what(stray)}, reached ${hex(stray.pfn * PAGE_SIZE)}`);
  }
  const [unit] = machine.units;
  if (unit === undefined) return lines;
  const { faults } = unit;
  lines.push(`${unit.name}: ${faults.recorded} recorded, ${faults.lost} lost by overflow`);
  for (let at = 0; at < faults.words; at += 4) {
    const [lo, hi, source, last] = [0, 1, 2, 3].map((w) => faults.readWord(at + w) >>> 0);
    // A register that was never used is all zeros; F is cleared once the kernel has read it.
    if ((last & 0xff) === 0 || (source & 0xffff) !== sid) continue;
    const state = (last & DMA_FRCD_F_WORD3) !== 0 ? "waits" : "taken";
    const kind = (last & DMA_FRCD_T_WORD3) !== 0 ? "read" : "write";
    const words = [last, source, hi, lo].map((w) => w.toString(16).padStart(8, "0")).join(" ");
    lines.push(
      `record ${at / 4} ${state}: ${kind} ${hex(hi * 4294967296 + lo)}, ` +
        iommuFaultText(last & 0xff),
    );
    lines.push(`  ${words}`);
  }
  return lines;
}
