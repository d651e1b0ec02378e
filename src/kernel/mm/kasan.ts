import { PAGE_SIZE } from "../../base/units.ts";
import type { Kernel } from "../kernel.ts";
import { FrameUse } from "./frames.ts";

/** A heap object as a report names it. */
export interface HeapObject {
  /** What it is: a C type or the variable that points to it. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** It was given back: whoever still has a pointer must not use it. */
  readonly freed: boolean;
}

type Access = "Read" | "Write";

/**
 * The address and memory sanitizers of this kernel: they tell of a misuse and change nothing of
 * what the code does. Each place is told of once for an object, as with `kasan_multi_shot`.
 */
export class Kasan {
  readonly #told = new Set<string>();

  constructor(readonly kernel: Kernel) {}

  /**
   * Looks at an access of `bytes` at `offset` in an object, by the C function `at`. False, with a
   * splat, when it is not inside, or the object has been freed.
   */
  check(object: HeapObject, offset: number, bytes: number, access: Access, at: string): boolean {
    const { name, size, freed } = object;
    if (!freed && offset >= 0 && offset + bytes <= size) return true;
    const kind = freed ? "slab-use-after-free" : "slab-out-of-bounds";
    const past = offset - size;
    const where = freed || past < 0 ? `${offset} bytes inside of` : `${past} bytes to the right of`;
    this.#tell(
      `KASAN: ${kind} in ${at}`,
      name,
      `${access} of size ${bytes}, ${where} the ${freed ? "freed " : ""}${size}-byte ${name}`,
    );
    return false;
  }

  /** An object is given back a second time. */
  doubleFree(object: HeapObject, at: string): void {
    const { name, size } = object;
    this.#tell(`KASAN: double-free in ${at}`, name, `the ${size}-byte ${name} was freed before`);
  }

  /**
   * A variable on the stack that nobody set is used (KMSAN): whatever lies there, up to `bound`.
   */
  uninitialised(variable: string, bound: number, at: string): number {
    this.#tell(
      `KMSAN: uninit-value in ${at}`,
      variable,
      `local variable ${variable} was never set`,
    );
    return this.kernel.chooser.pick(`stack:${at}:${variable}`, bound);
  }

  #tell(bug: string, object: string, detail: string): void {
    const key = `${bug} ${object}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.kernel.dmesg.splat(`BUG: ${bug}`, detail);
  }
}

/**
 * Zeroed memory of the heap, in pages of its own. Loads and stores reach physical memory whatever
 * the sanitizer says: beyond its end lies what the allocator has put there.
 */
export class HeapArray implements HeapObject {
  freed = false;

  private constructor(
    readonly kernel: Kernel,
    readonly name: string,
    readonly size: number,
    /** Physical byte address. */
    readonly address: number,
  ) {}

  /** kzalloc; undefined when memory is out. */
  static alloc(kernel: Kernel, name: string, size: number): HeapArray | undefined {
    const pfn = kernel.pages.allocRange(Math.ceil(size / PAGE_SIZE), 1, FrameUse.kernel);
    return pfn < 0 ? undefined : new HeapArray(kernel, name, size, pfn * PAGE_SIZE);
  }

  /** Stores 64 bits at a byte offset divisible by 8, for the C function `at`. */
  store64(offset: number, value: number, at: string): void {
    this.kernel.kasan.check(this, offset, 8, "Write", at);
    const { memory } = this.kernel.machine;
    const address = this.address + offset, pfn = Math.floor(address / PAGE_SIZE);
    if (!memory.isRam(pfn)) return;
    const word = address % PAGE_SIZE / 4;
    memory.store(pfn, word, value | 0);
    memory.store(pfn, word + 1, Math.floor(value / 4294967296));
  }

  /** The first `length` bytes of physical memory from its start on. */
  bytes(length: number, at: string): Uint8Array {
    if (length > this.size) this.kernel.kasan.check(this, 0, length, "Read", at);
    return this.kernel.machine.memory.read(this.address, length);
  }

  free(at: string): void {
    if (this.freed) return this.kernel.kasan.doubleFree(this, at);
    this.freed = true;
    this.kernel.pages.freeRange(this.address / PAGE_SIZE, Math.ceil(this.size / PAGE_SIZE));
  }
}
