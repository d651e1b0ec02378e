import assert from "node:assert/strict";
import { detailLines } from "../../src/dashboard/panes/device_lines.ts";
import type { PagesView } from "../../src/platform/snapshot.ts";
import { device, snapshotOf } from "./snapshots.ts";

/** The overview of one device, as text. */
function textOf(pages?: PagesView): string[] {
  const lines = detailLines(device("nic0", pages && { pages }), snapshotOf());
  return lines.map((line) => [line].flat().map((part) => text(part)).join("").trim());
}

function text(part: unknown): string {
  return typeof part === "string" ? part : (part as { text: string }).text;
}

Deno.test("of a device that asks for pages it is told how often, and how long it has waited", () => {
  assert.ok(textOf().every((line) => !line.startsWith("pages")));
  const asked = { requests: 8, answered: 8, longestWait: 169_500_000, openWait: 0 };
  assert.ok(textOf(asked).includes("pages           asked for 8 times, longest wait 169.5 ms"));
  const waits = { requests: 3, answered: 2, longestWait: 997_500_000, openWait: 997_500_000 };
  assert.ok(textOf(waits).some((line) => line.endsWith("has waited 997.5 ms for one now")));
});
