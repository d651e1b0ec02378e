/** Headers of an ELF64 core file, little-endian, x86-64 (elf(5), System V gABI chapter 5). */

export const EHDR_BYTES = 64;
export const PHDR_BYTES = 56;
export const SHDR_BYTES = 64;

export const PT_LOAD = 1;
export const PT_NOTE = 4;

const ET_CORE = 4;
const EM_X86_64 = 62;
/** e_phnum when there are that many or more: the number is sh_info of section header 0 then. */
const PN_XNUM = 0xffff;

/** One program header. Addresses are exact below 2^64, sizes and offsets below 2^53. */
export interface Segment {
  readonly type: number;
  /** PF_X 1, PF_W 2, PF_R 4. */
  readonly flags: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly vaddr: bigint;
  readonly paddr: bigint;
  /** p_filesz and p_memsz. */
  readonly size: number;
  readonly align: number;
}

/** Bytes that all headers of a file with so many segments take, section header 0 included. */
export function headerBytes(segments: number): number {
  return EHDR_BYTES + segments * PHDR_BYTES + (segments >= PN_XNUM ? SHDR_BYTES : 0);
}

/** File header, program headers and, where the number of them needs it, section header 0. */
export function encodeHeaders(segments: readonly Segment[]): Uint8Array {
  const bytes = new Uint8Array(headerBytes(segments.length));
  const view = new DataView(bytes.buffer);
  const many = segments.length >= PN_XNUM;
  const sections = EHDR_BYTES + segments.length * PHDR_BYTES;
  // \x7fELF, ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ELFOSABI_NONE.
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]);
  view.setUint16(16, ET_CORE, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, BigInt(EHDR_BYTES), true);
  view.setBigUint64(40, BigInt(many ? sections : 0), true);
  view.setUint16(52, EHDR_BYTES, true);
  view.setUint16(54, PHDR_BYTES, true);
  view.setUint16(56, many ? PN_XNUM : segments.length, true);
  view.setUint16(58, many ? SHDR_BYTES : 0, true);
  view.setUint16(60, many ? 1 : 0, true);
  segments.forEach((segment, i) => encodeSegment(view, EHDR_BYTES + i * PHDR_BYTES, segment));
  if (many) {
    // As fill_extnum_info() of Linux: sh_size is the number of sections, sh_info of segments.
    view.setBigUint64(sections + 32, 1n, true);
    view.setUint32(sections + 44, segments.length, true);
  }
  return bytes;
}

function encodeSegment(view: DataView, at: number, segment: Segment): void {
  view.setUint32(at, segment.type, true);
  view.setUint32(at + 4, segment.flags, true);
  view.setBigUint64(at + 8, BigInt(segment.offset), true);
  view.setBigUint64(at + 16, segment.vaddr, true);
  view.setBigUint64(at + 24, segment.paddr, true);
  view.setBigUint64(at + 32, BigInt(segment.size), true);
  view.setBigUint64(at + 40, BigInt(segment.size), true);
  view.setBigUint64(at + 48, BigInt(segment.align), true);
}

/** One ELF note: name and text, each padded to 4 bytes, type 0 as VMCOREINFO has it. */
export function encodeNote(name: string, text: string): Uint8Array {
  const encoder = new TextEncoder();
  const owner = encoder.encode(name + "\0"), content = encoder.encode(text);
  const contentAt = 12 + Math.ceil(owner.length / 4) * 4;
  const bytes = new Uint8Array(contentAt + Math.ceil(content.length / 4) * 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, owner.length, true);
  view.setUint32(4, content.length, true);
  bytes.set(owner, 12);
  bytes.set(content, contentAt);
  return bytes;
}
