/**
 * What a tree is written in before its size is known. The memory of the last writer serves the
 * next one: memory that is touched for the first time costs more than all that is written to it.
 * What the writer before left there is still in it.
 */
export class Workspace {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  /** Where in the tree the name offsets are that are not known before its end. */
  nameFields: Int32Array<ArrayBuffer>;

  constructor(bytes: number, nameFields: number) {
    this.bytes = new Uint8Array(bytes);
    this.view = new DataView(this.bytes.buffer);
    this.nameFields = new Int32Array(nameFields);
  }

  /** Room for so many bytes, with what is in the first `used` of them. */
  growBytes(used: number, bytes: number): void {
    const larger = new Uint8Array(Math.max(bytes, 2 * this.bytes.length));
    larger.set(this.bytes.subarray(0, used));
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
  }

  growNameFields(): void {
    const larger = new Int32Array(2 * this.nameFields.length);
    larger.set(this.nameFields);
    this.nameFields = larger;
  }
}

/** A larger one is not kept. */
const KEPT_BYTES = 1 << 24;

let spare: Workspace | undefined;

export function takeWorkspace(): Workspace {
  const workspace = spare ?? new Workspace(1 << 16, 1 << 12);
  spare = undefined;
  return workspace;
}

/** For the next who takes one; nobody may touch it any more. */
export function giveBackWorkspace(workspace: Workspace): void {
  if (workspace.bytes.length <= KEPT_BYTES) spare = workspace;
}
