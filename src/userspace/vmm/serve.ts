import type { Sys } from "../../uapi/sys.ts";
import { CallFailed } from "../calls.ts";
import { SLICE } from "./config.ts";
import { createStateFile, removeStateFile, saveState } from "./state_file.ts";

/** A virtual machine as its manager handles it, whatever program runs it. */
export interface Manageable {
  /** It is to go on in the next kernel: it leaves its state. */
  readonly persistent: boolean;
  /** Lets the guest run for a moment. */
  step(): void;
  /** The next piece of what is still to be made after a kexec; true when there is nothing more. */
  advance(): boolean;
  /** There is nothing more to be made. */
  readonly whole: boolean;
  /** What whoever comes after this program needs; it is written down as JSON. */
  save(): object;
  /** Takes all its memory out of the reach of DMA; a negative errno where that does not go. */
  unmap(): number;
  /** Puts it back. */
  map(): number;
  /** From now on its devices' page tables have no larger pages than that, in bytes. */
  limitPages(bytes: number): number;
}

/** Followed by bytes. */
export const LIMIT_PAGES = "pages ";

/** The main loop: runs the guest, slice by slice, and does what the monitor socket says. */
export function* serve(
  sys: Sys,
  name: string,
  vm: Manageable,
  running: boolean,
): Generator<number, number, void> {
  let stateAt = -1;
  for (;;) {
    // The guest goes first: what is left to do is not on its critical path.
    if (running && !vm.advance()) {
      vm.step();
      yield SLICE;
      continue;
    }
    for (let m = sys.receive(); m !== undefined; m = sys.receive()) {
      if (m.startsWith(LIMIT_PAGES)) {
        const rc = vm.limitPages(Number(m.slice(LIMIT_PAGES.length)));
        sys.notify(rc < 0 ? "refused" : "running");
        continue;
      }
      switch (m) {
        case "prepare":
          try {
            if (vm.persistent && stateAt < 0) stateAt = createStateFile(sys, name);
            sys.notify("prepared");
          } catch (error) {
            if (!(error instanceof CallFailed)) throw error;
            // Nothing is lost yet: better no update than an update without this guest.
            sys.log(`not ready for an update: ${error.message}`);
            sys.notify("refused");
          }
          break;
        case "pause":
          running = false;
          if (stateAt >= 0) saveState(sys, stateAt, vm.save());
          sys.notify("paused");
          break;
        case "resume":
          running = true;
          if (vm.whole) sys.notify("whole");
          sys.notify("running");
          break;
        case "forget":
          // The update is over, one way or the other: nobody will need the state file.
          if (vm.persistent) removeStateFile(sys, name, stateAt);
          stateAt = -1;
          running = true;
          sys.notify("running");
          break;
        case "unmap":
          if (vm.unmap() < 0) sys.notify("refused");
          else {
            running = false;
            sys.notify("unmapped");
          }
          break;
        case "map":
          if (vm.map() < 0) sys.notify("refused");
          else {
            running = true;
            sys.notify("running");
          }
          break;
        case "crash":
          // Through a null pointer, as programs do.
          sys.load32(0);
          break;
        case "quit":
          return 0;
      }
    }
    if (running) vm.step();
    yield SLICE;
  }
}
