/**
 * A broken assertion is a bug of the emulator itself, never something a program inside the
 * emulation did: those get an errno. The command line turns it into exit status 70.
 */
export class EmulatorBug extends Error {
  override name = "EmulatorBug";
}

/** Throws {@link EmulatorBug} when `condition` does not hold. Always on. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new EmulatorBug(message);
}
