import assert from "node:assert/strict";
import { ms, PAGE_SIZE } from "../../../src/base/units.ts";
import { readUnits } from "../../../src/health/readers.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import {
  MEMORY_KINDS,
  type MemoryKind,
  type MemoryMap,
  memoryMap,
} from "../../../src/platform/look/memory_map.ts";
import { Platform } from "../../../src/platform/platform.ts";
import { DEMO, demoSession } from "../../dashboard/platforms.ts";

/** The same, frame by frame. */
function frameByFrame(platform: Platform, pieces: number): MemoryMap {
  const { machine: { memory }, kernel, health: { ledger } } = platform;
  const guests = platform.spec.vms.map((vm) => vm.id), guestFrames = guests.map(() => 0);
  const tables = new Set(readUnits(platform.machine).flatMap((unit) => unit.live.tables));
  const of: Record<number, MemoryKind> = {
    [FrameUse.none]: "unknown",
    [FrameUse.free]: "free",
    [FrameUse.kernel]: "kernel",
    [FrameUse.iommuTable]: "tables",
    [FrameUse.user]: "user",
    [FrameUse.guestmemfs]: "guestmemfs",
    [FrameUse.scratch]: "scratch",
    [FrameUse.preserved]: "preserved",
  };
  const perPiece = Math.ceil(memory.frames / pieces);
  const stride = Math.ceil(memory.frames / 2 ** 18);
  const count = Math.ceil(memory.frames / perPiece);
  const map = { pieces: new Uint8Array(count), owners: new Uint8Array(count) };
  const frames = Object.fromEntries(MEMORY_KINDS.map((kind) => [kind, 0]));
  for (const { start, size } of memory.ranges) {
    const end = (start + size) / PAGE_SIZE;
    for (let pfn = start / PAGE_SIZE; pfn < end; pfn += stride) {
      const use = kernel.pages.useOf(pfn), guest = ledger.ownerName(pfn);
      const own = use === FrameUse.free || use === FrameUse.kernel;
      let kind = of[use]!;
      if (guest !== undefined) kind = own ? "taken" : "guest";
      else if (tables.has(pfn)) kind = own ? "taken" : "tables";
      frames[kind]! += stride;
      if (kind === "guest") guestFrames[guests.indexOf(guest!)]! += stride;
      const piece = Math.floor(pfn / perPiece), number = MEMORY_KINDS.indexOf(kind);
      if (number < map.pieces[piece]!) continue;
      map.pieces[piece] = number;
      map.owners[piece] = kind === "guest" ? guests.indexOf(guest!) + 1 : 0;
    }
  }
  return {
    ...map,
    guests,
    guestFrames,
    bytes: perPiece * PAGE_SIZE,
    frames: frames as MemoryMap["frames"],
    stride,
  };
}

Deno.test("the map of memory is what every single frame says, all through a live update", () => {
  const { timeline } = demoSession("rfc-v1", 300 * ms);
  timeline.act({ do: "update", with: {}, args: {} });
  const seen = new Set<MemoryKind>();
  for (let n = 0; n < 60; n++) {
    timeline.runFor(25 * ms);
    for (const pieces of [8192, 100]) {
      const map = memoryMap(timeline.platform, pieces);
      assert.deepEqual(map, frameByFrame(timeline.platform, pieces), `at ${timeline.platform.now}`);
      for (const kind of map.pieces) seen.add(MEMORY_KINDS[kind]!);
    }
  }
  const all = ["free", "kernel", "guest", "tables", "scratch", "guestmemfs", "unknown"];
  for (const kind of all) assert.ok(seen.has(kind as MemoryKind), `${kind} was never there`);
});

Deno.test("of much memory every so many frames are looked at", () => {
  const GiB = 2 ** 30;
  const machine = { ...DEMO.machine, memory: 5 * GiB };
  const platform = new Platform({ ...DEMO, machine, kernel: "rfc-v1" });
  platform.runFor(200 * ms);
  const map = memoryMap(platform, 8192);
  assert.ok(map.stride > 1);
  assert.deepEqual(map, frameByFrame(platform, 8192));
});
