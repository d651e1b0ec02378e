import { FDT_ERR_BADSTATE, FDT_ERR_NOSPACE, FdtWriteError } from "./errors.ts";
import * as format from "./format.ts";
import { checkName, NamePool, writeName } from "./name_pool.ts";
import { giveBackWorkspace, takeWorkspace, Workspace } from "./workspace.ts";

/** libfdt aligns the reserve map to 16 bytes behind the 40-byte header. */
const RESERVE_AT = 48;
const PROP_HEADER_BYTES = 12;
/** A value of so few bytes is copied by hand: a call of `set` takes longer. */
const SHORT_VALUE = 64;
const NOTHING = new Workspace(0, 0);
const TWO_32 = 0x1_0000_0000;

/**
 * Writes a flattened device tree front to back, with the manners of libfdt's sequential writer:
 * for the same calls it makes the same bytes and returns the same codes.
 *
 * A call returns 0, or a negative code and has changed nothing. Later and smaller calls may then
 * succeed again: keeping the first error is the caller's business. Nesting is not checked either
 * (`openFdt` does), so a caller that ignores errors hands over a damaged tree, as it would in C.
 *
 * Names are Latin-1 and have at most 255 bytes. A name or a number that cannot be represented is
 * a mistake in the calling program: RangeError.
 */
export class FdtWriter {
  readonly #maxBytes: number;
  /** What the tree is written in, from the first call that has something to write. */
  #workspace: Workspace | undefined;
  #bytes = NOTHING.bytes;
  #view = NOTHING.view;
  /** Where the name offsets are that `finish` must turn from "from the end" to "from the start". */
  #nameFields = NOTHING.nameFields;
  #nameFieldCount = 0;
  #end = RESERVE_AT;
  #structAt = 0;
  /** The reserve map is closed, and the tree not finished. */
  #isInStruct = false;
  readonly #names = new NamePool();

  /** @param maxBytes the largest finished blob, 0 to 2^31 - 1; memory is taken as needed */
  constructor(maxBytes: number) {
    if (!(Number.isInteger(maxBytes) && maxBytes >= 0 && maxBytes < 2 ** 31)) {
      throw new RangeError(`a device tree cannot have ${maxBytes} bytes`);
    }
    this.#maxBytes = maxBytes;
  }

