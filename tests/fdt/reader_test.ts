import assert from "node:assert/strict";
import fc from "fast-check";
import { type Fdt, FdtWriter, nativeU32, openFdt } from "../../src/fdt/mod.ts";
import { begin, type Call, end, perform, prop } from "./calls.ts";
import { callsOf, shortName, tree, treeOf } from "./trees.ts";

function blobOf(calls: readonly Call[]): Uint8Array {
  const writer = new FdtWriter(1 << 20);
  for (const call of calls) assert.equal(perform(writer, call), 0);
  return writer.finish();
}

const open = (calls: readonly Call[]): Fdt => openFdt(blobOf(calls));

Deno.test("a tree that was written is read back equal", () => {
  fc.assert(fc.property(tree, (tree) => {
    assert.deepEqual(treeOf(open(callsOf(tree))), tree);
  }));
});

Deno.test("names that are suffixes of each other keep their values apart", () => {
  fc.assert(fc.property(fc.uniqueArray(shortName, { minLength: 1, maxLength: 30 }), (names) => {
    const calls = names.map((name) => prop(name, name));
    const fdt = open([begin(""), ...calls, begin("again"), ...calls, end, end]);
    for (const node of [fdt.root, fdt.path("/again")]) {
      for (const name of names) {
        assert.deepEqual(fdt.getprop(node, name), Uint8Array.from(name, (c) => c.charCodeAt(0)));
      }
      assert.equal(fdt.getprop(node, "absent"), undefined);
    }
  }));
});

Deno.test("a name is found whichever copy of its text a property refers to", () => {
  // "mem" is stored on its own first, then found at the end of "xmem".
  const fdt = open([
    begin(""),
    prop("mem", "1"),
    prop("xmem"),
    begin("a"),
    prop("mem", "2"),
    end,
    end,
  ]);
  const a = fdt.path("/a");
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(fdt.getprop(fdt.root, "mem"), Uint8Array.of(0x31));
    assert.deepEqual(fdt.getprop(a, "mem"), Uint8Array.of(0x32));
  }
});

Deno.test("paths lead to nodes, and -1 says there is none", () => {
  const fdt = open([begin(""), begin("a"), begin("b"), end, end, begin("c"), end, end]);
  assert.equal(fdt.path("/"), fdt.root);
  assert.equal(fdt.name(fdt.path("/a/b")), "b");
  assert.equal(fdt.path("/a/b/"), fdt.path("/a/b"));
  assert.equal(fdt.path("/b"), -1);
  assert.equal(fdt.path("/a/b/c"), -1);
  assert.equal(fdt.path("a"), -1);
  assert.equal(fdt.path(""), -1);
  assert.deepEqual(fdt.subnodes(fdt.root), [fdt.path("/a"), fdt.path("/c")]);
  assert.deepEqual(fdt.subnodes(fdt.path("/c")), []);
});

Deno.test("a name without unit address finds the first node that has one", () => {
  const fdt = open([begin(""), begin("cpu@1"), end, begin("cpu"), end, begin("cpu@2"), end, end]);
  assert.equal(fdt.name(fdt.path("/cpu")), "cpu@1");
  assert.equal(fdt.name(fdt.path("/cpu@2")), "cpu@2");
  assert.equal(fdt.path("/cpu@"), -1);
});

Deno.test("among many children too, a name finds the first that libfdt would take", () => {
  const name = fc.oneof(
    fc.string({ unit: fc.constantFrom("a", "b", "@"), maxLength: 4 }),
    shortName.map((name) => `${name}@${name}`),
  );
  const children = fc.uniqueArray(name, { minLength: 1, maxLength: 60, size: "max" });
  fc.assert(fc.property(children, fc.array(name), (names, absent) => {
    // Some come twice, with some unit address or without.
    const all = [...names, ...names.map((n) => `${n}@1`), ...names.slice(0, 5)];
    const fdt = open([begin(""), ...all.flatMap((n) => [begin(n), end]), end]);
    const nodes = fdt.subnodes(fdt.root);
    for (const wanted of [...all, ...absent]) {
      const found = all.findIndex((n) =>
        n === wanted || (!wanted.includes("@") && n.startsWith(`${wanted}@`))
      );
      assert.equal(fdt.subnode(fdt.root, wanted), nodes[found] ?? -1, wanted);
    }
  }));
});

Deno.test("nodes and properties can be gone through one by one", () => {
  fc.assert(fc.property(tree, (tree) => {
    const fdt = open(callsOf(tree));
    const visit = (node: number, { props, children }: typeof tree) => {
      let prop = fdt.firstProp(node);
      for (const { name, value } of props) {
        assert.equal(fdt.propName(prop), name);
        assert.deepEqual(fdt.propValue(prop), value);
        if (value.length >= 4) assert.equal(fdt.propU32(prop), nativeU32(value));
        else assert.throws(() => fdt.propU32(prop), RangeError);
        prop = fdt.nextProp(prop);
      }
      assert.equal(prop, -1);
      let child = fdt.firstSubnode(node);
      for (const below of children) {
        visit(child, below);
        child = fdt.nextSubnode(child);
      }
      assert.equal(child, -1);
    };
    visit(fdt.root, tree);
  }));
});

