import { EAGAIN, EBADF, EINVAL } from "../../uapi/errno.ts";
import type { Task } from "../process/task.ts";
import { OpenFile } from "./vfs.ts";

/** The largest count there is: one below U64_MAX. */
const MAX = 0xfffffffffffffffen;

/**
 * An eventfd: a counter of 64 bits that signals add to and a read takes away as a whole. There is
 * no blocking read here: every eventfd is as with EFD_NONBLOCK.
 */
export class EventFd extends OpenFile {
  #count: bigint;
  #listener: (() => void) | undefined;

  constructor(count: number) {
    super();
    this.#count = BigInt(count);
  }

  /** Adds 1, and stops at the largest count. */
  signal(): void {
    if (this.#count < MAX) this.#count++;
    this.#wake();
  }

  /**
   * A part of the kernel that takes every signal itself, as irqfds do; also the one that has come
   * already. False while another one does.
   */
  listen(listener: () => void): boolean {
    if (this.#listener !== undefined) return false;
    this.#listener = listener;
    if (this.#count > 0n) this.#wake();
    return true;
  }

  unlisten(): void {
    this.#listener = undefined;
  }

  #wake(): void {
    if (this.#listener === undefined) return;
    this.#count = 0n;
    this.#listener();
  }

  /** The count as 8 bytes, which is 0 afterwards. EINVAL for a smaller buffer, EAGAIN at 0. */
  override read(_task: Task, length: number): Uint8Array | number {
    if (length < 8) return -EINVAL;
    if (this.#count === 0n) return -EAGAIN;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, this.#count, true);
    this.#count = 0n;
    return bytes;
  }

  /** Adds 8 bytes' worth. EINVAL for fewer bytes or U64_MAX; EAGAIN where the sum would not fit. */
  override write(_task: Task, bytes: Uint8Array): number {
    if (bytes.length < 8) return -EINVAL;
    const add = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
    if (add > MAX) return -EINVAL;
    if (this.#count + add > MAX) return -EAGAIN;
    this.#count += add;
    if (this.#count > 0n) this.#wake();
    return 8;
  }
}

/** The eventfd behind a descriptor, referenced for the caller; EBADF, or EINVAL for another file. */
export function eventFdOf(task: Task, fd: number): EventFd | number {
  const file = task.file(fd);
  if (file === undefined) return -EBADF;
  return file instanceof EventFd ? file.get() : -EINVAL;
}
