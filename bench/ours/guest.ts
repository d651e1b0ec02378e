/** The counterpart of c/guest.c: the seal that health lays over a paused guest's memory. */
import { PAGE_SIZE } from "../../src/base/units.ts";
import { Ledger } from "../../src/health/ledger.ts";
import { Memory } from "../../src/machine/memory.ts";
import { type Benchmark, mix, timed } from "./side.ts";

/** `divisor`: all sizes are divided by it. */
export function guest(divisor: number): Record<string, Benchmark> {
  const pages = Math.floor(2 ** 20 / divisor);
  let sealed: { memory: Memory; ledger: Ledger } | undefined;
  return {
    "guest-check": () => {
      const { memory, ledger } = sealed ??= sealedGuest(pages);
      const check = () => (ledger.check("vm0")?.gpa ?? pages * PAGE_SIZE) / PAGE_SIZE;
      const sum = timed(check);
      const damage = () => memory.store(pages - 3, 5, memory.load(pages - 3, 5) ^ 1);
      damage();
      const found = check();
      damage();
      return mix(sum, found);
    },
  };
}

function sealedGuest(pages: number): { memory: Memory; ledger: Ledger } {
  const memory = new Memory([{ start: 0, size: pages * PAGE_SIZE }]);
  for (let pfn = 0, word = 0; pfn < pages; pfn++) {
    const words = memory.writable(pfn), base = memory.base(pfn);
    for (let i = 0; i < 1024; i++) words[base + i] = Math.imul(word++, 0x9e3779b1);
  }
  const ledger = new Ledger(memory);
  ledger.mapped("vm0", 0, [{ pfn: 0, count: pages }]);
  ledger.seal("vm0");
  return { memory, ledger };
}
