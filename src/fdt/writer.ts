import { FDT_ERR_BADSTATE, FDT_ERR_NOSPACE, FdtWriteError } from "./errors.ts";
import * as format from "./format.ts";
import { checkName, NamePool, writeLatin1 } from "./name_pool.ts";

/** libfdt aligns the reserve map to 16 bytes behind the 40-byte header. */
const RESERVE_AT = 48;
const PROP_HEADER_BYTES = 12;
/** The tree is kept in pieces until it is finished: what was written does not move when it grows. */
const PIECE_BYTES = 1 << 16;
const PIECE_FIELDS = 1 << 14;
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
  readonly #pieces: Uint8Array[] = [];
  /** The piece being written, and where in the blob it starts. */
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #start = 0;
  #end = RESERVE_AT;
  #structAt = 0;
  #finished = false;
  readonly #names = new NamePool();
  /** Where the name offsets are that `finish` must turn from "from the end" to "from the start". */
  readonly #nameFields: Int32Array[] = [];
  #fields = new Int32Array(16);
  #fieldCount = 0;

  /** @param maxBytes the largest finished blob, 0 to 2^31 - 1; memory is taken as needed */
  constructor(maxBytes: number) {
    if (!(Number.isInteger(maxBytes) && maxBytes >= 0 && maxBytes < 2 ** 31)) {
      throw new RangeError(`a device tree cannot have ${maxBytes} bytes`);
    }
    this.#maxBytes = maxBytes;
    this.#bytes = new Uint8Array(Math.min(maxBytes, PIECE_BYTES));
    this.#view = new DataView(this.#bytes.buffer);
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
    checkName(name);
    const status = this.#enterStruct();
    if (status < 0) return status;
    const length = name.length;
    const at = this.#take(4 + aligned(length + 1));
    if (at < 0) return at;
    this.#view.setUint32(at, format.FDT_BEGIN_NODE);
    writeLatin1(name, this.#bytes, at + 4);
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
    this.#bytes.set(bytes, at);
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
    this.#finished = true;

    const stringsAt = this.#end, stringsSize = this.#names.size;
    const blob = new Uint8Array(stringsAt + stringsSize);
    let to = 0;
    for (const piece of this.#pieces) {
      blob.set(piece, to);
      to += piece.length;
    }
    blob.set(this.#bytes.subarray(0, stringsAt - to), to);
    blob.set(this.#names.bytes(), stringsAt);
    const view = new DataView(blob.buffer);
    this.#nameFields.push(this.#fields.subarray(0, this.#fieldCount));
    for (const fields of this.#nameFields) {
      for (let i = 0; i < fields.length; i++) {
        const field = fields[i] as number;
        view.setUint32(field, stringsSize - view.getUint32(field));
      }
    }
    view.setUint32(format.HEADER.magic, format.FDT_MAGIC);
    view.setUint32(format.HEADER.totalSize, blob.length);
    view.setUint32(format.HEADER.structOffset, this.#structAt);
    view.setUint32(format.HEADER.stringsOffset, stringsAt);
    view.setUint32(format.HEADER.reserveOffset, RESERVE_AT);
    view.setUint32(format.HEADER.version, format.FDT_VERSION);
    view.setUint32(format.HEADER.lastCompatibleVersion, format.FDT_LAST_COMPATIBLE_VERSION);
    view.setUint32(format.HEADER.stringsSize, stringsSize);
    view.setUint32(format.HEADER.structSize, stringsAt - this.#structAt);
    return blob;
  }

  /** Closes the reserve map with its empty entry on the first call about a node. */
  #enterStruct(): number {
    if (this.#finished) return -FDT_ERR_BADSTATE;
    if (this.#structAt !== 0) return 0;
    const at = this.#take(format.RESERVE_ENTRY_BYTES);
    if (at < 0) return at;
    this.#structAt = this.#end;
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
    view.setUint32(at, format.FDT_PROP);
    view.setUint32(at + 4, length);
    view.setUint32(at + 8, fromEnd);
    if (this.#fieldCount === this.#fields.length) this.#nextFields();
    this.#fields[this.#fieldCount++] = this.#start + at + 8;
    return at + PROP_HEADER_BYTES;
  }

  #fits(bytes: number): boolean {
    return this.#end + this.#names.size + bytes <= this.#maxBytes;
  }

  /** The position of `bytes` zero bytes at the end, or -FDT_ERR_NOSPACE. */
  #take(bytes: number): number {
    return this.#fits(bytes) ? this.#place(bytes) : -FDT_ERR_NOSPACE;
  }

  /** The position, in the piece being written, of `bytes` zero bytes that fit. */
  #place(bytes: number): number {
    const at = this.#end - this.#start;
    this.#end += bytes;
    return at + bytes <= this.#bytes.length ? at : this.#nextPiece(at, bytes);
  }

  #nextPiece(at: number, bytes: number): number {
    this.#pieces.push(this.#bytes.subarray(0, at));
    this.#start += at;
    this.#bytes = new Uint8Array(Math.max(PIECE_BYTES, bytes));
    this.#view = new DataView(this.#bytes.buffer);
    return 0;
  }

  #nextFields(): void {
    this.#nameFields.push(this.#fields);
    this.#fields = new Int32Array(PIECE_FIELDS);
    this.#fieldCount = 0;
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
