/**
 * This kernel went through a bad pointer. Thrown where it happens, caught where a real kernel's
 * exception handler would catch it: the task in whose name the code ran is killed, and where there
 * is none that could be (at boot, in shutdown), the kernel stops.
 */
export class Oops extends Error {
  override name = "Oops";

  /** `at`: the C function, `address`: where it reached. */
  constructor(readonly at: string, readonly address: number, what: string) {
    super(what);
  }
}

/** Throws for a load or store through NULL, `offset` bytes into what should have been there. */
export function nullDereference(at: string, offset = 0): never {
  const what = `BUG: kernel NULL pointer dereference, address: 0x${offset.toString(16)}`;
  throw new Oops(at, offset, what);
}
