import { hex } from "../../base/units.ts";
import * as R from "../../uapi/pci_regs.ts";

/** A piece of configuration space with a name. */
export interface ConfigField {
  readonly at: number;
  readonly name: string;
  /** What is in it, explained where that helps. */
  readonly value: string;
}

type Read = (at: number, size: 1 | 2 | 4) => number;

const CAPABILITIES: Readonly<Record<number, string>> = {
  [R.PCI_CAP_ID_MSI]: "MSI",
  [R.PCI_CAP_ID_EXP]: "PCI Express",
  [R.PCI_CAP_ID_MSIX]: "MSI-X",
};
const EXTENDED: Readonly<Record<number, string>> = {
  [R.PCI_EXT_CAP_ID_ATS]: "ATS",
  [R.PCI_EXT_CAP_ID_PRI]: "page requests",
  [R.PCI_EXT_CAP_ID_PASID]: "PASID",
};

/** Where each says that it is on. */
const ENABLES: Readonly<Record<number, { at: number; bit: number }>> = {
  [R.PCI_EXT_CAP_ID_ATS]: { at: R.PCI_ATS_CTRL, bit: R.PCI_ATS_CTRL_ENABLE },
  [R.PCI_EXT_CAP_ID_PRI]: { at: R.PCI_PRI_CTRL, bit: R.PCI_PRI_CTRL_ENABLE },
  [R.PCI_EXT_CAP_ID_PASID]: { at: R.PCI_PASID_CTRL, bit: R.PCI_PASID_CTRL_ENABLE },
};

const hexOf = (value: number, digits: number) =>
  "0x" + (value >>> 0).toString(16).padStart(digits, "0");

/** The header and the capabilities of a function, as `lspci -v` would tell them. */
export function configFields(read: Read): ConfigField[] {
  const fields: ConfigField[] = [
    field(R.PCI_VENDOR_ID, "vendor", hexOf(read(R.PCI_VENDOR_ID, 2), 4)),
    field(R.PCI_DEVICE_ID, "device", hexOf(read(R.PCI_DEVICE_ID, 2), 4)),
    field(R.PCI_COMMAND, "command", command(read(R.PCI_COMMAND, 2))),
    field(R.PCI_STATUS, "status", hexOf(read(R.PCI_STATUS, 2), 4)),
    field(R.PCI_CLASS_REVISION, "class", hexOf(read(R.PCI_CLASS_REVISION, 4) >>> 8, 6)),
    field(R.PCI_BASE_ADDRESS_0, "BAR 0", bar(read)),
    field(R.PCI_INTERRUPT_PIN, "INTx pin", String(read(R.PCI_INTERRUPT_PIN, 1))),
  ];
  if (read(R.PCI_VENDOR_ID, 2) === 0xffff) return [field(0, "vendor", "0xffff: nobody answers")];
  return [...fields, ...capabilities(read), ...extended(read)];
}

function field(at: number, name: string, value: string): ConfigField {
  return { at, name, value };
}

function command(value: number): string {
  const bits: [number, string][] = [
    [R.PCI_COMMAND_MEMORY, "memory"],
    [R.PCI_COMMAND_MASTER, "bus master"],
    [R.PCI_COMMAND_INTX_DISABLE, "INTx off"],
  ];
  const on = bits.filter(([bit]) => (value & bit) !== 0).map(([, name]) => name);
  return `${hexOf(value, 4)}${on.length > 0 ? ` ${on.join(", ")}` : ""}`;
}

function bar(read: Read): string {
  const low = (read(R.PCI_BASE_ADDRESS_0, 4) & ~0xf) >>> 0;
  return hex(low + read(R.PCI_BASE_ADDRESS_0 + 4, 4) * 4294967296);
}

function capabilities(read: Read): ConfigField[] {
  if ((read(R.PCI_STATUS, 2) & R.PCI_STATUS_CAP_LIST) === 0) return [];
  const found: ConfigField[] = [];
  let at = read(R.PCI_CAPABILITY_LIST, 1) & ~3;
  for (let i = 0; i < 48 && at >= 0x40; i++) {
    const id = read(at, 1);
    const detail = id === R.PCI_CAP_ID_MSI
      ? read(at + R.PCI_MSI_FLAGS, 2) & R.PCI_MSI_FLAGS_ENABLE ? "on" : "off"
      : id === R.PCI_CAP_ID_EXP
      ? read(at + R.PCI_EXP_DEVCAP, 4) & R.PCI_EXP_DEVCAP_FLR ? "can be reset (FLR)" : "no FLR"
      : "";
    found.push(field(at, `capability ${CAPABILITIES[id] ?? hexOf(id, 2)}`, detail));
    at = read(at + 1, 1) & ~3;
  }
  return found;
}

function extended(read: Read): ConfigField[] {
  const found: ConfigField[] = [];
  let at = R.PCI_CFG_SPACE_SIZE;
  for (let i = 0; i < 480 && at >= R.PCI_CFG_SPACE_SIZE; i++) {
    const header = read(at, 4);
    if (header === 0 || header >>> 0 === 0xffffffff) break;
    const id = header & 0xffff;
    const enable = ENABLES[id];
    const on = enable && (read(at + enable.at, 2) & enable.bit) !== 0;
    const state = enable === undefined ? "" : on ? "on" : "off";
    found.push(field(at, `extended ${EXTENDED[id] ?? hexOf(id, 4)}`, state));
    at = header >>> 20;
  }
  return found;
}

/** The first `length` bytes in hexadecimal, 16 a line. */
export function configDump(read: Read, length = R.PCI_CFG_SPACE_SIZE): string[] {
  return Array.from({ length: length / 16 }, (_, row) => {
    const bytes = Array.from({ length: 16 }, (_, i) => read(row * 16 + i, 1));
    const text = bytes.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    return `${(row * 16).toString(16).padStart(2, "0")}: ${text}`;
  });
}
