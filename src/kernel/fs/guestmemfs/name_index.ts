import { hashName, type PersistedInode } from "./layout.ts";

/**
 * Where the names of the directory are. Made at the mount, for this kernel only: what it says is
 * compared with the name in memory before it is believed.
 */
export class NameIndex {
  /** Inode numbers by the hash of their names. */
  readonly #inos = new Map<number, number[]>();
  readonly #hashes = new Map<number, number>();

  /** `inodes`: those of the directory, in the order of its list. */
  constructor(inodes: Iterable<PersistedInode>) {
    for (const inode of inodes) this.#bucketFor(inode).push(inode.ino);
  }

  /** Numbers of the inodes that may be called so, in the order of the list. */
  candidates(name: Int32Array): readonly number[] {
    return this.#inos.get(hashName((i) => name[i])) ?? [];
  }

  /** The directory's list begins with it now. */
  add(inode: PersistedInode): void {
    this.#bucketFor(inode).unshift(inode.ino);
  }

  remove(ino: number): void {
    const bucket = this.#inos.get(this.#hashes.get(ino) ?? 0);
    if (bucket?.includes(ino)) bucket.splice(bucket.indexOf(ino), 1);
    this.#hashes.delete(ino);
  }

  #bucketFor({ ino, nameHash }: PersistedInode): number[] {
    this.#hashes.set(ino, nameHash);
    let bucket = this.#inos.get(nameHash);
    if (bucket === undefined) this.#inos.set(nameHash, bucket = []);
    return bucket;
  }
}
