/** The counterpart of c/devices.c: ten thousand devices, their event queue and their DMA. */
import { EventQueue } from "../../src/base/event_queue.ts";
import { type Benchmark, timed } from "./side.ts";

/** `divisor`: all sizes are divided by it. */
export function devices(divisor: number): Record<string, Benchmark> {
  const count = 10_000 / divisor, events = 2_000_000 / divisor;
  return {
    "queue-heap": () => queueHeap(count, events),
  };
}

/** Every device has its own pace, nanoseconds. */
function paces(count: number): Int32Array {
  let state = 1;
  return new Int32Array(count).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 50_000 + (state >>> 16);
  });
}

function queueHeap(count: number, events: number): number {
  const queue = new EventQueue();
  const pace = paces(count);
  let sum = 0;
  const handler = queue.register((device) => {
    sum = (Math.imul(sum, 31) + device) | 0;
    queue.after(pace[device], handler, device);
  });
  for (let i = 0; i < count; i++) queue.after(pace[i], handler, i);
  timed(() => {
    for (let i = 0; i < events; i++) queue.step();
  });
  return sum;
}
