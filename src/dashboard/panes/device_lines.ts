import { formatTime, hex } from "../../base/units.ts";
import { HEALTH_WORDS } from "../../health/words.ts";
import type { DeviceView, PagesView, Snapshot } from "../../platform/snapshot.ts";
import type { Line, Role } from "../../tui/mod.ts";
import { iommuFaultText } from "../../uapi/iommu_faults.ts";
import { HEALTH_ROLE } from "../words.ts";

type Row = readonly [name: string, value: string, style?: Role];

const NAME = 16;

/** What is known of a device, a line each. */
export function detailLines(d: DeviceView, s: Snapshot): Line[] {
  return rows(d, s).map(([name, value, style = "text"]): Line => [
    { text: ` ${name.padEnd(NAME)}`, style: "dim" },
    { text: value, style },
  ]);
}

const MODES: Readonly<Record<DeviceView["mode"], string>> = {
  iommu: "behind an IOMMU",
  noiommu: "WITHOUT an IOMMU: it reaches all of memory, nothing isolates it",
  unbound: "no driver has it",
};

function rows(d: DeviceView, s: Snapshot): Row[] {
  const alarm = (n: number, role: Role): Role => n > 0 ? role : "text";
  const time = (ns: number) => ns > 0 ? formatTime(ns) : "none";
  const gapEnd = d.longestGap <= 0 || d.longestGapEnd <= 0
    ? ""
    : `, ended ${formatTime(s.time - d.longestGapEnd)} ago`;
  return [
    ["health", `${d.health}: ${HEALTH_WORDS[d.health]}`, HEALTH_ROLE[d.health]],
    ["model", `${d.model} at ${d.bdf}${d.present ? "" : ", OUT OF ITS SLOT"}`],
    ["VM", `${d.vm || "none"}${d.persistent ? ", its DMA is kept through a kexec" : ""}`],
    ["driver", d.owner],
    ["mode", MODES[d.mode], d.mode === "noiommu" ? "warn" : "text"],
    ["domain", `${d.domain}${d.did < 0 ? "" : `, domain id ${d.did} (${hex(d.did)})`}`],
    ["bus mastering", d.busMaster ? "on" : "OFF", d.busMaster ? "text" : "warn"],
    ["DMA", `${d.operations} operations, ${d.bytes} bytes`],
    ["rate", `${Math.round(d.rate)} a second over the last 100 ms`],
    ["last success", d.age < 0 ? "never" : `${formatTime(d.age)} ago`],
    ["open gap", time(d.openGap)],
    ["longest gap", time(d.longestGap) + gapEnd],
    ["faults", String(d.faults), alarm(d.faults, "bad")],
    ...d.faultReasons.map(({ reason, count }): Row => [
      "",
      `${count} x 0x${reason.toString(16).padStart(2, "0")} ${iommuFaultText(reason)}`,
      "bad",
    ]),
    ["stray", `${d.stray} outside of the guest's memory`, alarm(d.stray, "bad")],
    ["blocked", `${d.blocked} with bus mastering off`, alarm(d.blocked, "warn")],
    ["starved", `${d.starved} dropped at a full ring`],
    ...(d.pages === undefined ? [] : [pagesRow(d.pages)]),
    ["resets", String(d.resets)],
  ];
}

/** Of a device that asks for pages that are not there. */
function pagesRow({ requests, longestWait, openWait }: PagesView): Row {
  const asked = `asked for ${requests} times, longest wait ${formatTime(longestWait)}`;
  if (openWait === 0) return ["pages", asked];
  return ["pages", `${asked}, has waited ${formatTime(openWait)} for one now`, "warn"];
}
