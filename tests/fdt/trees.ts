/** Random trees, and what a reader should find in them. */
import fc from "fast-check";
import type { Fdt } from "../../src/fdt/mod.ts";
import { begin, type Call, end, prop } from "./calls.ts";

export interface Tree {
  readonly name: string;
  readonly props: readonly { readonly name: string; readonly value: Uint8Array }[];
  readonly children: readonly Tree[];
}

/** Few letters, so that names often are equal or suffixes of each other. */
export const shortName: fc.Arbitrary<string> = fc.string({
  unit: fc.constantFrom("a", "b", "-"),
  minLength: 1,
  maxLength: 6,
});

/** Any bytes a name can have. */
const anyName: fc.Arbitrary<string> = fc.string({
  unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 12,
});

const name = fc.oneof({ weight: 4, arbitrary: shortName }, anyName);

const property = fc.record(
  { name, value: fc.uint8Array({ maxLength: 40 }) },
  { noNullPrototype: true },
);

const props = fc.array(property, { maxLength: 5 });

const { node } = fc.letrec<{ node: Tree }>((tie) => ({
  node: fc.record({
    name,
    props,
    children: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constant([]),
      fc.array(tie("node"), { maxLength: 4 }),
    ),
  }, { noNullPrototype: true }),
}));

export const tree: fc.Arbitrary<Tree> = node.map((root) => ({ ...root, name: "" }));

export function callsOf(tree: Tree): Call[] {
  return [
    begin(tree.name),
    ...tree.props.map(({ name, value }) => prop(name, value)),
    ...tree.children.flatMap(callsOf),
    end,
  ];
}

/** Everything the reader says, in the same form. */
export function treeOf(fdt: Fdt, node = fdt.root): Tree {
  return {
    name: fdt.name(node),
    props: [...fdt.props(node)].map(({ name, value }) => ({ name, value: value.slice() })),
    children: fdt.subnodes(node).map((child) => treeOf(fdt, child)),
  };
}