  /** Adds a memory reservation (values as for `propU64`); allowed only before the first node. */
  memReserve(address: number | bigint, size: number | bigint): number {
    checkU64(address);
    checkU64(size);
    if (this.#structAt !== 0) return -FDT_ERR_BADSTATE;
    const at = this.#take(format.RESERVE_ENTRY_BYTES);
    if (at < 0) return at;
    this.#view.setBigUint64(at, BigInt(address));
    this.#view.setBigUint64(at + 8, BigInt(size));
    return 0;
  }

  /** Opens a node below the one that is open; the first is the root and is named "". */
  beginNode(name: string): number {
    if (this.#structAt === 0 || name.length > format.MAX_NAME_BYTES) checkName(name);
    const status = this.#enterStruct();
    if (status < 0) return status;
    const bytes = 4 + aligned(name.length + 1);
    const at = this.#take(bytes);
    if (at < 0) {
      checkName(name);
      return at;
    }
    const view = this.#view;
    // What the name leaves of its last word is zero.
    view.setUint32(at + bytes - 4, 0);
    view.setUint32(at, format.FDT_BEGIN_NODE);
    if (!writeName(name, this.#bytes, at + 4)) {
      this.#end = at;
      checkName(name);
    }
    return 0;
  }

  /** Closes the node opened last. */
  endNode(): number {
    const status = this.#enterStruct();
    if (status < 0) return status;
    const at = this.#take(4);
    if (at < 0) return at;
    this.#view.setUint32(at, format.FDT_END_NODE);
    return 0;
  }

  /** A property of the open node; the bytes are copied. */
  property(name: string, bytes: Uint8Array): number {
    const at = this.#takeProperty(name, bytes.length);
    if (at < 0) return at;
    const to = this.#bytes, length = bytes.length;
    if (length > SHORT_VALUE) to.set(bytes, at);
    else for (let i = 0; i < length; i++) to[at + i] = bytes[i] as number;
    return 0;
  }

  /** One byte, 0 to 255. */
  propU8(name: string, value: number): number {
    checkUnsigned(value, 0xff);
    const at = this.#takeProperty(name, 1);
    if (at < 0) return at;
    this.#bytes[at] = value;
    return 0;
  }

  /** Two bytes, little-endian, 0 to 2^16 - 1. */
  propU16(name: string, value: number): number {
    checkUnsigned(value, 0xffff);
    const at = this.#takeProperty(name, 2);
    if (at < 0) return at;
    this.#view.setUint16(at, value, true);
    return 0;
  }

  /** Four bytes, little-endian, 0 to 2^32 - 1. */
  propU32(name: string, value: number): number {
    checkUnsigned(value, 0xffff_ffff);
    const at = this.#takeProperty(name, 4);
    if (at < 0) return at;
    this.#view.setUint32(at, value, true);
    return 0;
  }

  /** Four bytes, little-endian two's complement, -2^31 to 2^31 - 1. */
  propI32(name: string, value: number): number {
    if (value !== (value | 0)) throw new RangeError(`${value} is not a 32-bit signed integer`);
    return this.propU32(name, value >>> 0);
  }

  /** Eight bytes, little-endian: a number from 0 to 2^53 - 1, or a bigint up to 2^64 - 1. */
  propU64(name: string, value: number | bigint): number {
    checkU64(value);
    const at = this.#takeProperty(name, 8);
    if (at < 0) return at;
    if (typeof value === "bigint") {
      this.#view.setBigUint64(at, value, true);
      return 0;
    }
    // What is beyond 32 bits is cut off.
    this.#view.setUint32(at, value, true);
    this.#view.setUint32(at + 4, value / TWO_32, true);
    return 0;
  }

  /** Text in UTF-8 with a NUL after it; it must not contain one. */
  propString(name: string, text: string): number {
    if (text.includes("\0")) throw new RangeError("a string property cannot contain a NUL");
    return this.property(name, new TextEncoder().encode(text + "\0"));
  }

  /** A property without a value, whose presence is what it says. */
  propFlag(name: string): number {
    return Math.min(this.#takeProperty(name, 0), 0);
  }

  /** Completes the tree and returns a copy of its exact size. Throws FdtWriteError. */
  finish(): Uint8Array<ArrayBuffer> {
    const blob = this.tryFinish();
    if (typeof blob === "number") throw new FdtWriteError(blob);
    return blob;
  }

  /** Like `finish`, but returns the negative code instead of throwing. */
  tryFinish(): Uint8Array<ArrayBuffer> | number {
    const status = this.#enterStruct();
    if (status < 0) return status;
    const at = this.#take(4);
    if (at < 0) return at;
    this.#view.setUint32(at, format.FDT_END);
    this.#isInStruct = false;

    const stringsAt = this.#end, stringsSize = this.#names.size, view = this.#view;
    for (let i = 0; i < this.#nameFieldCount; i++) {
      const field = this.#nameFields[i] as number;
      view.setUint32(field, stringsSize - view.getUint32(field));
    }
    this.#bytes.fill(0, 0, RESERVE_AT);
    view.setUint32(format.HEADER.magic, format.FDT_MAGIC);
    view.setUint32(format.HEADER.totalSize, stringsAt + stringsSize);
    view.setUint32(format.HEADER.structOffset, this.#structAt);
    view.setUint32(format.HEADER.stringsOffset, stringsAt);
    view.setUint32(format.HEADER.reserveOffset, RESERVE_AT);
    view.setUint32(format.HEADER.version, format.FDT_VERSION);
    view.setUint32(format.HEADER.lastCompatibleVersion, format.FDT_LAST_COMPATIBLE_VERSION);
    view.setUint32(format.HEADER.stringsSize, stringsSize);
    view.setUint32(format.HEADER.structSize, stringsAt - this.#structAt);
    const blob = new Uint8Array(stringsAt + stringsSize);
    blob.set(this.#bytes.subarray(0, stringsAt));
    blob.set(this.#names.bytes(), stringsAt);
    if (this.#workspace !== undefined) giveBackWorkspace(this.#workspace);
    return blob;
  }

  /** Closes the reserve map with its empty entry on the first call about a node. */
  #enterStruct(): number {
    return this.#isInStruct ? 0 : this.#beginStruct();
  }

  #beginStruct(): number {
    if (this.#structAt !== 0) return -FDT_ERR_BADSTATE;
    const at = this.#take(format.RESERVE_ENTRY_BYTES);
    if (at < 0) return at;
    this.#bytes.fill(0, at, this.#end);
    this.#structAt = this.#end;
    this.#isInStruct = true;
    return 0;
  }

  /** Room for a property's value: its position, or a negative code and nothing taken. */
  #takeProperty(name: string, length: number): number {
    const status = this.#enterStruct();
    if (status < 0) return status;
    let fromEnd = this.#names.find(name);
    const bytes = PROP_HEADER_BYTES + aligned(length);
    const isNew = fromEnd === 0;
    // A name is added only when its property fits too: libfdt takes it back otherwise.
    if (!this.#fits(isNew ? bytes + name.length + 1 : bytes)) return -FDT_ERR_NOSPACE;
    if (isNew) fromEnd = this.#names.add(name);
    const at = this.#place(bytes);
    const view = this.#view;
    // What the value leaves of its last word is zero.
    view.setUint32(at + bytes - 4, 0);
    view.setUint32(at, format.FDT_PROP);
    view.setUint32(at + 4, length);
    view.setUint32(at + 8, fromEnd);
    if (this.#nameFieldCount === this.#nameFields.length) this.#growNameFields();
    this.#nameFields[this.#nameFieldCount++] = at + 8;
    return at + PROP_HEADER_BYTES;
  }

  #fits(bytes: number): boolean {
    return this.#end + this.#names.size + bytes <= this.#maxBytes;
  }

  /** The position of `bytes` bytes at the end, or -FDT_ERR_NOSPACE. */
  #take(bytes: number): number {
    return this.#fits(bytes) ? this.#place(bytes) : -FDT_ERR_NOSPACE;
  }

  /** The position of `bytes` bytes that fit. What is in them is left from before. */
  #place(bytes: number): number {
    const at = this.#end;
    this.#end += bytes;
    if (this.#end > this.#bytes.length) this.#growBytes(at);
    return at;
  }

  #growBytes(used: number): void {
    const workspace = this.#workspace ??= takeWorkspace();
    if (this.#end > workspace.bytes.length) workspace.growBytes(used, this.#end);
    this.#bytes = workspace.bytes;
    this.#view = workspace.view;
  }

  #growNameFields(): void {
    const workspace = this.#workspace as Workspace;
    if (this.#nameFieldCount === workspace.nameFields.length) workspace.growNameFields();
    this.#nameFields = workspace.nameFields;
  }
}

/** Rounds up to a whole number of 32-bit tokens. */
function aligned(bytes: number): number {
  return bytes + (-bytes & 3);
}

function checkUnsigned(value: number, max: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value <= max)) {
    throw new RangeError(`${value} is not an integer from 0 to ${max}`);
  }
}

function checkU64(value: number | bigint): void {
  if (typeof value === "number") checkUnsigned(value, Number.MAX_SAFE_INTEGER);
  else if (value !== BigInt.asUintN(64, value)) {
    throw new RangeError(`${value} is not a 64-bit unsigned integer`);
  }
}
