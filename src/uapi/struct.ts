/**
 * uAPI structures as bytes. A layout is a list of fields in declaration order with natural
 * alignment, as a C compiler on x86-64 lays them out; u64 fields are bigints, because user
 * addresses, lengths and IOVAs use all 64 bits (U64_MAX is a legal and special value).
 */
export type FieldType = "u8" | "u16" | "u32" | "s32" | "u64";

type FieldValue<T extends FieldType> = T extends "u64" ? bigint : number;

export type StructValue<F extends Record<string, FieldType>> = {
  -readonly [K in keyof F]: FieldValue<F[K]>;
};

const SIZE: Record<FieldType, number> = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8 };

/** A structure layout that turns values into bytes and back. */
export class Struct<F extends Record<string, FieldType>> {
  /** Offset in bytes of each field. */
  readonly offsets: Readonly<Record<keyof F, number>>;
  /** sizeof(): rounded up to the largest alignment. */
  readonly size: number;
  /** The fields once more, to go through. */
  readonly #list: { readonly field: string; readonly type: FieldType; readonly at: number }[] = [];

  constructor(readonly name: string, readonly fields: F) {
    const offsets: Record<string, number> = {};
    let at = 0, align = 1;
    for (const [field, type] of Object.entries(fields)) {
      const size = SIZE[type];
      at = Math.ceil(at / size) * size;
      offsets[field] = at;
      this.#list.push({ field, type, at });
      at += size;
      if (size > align) align = size;
    }
    this.offsets = offsets as Record<keyof F, number>;
    this.size = Math.ceil(at / align) * align;
  }

  /** Offset just behind a field: what the kernel calls offsetofend(). */
  endOf(field: keyof F): number {
    return this.offsets[field] + SIZE[this.fields[field]];
  }

  /** Bytes of a value; fields left out are 0. */
  encode(value: Partial<StructValue<F>>): Uint8Array {
    const bytes = new Uint8Array(this.size);
    this.#write(bytes, value);
    return bytes;
  }

  #write(bytes: Uint8Array, value: Partial<StructValue<F>>): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (const { field, type, at } of this.#list) {
      const v = value[field];
      if (v !== undefined) write(view, at, type, v as number | bigint);
    }
  }

  /** Reads a value; bytes beyond the end of `bytes` count as 0. */
  decode(bytes: Uint8Array): StructValue<F> {
    let whole = bytes;
    if (bytes.length < this.size) {
      whole = new Uint8Array(this.size);
      whole.set(bytes);
    }
    const view = new DataView(whole.buffer, whole.byteOffset);
    const value: Record<string, number | bigint> = {};
    for (const { field, type, at } of this.#list) value[field] = read(view, at, type);
    return value as StructValue<F>;
  }

  /** Writes the value back over `into`, no further than its length: the reply of an ioctl. */
  update(into: Uint8Array, value: StructValue<F>): void {
    if (into.length >= this.size) {
      into.fill(0, 0, this.size);
      return this.#write(into, value);
    }
    into.set(this.encode(value).subarray(0, into.length));
  }
}

function write(view: DataView, at: number, type: FieldType, value: number | bigint): void {
  if (type === "u64") view.setBigUint64(at, BigInt(value), true);
  else if (type === "u8") view.setUint8(at, Number(value));
  else if (type === "u16") view.setUint16(at, Number(value), true);
  else if (type === "s32") view.setInt32(at, Number(value), true);
  else view.setUint32(at, Number(value), true);
}

function read(view: DataView, at: number, type: FieldType): number | bigint {
  switch (type) {
    case "u64":
      return view.getBigUint64(at, true);
    case "u8":
      return view.getUint8(at);
    case "u16":
      return view.getUint16(at, true);
    case "s32":
      return view.getInt32(at, true);
    default:
      return view.getUint32(at, true);
  }
}
