/** Reads an ELF64 core file by the ELF specification. Knows nothing of the emulator. */

export interface Load {
  readonly offset: bigint;
  readonly vaddr: bigint;
  readonly paddr: bigint;
  readonly filesz: bigint;
  readonly memsz: bigint;
}

export class Core {
  readonly view: DataView;
  readonly loads: Load[] = [];
  /** Content of each note, by name. */
  readonly notes = new Map<string, string>();
  /** e_phnum as it stands in the header. */
  readonly phnum: number;
  /** Program headers there really are. */
  readonly segments: number;

  constructor(readonly bytes: Uint8Array) {
    const view = this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const ident = [...bytes.subarray(0, 7)].map((b) => b.toString(16)).join(" ");
    if (ident !== "7f 45 4c 46 2 1 1") throw new Error(`not ELF64 little-endian: ${ident}`);
    if (view.getUint16(16, true) !== 4) throw new Error("not a core file");
    if (view.getUint16(18, true) !== 62) throw new Error("not for x86-64");
    if (view.getUint16(54, true) !== 56) throw new Error("program headers are 56 bytes");
    const phoff = Number(view.getBigUint64(32, true));
    this.phnum = view.getUint16(56, true);
    const shoff = Number(view.getBigUint64(40, true));
    this.segments = this.phnum === 0xffff ? view.getUint32(shoff + 44, true) : this.phnum;
    for (let i = 0; i < this.segments; i++) this.#segment(phoff + i * 56);
  }

  #segment(at: number): void {
    const u64 = (offset: number) => this.view.getBigUint64(at + offset, true);
    const type = this.view.getUint32(at, true);
    const load = {
      offset: u64(8),
      vaddr: u64(16),
      paddr: u64(24),
      filesz: u64(32),
      memsz: u64(40),
    };
    if (type === 1) this.loads.push(load);
    else if (type === 4) this.#notes(Number(load.offset), Number(load.filesz));
    else throw new Error(`segment of type ${type}`);
  }

  #notes(at: number, size: number): void {
    for (const end = at + size; at < end;) {
      const namesz = this.view.getUint32(at, true), descsz = this.view.getUint32(at + 4, true);
      const descAt = at + 12 + ((namesz + 3) & ~3);
      const text = (from: number, n: number) =>
        new TextDecoder().decode(this.bytes.subarray(from, from + n));
      this.notes.set(text(at + 12, namesz - 1), text(descAt, descsz));
      at = descAt + ((descsz + 3) & ~3);
    }
  }

  /** Bytes at a physical address; undefined where the core has none (memory nobody wrote). */
  at(paddr: bigint, length: number): Uint8Array | undefined {
    const load = this.loads.find((l) => l.paddr <= paddr && paddr < l.paddr + l.filesz);
    if (load === undefined) return undefined;
    if (paddr + BigInt(length) > load.paddr + load.filesz) throw new Error("over the end");
    const from = Number(load.offset + paddr - load.paddr);
    return this.bytes.subarray(from, from + length);
  }

  u64(paddr: bigint): bigint {
    const bytes = this.at(paddr, 8);
    if (bytes === undefined) return 0n;
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  }
}
