/** Frames of the dashboard: its view of a scene, and the difference to the last one. */

import { MiB, ms } from "../../src/base/units.ts";
import { historyOf } from "../../src/dashboard/history.ts";
import { initialModel, type Model, type Scene } from "../../src/dashboard/model.ts";
import { Sight } from "../../src/dashboard/sight.ts";
import { view } from "../../src/dashboard/view.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { Timeline } from "../../src/operations/timeline.ts";
import { Platform } from "../../src/platform/platform.ts";
import type { DeviceView } from "../../src/platform/snapshot.ts";
import type { PlatformSpec } from "../../src/platform/spec.ts";
import { flush, Grid, makeTheme, Region } from "../../src/tui/mod.ts";
import { type Benchmark, timed } from "../ours/side.ts";
import {
  A_CLOCK,
  A_TENTH,
  ALL_ROWS,
  type Change,
  COLS,
  DEVICES,
  FRAMES,
  lazily,
  MANY_DEVICES,
  mustChange,
  numbers,
  ROWS,
  WARM_UP,
} from "./frames.ts";

const SIZE = { cols: COLS, rows: ROWS };
/** Scenes that follow each other before they come again. */
const SCENES = 64;
/** Of a hundred devices, those whose history moves on in a frame: a tenth of the cells changes. */
const LIVELY = 44;

/** 40 NICs of 10 VMs, all at work. */
function machine(): Timeline {
  const devices = Array.from({ length: DEVICES }, (_, i) => ({
    id: `nic${i}`,
    bdf: `${(0x10 + i).toString(16)}:00.0`,
    model: "nic" as const,
    interval: 200_000 * (1 + i % 7),
    packetBytes: 256,
  }));
  const spec: PlatformSpec = {
    machine: { profile: findProfile("intel-legacy")!, memory: 1024 * MiB, devices },
    vms: Array.from({ length: DEVICES / 4 }, (_, i) => ({
      id: `vm${i}`,
      memory: 4 * MiB,
      persistent: true,
      devices: devices.slice(4 * i, 4 * i + 4).map((d) => d.id),
      ring: 256,
    })),
    kernel: "rfc-v1",
    guestmemfs: 64 * MiB,
    khoScratch: 16 * MiB,
    seed: 1,
  };
  const start = { do: "vm.start", with: {}, args: {}, expected: "0" };
  const timeline = new Timeline(() => new Platform(spec), spec.kernel, [start]);
  timeline.runFor(700 * ms);
  return timeline;
}

function gridOf(): Grid {
  const grid = new Grid(COLS, ROWS);
  grid.table.theme = makeTheme({ depth: "256", background: "dark", palette: "standard" });
  return grid;
}

function draw(grid: Grid, model: Model, scene: Scene): void {
  grid.clear();
  view(Region.of(grid), model, scene);
}

/** Cells that differ from what the terminal shows. */
function changed(grid: Grid): number {
  let n = 0;
  for (let i = 0; i < grid.cells.length; i++) {
    if (grid.cells[i] !== grid.shownCells[i] || grid.styles[i] !== grid.shownStyles[i]) n++;
  }
  return n;
}

/** Rounds of frames, each of what `frameOf` answers. */
function frames(
  count: number,
  change: Change,
  frameOf: (n: number) => [Model, Scene],
  warmUp = WARM_UP,
): Benchmark {
  return lazily(() => {
    const grid = gridOf();
    draw(grid, ...frameOf(0));
    flush(grid);
    let cells = 0;
    const before = warmUp * count;
    for (let n = 1; n <= before; n++) {
      draw(grid, ...frameOf(n % count));
      cells += changed(grid);
      flush(grid);
    }
    mustChange(cells, before, change);
    return () => {
      let writes = 0;
      timed(() => {
        for (let n = 1; n <= count; n++) {
          draw(grid, ...frameOf(n));
          if (flush(grid) !== "") writes++;
        }
      });
      return writes;
    };
  });
}

/** The rates of some devices and what is drawn of them change, and there is an event each time. */
function livelyScenes(scene: Scene, next: (below: number) => number): Scene[] {
  const scenes: Scene[] = [];
  for (let n = 0; n < SCENES; n++) {
    const { devices, events, time } = scenes.at(-1) ?? scene;
    const moved = devices.map((d): DeviceView => {
      const history = next(100) < LIVELY ? [...d.history.slice(1), next(400)] : d.history;
      return { ...d, history, rate: next(20) === 0 ? next(20_000) : d.rate };
    });
    const text = `${scene.devices[next(DEVICES)]!.id}: ${next(1000)} packets`;
    const line = { ...events.at(-1)!, time, text };
    scenes.push({ ...scene, devices: moved, events: [...events, line], time: time + 33 * ms });
  }
  return scenes;
}

/** Our side of the group "frames". */
export function frameBenchmarks(divisor: number): Record<string, Benchmark> {
  const next = numbers(1), count = FRAMES / divisor, timeline = machine(), sight = new Sight();
  const model = { ...initialModel("a machine", "rfc-v1", {}), history: historyOf(timeline) };
  const seen = sight.of(timeline, model, SIZE);
  const unsteady = (d: DeviceView) => ({ ...d, history: d.history.map(() => next(400)) });
  const scene: Scene = { ...seen, devices: seen.devices.map(unsteady) };
  const lively = livelyScenes(scene, next);
  const quiet = lively.map(({ time }): Scene => ({ ...scene, time }));
  const many: Scene = {
    ...scene,
    devices: Array.from({ length: MANY_DEVICES }, (_, i): DeviceView => ({
      ...lively.at(-1)!.devices[i % DEVICES]!,
      id: `nic${i}`,
      rate: next(20_000),
    })),
  };
  // A few, each with rates of its own: what is known of one says nothing of the next.
  const unsorted = Array.from({ length: 8 }, (): Scene => ({
    ...many,
    devices: many.devices.map((d) => ({ ...d, rate: next(20_000) })),
  }));
  const zoomed: Model = { ...model, paused: true, zoomed: true, focus: "devices" };
  return {
    "frame-tenth": frames(count, A_TENTH, (n) => [model, lively[n % SCENES]!]),
    "frame-clock": frames(count, A_CLOCK, (n) => [model, quiet[n % SCENES]!]),
    "frame-scroll": frames(count, ALL_ROWS, (n) => {
      const chosen = { ...zoomed.chosen, devices: many.devices[n]!.id };
      const scroll = { ...zoomed.scroll, devices: { top: n, left: 0 } };
      return [{ ...zoomed, chosen, scroll }, many];
    }),
    "frame-sort": frames(count, ALL_ROWS, (n) => {
      const { devices, ...rest } = unsorted[n % unsorted.length]!;
      const sorting = { column: "DMA/s", reverse: false };
      return [{ ...zoomed, sorting }, { ...rest, devices: [...devices] }];
    }, 1),
    "frame-whole": () => {
      const grid = gridOf();
      let writes = 0;
      for (let n = 0; n < count; n++) {
        timeline.runFor(ms);
        timed(() => {
          sight.stale();
          const now = { ...model, history: historyOf(timeline) };
          draw(grid, now, sight.of(timeline, now, SIZE));
          if (flush(grid) !== "") writes++;
        });
      }
      return writes;
    },
  };
}
