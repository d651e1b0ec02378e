/** One visible line of a tree that can be walked: a directory, a file, an object, a property. */
export interface TreeNode {
  /** Stays the same from look to look, and is unlike every other line's. */
  readonly key: string;
  /** Levels below the top, from 0. */
  readonly depth: number;
  readonly name: string;
  /** What there is to say of it, in a few words. */
  readonly detail: string;
  readonly state: "open" | "closed" | "leaf";
  /** Path in the emulated file system, where it is a file or a directory. */
  readonly path?: string;
  /** A persisted iommufd that waits to be picked up. */
  readonly persistentId?: number;
  /** A file of guestmemfs. */
  readonly memoryFile?: string;
  /** Longer text, for whoever wants to see all of it. */
  readonly text?: string;
}

/** Collects the lines of trees, leaving out what lies below closed branches. */
export class TreeLines {
  readonly lines: TreeNode[] = [];

  /** `toggled`: keys of branches that are not as they are at first. */
  constructor(readonly toggled: ReadonlySet<string>) {}

  leaf(depth: number, key: string, name: string, detail = "", more: Partial<TreeNode> = {}): void {
    this.lines.push({ key, depth, name, detail, state: "leaf", ...more });
  }

  /** A line with others below it, which are asked for only while it is open. */
  branch(
    depth: number,
    key: string,
    name: string,
    detail: string,
    below: () => void,
    more: Partial<TreeNode> & { readonly shut?: boolean } = {},
  ): void {
    const { shut = false, ...rest } = more;
    const open = this.toggled.has(key) === shut;
    this.lines.push({ key, depth, name, detail, state: open ? "open" : "closed", ...rest });
    if (open) below();
  }
}
