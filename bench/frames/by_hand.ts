/**
 * Frames as somebody would write them who needs nothing but this one screen: a table, sparklines, a
 * log and a clock, on {@link HandGrid}. No windows, no widgets, no themes, no keys.
 */

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
import { HandGrid } from "./hand_grid.ts";

const enum Style {
  plain,
  good,
  warn,
  bad,
  info,
  title,
  chosen,
  dim,
}

const SGR = [0, 32, 33, 31, 36, 1, 7, 2].map((n) => `\x1b[0;${n}m`);
const LEVELS = "▁▂▃▄▅▆▇█";
const COLUMNS = 8, WIDTH = 13, SPARK = 22, SPARK_AT = 12 + COLUMNS * WIDTH;
/** Rows of the table below its heading, and lines of the log. */
const TABLE = 40, LOG = ROWS - TABLE - 3;

interface Device {
  readonly name: string;
  readonly cells: number[];
  readonly history: number[];
}

interface Model {
  readonly devices: readonly Device[];
  readonly log: string[];
  clock: number;
  top: number;
}

function modelOf(count: number, next: (below: number) => number): Model {
  const devices = Array.from({ length: count }, (_, i): Device => ({
    name: `nic${i}`,
    cells: Array.from({ length: COLUMNS }, () => next(20_000)),
    history: Array.from({ length: SPARK }, () => next(300)),
  }));
  const log = Array.from({ length: LOG }, (_, i) => `line ${i}`);
  return { devices, log, clock: 0, top: 0 };
}

/** 32 numbers of the table change, all sparklines and the log move on by one. */
function moveOn(model: Model, next: (below: number) => number): void {
  const { devices, log } = model;
  for (let n = 0; n < 32; n++) devices[next(devices.length)]!.cells[next(COLUMNS)] = next(20_000);
  for (const { history } of devices) {
    history.shift();
    history.push(next(300));
  }
  log.shift();
  log.push(`device ${devices[next(devices.length)]!.name}: ${next(1000)} packets`);
  model.clock++;
}

/** The devices in the order of their first number, the highest first. */
function sorted({ devices, ...rest }: Model): Model {
  return { ...rest, devices: devices.toSorted((a, b) => b.cells[0]! - a.cells[0]!) };
}

function draw(grid: HandGrid, { devices, log, clock, top }: Model): void {
  grid.clear();
  grid.put(0, 0, " a machine  boot 1  RUNNING".padEnd(COLS), Style.title);
  for (let column = 0; column < COLUMNS; column++) {
    grid.put(12 + column * WIDTH, 1, `column ${column}`.padStart(WIDTH - 1), Style.dim);
  }
  for (let y = 0; y < TABLE; y++) {
    const { name, cells, history } = devices[top + y]!;
    const chosen = y === TABLE / 2;
    grid.put(0, y + 2, name.padEnd(12), chosen ? Style.chosen : Style.plain);
    for (let column = 0; column < COLUMNS; column++) {
      const value = cells[column]!;
      const style = value > 19_000 ? Style.bad : value > 18_000 ? Style.warn : Style.good;
      const text = `${value}`.padStart(WIDTH - 1);
      grid.put(12 + column * WIDTH, y + 2, text, chosen ? Style.chosen : style);
    }
    let spark = "";
    for (const value of history) spark += LEVELS[Math.floor(value / 300 * LEVELS.length)];
    grid.put(SPARK_AT, y + 2, spark, chosen ? Style.chosen : Style.info);
  }
  for (const [i, line] of log.entries()) grid.put(0, TABLE + 2 + i, line, Style.plain);
  grid.put(0, ROWS - 1, ` q quit  ? help   ${clock / 30 | 0}:${clock % 30}`, Style.dim);
}

/** Rounds of frames that `step` moves on from one to the next. */
function frames(
  model: Model,
  count: number,
  change: Change,
  step: (model: Model) => void,
  shown: (model: Model) => Model = (model) => model,
  warmUp = WARM_UP,
): Benchmark {
  return lazily(() => {
    const grid = new HandGrid(COLS, ROWS, SGR);
    draw(grid, model);
    grid.flush();
    let cells = 0;
    const before = warmUp * count;
    for (let n = 0; n < before; n++) {
      step(model);
      draw(grid, shown(model));
      cells += grid.changed;
      grid.flush();
    }
    mustChange(cells, before, change);
    return () => {
      let writes = 0;
      timed(() => {
        for (let n = 0; n < count; n++) {
          step(model);
          draw(grid, shown(model));
          if (grid.flush() !== "") writes++;
        }
      });
      return writes;
    };
  });
}

/** The reference of the group "frames". */
export function framesByHand(divisor: number): Record<string, Benchmark> {
  const next = numbers(1), count = FRAMES / divisor;
  const many = modelOf(MANY_DEVICES, next);
  const tenth = frames(modelOf(DEVICES, next), count, A_TENTH, (model) => moveOn(model, next));
  return {
    "frame-tenth": tenth,
    "frame-clock": frames(modelOf(DEVICES, next), count, A_CLOCK, (model) => model.clock++),
    "frame-scroll": frames(many, count, ALL_ROWS, (model) => {
      model.top = (model.top + 1) % (MANY_DEVICES - TABLE);
      model.clock++;
    }),
    "frame-sort": frames(
      modelOf(MANY_DEVICES, next),
      count,
      ALL_ROWS,
      (model) => {
        for (const { cells } of model.devices) cells[0] = next(20_000);
        model.clock++;
      },
      sorted,
      1,
    ),
    "frame-whole": tenth,
  };
}
