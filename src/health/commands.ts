import { SLOT_BLOCKS } from "../userspace/guest/nvme_workload.ts";

/** The last command a slot's blocks saw. */
interface Last {
  readonly write: boolean;
  readonly block: number;
  readonly blocks: number;
}

/**
 * What disks did, command by command, by what the disks themselves say. Each slot of a guest's driver
 * writes some of its blocks, reads exactly those back, and only then writes again: a command that is
 * executed a second time does not fit in.
 */
export class CommandLedger {
  readonly #slots = new Map<number, Map<number, Last>>();

  /**
   * A disk has executed a command on `blocks` blocks from `block` on; `ok`: with success. What is
   * wrong with that, undefined when nothing is.
   */
  executed(
    fn: number,
    write: boolean,
    block: number,
    blocks: number,
    ok: boolean,
  ): string | undefined {
    const slots = this.#slotsOf(fn), slot = Math.floor(block / SLOT_BLOCKS);
    const last = slots.get(slot);
    // After a failure the driver starts over with this slot.
    if (ok) slots.set(slot, { write, block, blocks });
    else slots.delete(slot);
    if (!ok || last === undefined) return undefined;
    const what = `${write ? "write" : "read"} of ${blocks} blocks at block ${block}`;
    if (last.write === write) return `${what} was executed twice, or in the place of another`;
    const same = last.block === block && last.blocks === blocks;
    return write || same ? undefined : `${what} came where others were to be read`;
  }

  /** The controller starts over, with whatever its driver gives it. */
  restarted(fn: number): void {
    this.#slots.delete(fn);
  }

  #slotsOf(fn: number): Map<number, Last> {
    let slots = this.#slots.get(fn);
    if (slots === undefined) this.#slots.set(fn, slots = new Map());
    return slots;
  }
}
