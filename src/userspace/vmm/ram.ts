import { GiB } from "../../base/units.ts";
import {
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  MAP_FIXED,
  MAP_SHARED,
  O_CREAT,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
  type Sys,
} from "../../uapi/sys.ts";
import { must } from "../calls.ts";
import { MEMORY_DIR, type VmConfig } from "./config.ts";

/** A file of guestmemfs ends here (FACTS 5.2): a guest that has more has its RAM in several. */
const FILE_BYTES = GiB;

/** A part of guest RAM that is in one file. Bytes. */
interface Piece {
  readonly file: number;
  /** Where it begins in guest RAM, and in the file. */
  readonly at: number;
  readonly offset: number;
  readonly length: number;
}

/** Guest RAM: its files, one after the other, and where the VMM has them, side by side. */
export class GuestRam {
  private constructor(
    readonly files: readonly number[],
    readonly bytes: number,
    readonly address: number,
  ) {}

  /** New files of guestmemfs, or a sealed memfd. */
  static make(sys: Sys, config: VmConfig, named: boolean): GuestRam {
    const { memory } = config;
    if (named) {
      const files = open(sys, config, O_RDWR | O_CREAT);
      for (const { file, length } of piecesOf(files, memory, 0, memory)) {
        must("ftruncate guest memory", sys.ftruncate(file, length));
      }
      return GuestRam.of(sys, files, memory);
    }
    const file = must("memfd_create", sys.memfdCreate(config.name));
    must("ftruncate guest memory", sys.ftruncate(file, memory));
    // Only what keeps its size is handed over.
    must("F_ADD_SEALS", sys.addSeals(file, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW));
    return GuestRam.of(sys, [file], memory);
  }

  /** The files of guestmemfs that a VM's predecessor left. */
  static find(sys: Sys, config: VmConfig): GuestRam {
    return GuestRam.of(sys, open(sys, config, O_RDWR), config.memory);
  }

  /** Maps what is in these files. */
  static of(sys: Sys, files: readonly number[], bytes: number): GuestRam {
    const prot = PROT_READ | PROT_WRITE;
    let address: number | undefined;
    for (const { file, at, length } of piecesOf(files, bytes, 0, bytes)) {
      const flags = address === undefined ? MAP_SHARED : MAP_SHARED | MAP_FIXED;
      const to = address === undefined ? undefined : address + at;
      const mapped = must("mmap guest memory", sys.mmap(length, prot, flags, file, 0, to));
      address ??= mapped;
    }
    return new GuestRam(files, bytes, address ?? 0);
  }

  /** Takes everything back: what was mapped, and the files with their names. */
  remove(sys: Sys, config: VmConfig, named: boolean): void {
    must("munmap guest memory", sys.munmap(this.address, this.bytes));
    this.files.forEach((file, i) => {
      sys.close(file);
      if (named) must("unlink guest memory", sys.unlink(pathOf(config.name, i)));
    });
  }

  /** The parts of [at, at + length) by their files. */
  pieces(at: number, length: number): Piece[] {
    return piecesOf(this.files, this.bytes, at, length);
  }
}

function pathOf(name: string, index: number): string {
  return `${MEMORY_DIR}/${name}${index === 0 ? "" : `.${index}`}`;
}

function open(sys: Sys, { name, memory }: VmConfig, flags: number): number[] {
  return Array.from({ length: Math.ceil(memory / FILE_BYTES) }, (_, i) => {
    const path = pathOf(name, i);
    return must(path, sys.open(path, flags));
  });
}

function piecesOf(files: readonly number[], bytes: number, start: number, length: number): Piece[] {
  const each = files.length === 1 ? bytes : FILE_BYTES, pieces: Piece[] = [];
  for (let at = start; at < start + length;) {
    const offset = at % each, n = Math.min(each - offset, start + length - at);
    pieces.push({ file: files[Math.floor(at / each)], at, offset, length: n });
    at += n;
  }
  return pieces;
}