Deno.test("what was taken out of a tree and left as NOPs is passed by", () => {
  const NAMES = ["a", "b", "c"];
  const children = [
    begin("x"),
    ...NAMES.map((name) => prop(name, `x${name}`)),
    end,
    begin("y"),
    end,
  ];
  const whole = blobOf([begin(""), ...NAMES.map((name) => prop(name, name)), ...children, end]);
  for (let mask = 0; mask < 8; mask++) {
    const blob = whole.slice(), view = new DataView(blob.buffer), written = openFdt(whole);
    const isLeft = (_: string, i: number) => (mask >> i & 1) === 0;
    const x = written.path("/x"), structAt = view.getUint32(8);
    for (const node of [written.root, x]) {
      NAMES.forEach((name, i) => {
        // A token, a length, a name and a word of value.
        const at = structAt + written.findProp(node, name);
        for (let word = 0; !isLeft(name, i) && word < 4; word++) view.setUint32(at + word * 4, 4);
      });
    }
    const fdt = openFdt(blob), left = NAMES.filter(isLeft);
    assert.deepEqual(fdt.subnodes(fdt.root), written.subnodes(written.root));
    for (const [node, prefix] of [[fdt.root, ""], [x, "x"]] as const) {
      assert.deepEqual([...fdt.props(node)].map(({ name }) => name), left);
      for (const [i, name] of NAMES.entries()) {
        const value = isLeft(name, i)
          ? Uint8Array.from(prefix + name, (c) => c.charCodeAt(0))
          : undefined;
        assert.deepEqual(fdt.getprop(node, name), value);
      }
    }
  }
});

Deno.test("properties are found by handles, which a node's or any other number is not", () => {
  const fdt = open([begin(""), prop("x", "1234"), prop("y", "5"), begin("a"), end, end]);
  const y = fdt.findProp(fdt.root, "y");
  assert.equal(fdt.nextProp(fdt.firstProp(fdt.root)), y);
  assert.equal(fdt.propName(y), "y");
  assert.equal(fdt.findProp(fdt.root, "z"), -1);
  for (const wrong of [-1, 0, y + 4, 1000, 2 ** 32, 0.5, NaN]) {
    assert.throws(() => fdt.propValue(wrong), RangeError, `${wrong}`);
  }
});

Deno.test("of two equal names the first one counts", () => {
  const fdt = open([
    begin(""),
    prop("x", "1"),
    prop("x", "2"),
    begin("a"),
    prop("here"),
    end,
    begin("a"),
    end,
    end,
  ]);
  assert.deepEqual(fdt.getprop(fdt.root, "x"), Uint8Array.of(0x31));
  assert.notEqual(fdt.getprop(fdt.path("/a"), "here"), undefined);
});

Deno.test("a number that is not a node is refused", () => {
  const fdt = open([begin(""), begin("abcdefgh"), end, end]);
  for (const node of [-1, 1, 4, 12, 1000, 2 ** 32, 0.5, NaN]) {
    assert.throws(() => fdt.name(node), RangeError, `${node}`);
  }
});

Deno.test("reservations are read back exactly", () => {
  const writer = new FdtWriter(4096);
  writer.memReserve(0x1000, 0x2000);
  writer.memReserve(0xffff_ffff_ffff_f000n, 1n);
  writer.beginNode("");
  writer.endNode();
  assert.deepEqual(openFdt(writer.finish()).memReserve, [
    { address: 0x1000n, size: 0x2000n },
    { address: 0xffff_ffff_ffff_f000n, size: 1n },
  ]);
});

Deno.test("a blob may lie anywhere in a buffer, with anything behind it", () => {
  const blob = blobOf([begin(""), prop("x", "yz"), end]);
  const buffer = new Uint8Array(blob.length + 20).fill(0xaa);
  buffer.set(blob, 3);
  const fdt = openFdt(buffer.subarray(3));
  assert.equal(fdt.totalSize, blob.length);
  assert.deepEqual(fdt.getprop(fdt.root, "x"), Uint8Array.of(0x79, 0x7a));
});

Deno.test("an unbalanced tree is read only when asked for, and then as libfdt reads it", async (t) => {
  const cases: Record<string, { calls: Call[]; seen: Call[] }> = {
    "nodes left open": {
      calls: [begin(""), prop("x"), begin("a"), begin("b"), end],
      seen: [begin(""), prop("x"), begin("a"), begin("b"), end, end, end],
    },
    "a node closed once too often": {
      calls: [begin(""), begin("a"), end, end, begin("lost"), end, end, end],
      seen: [begin(""), begin("a"), end, end],
    },
    "a property behind a subnode": {
      calls: [begin(""), prop("x"), begin("a"), end, prop("lost"), begin("b"), end, end],
      seen: [begin(""), prop("x"), begin("a"), end, begin("b"), end, end],
    },
  };
  for (const [name, { calls, seen }] of Object.entries(cases)) {
    await t.step(name, () => {
      const blob = blobOf(calls);
      assert.throws(() => openFdt(blob), { name: "FdtError" });
      assert.deepEqual(treeOf(openFdt(blob, { lenient: true })), treeOf(open(seen)));
    });
  }
});
