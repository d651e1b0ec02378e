/** Blobs that nobody honest would make: each is refused with an FdtError, or read safely. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { FdtError, FdtWriter, openFdt, printDts } from "../../src/fdt/mod.ts";
import { perform } from "./calls.ts";
import { callsOf, tree, treeOf } from "./trees.ts";

/** Struct at 0x40: root, "a" with a 4-byte property at 0x50, two ends, the end token at 0x68. */
function sample(): DataView {
  const writer = new FdtWriter(4096);
  writer.beginNode("");
  writer.beginNode("a");
  writer.propU32("name", 1);
  writer.endNode();
  writer.endNode();
  return new DataView(writer.finish().buffer);
}

const words = (...changes: [offset: number, value: number][]) => (view: DataView) => {
  for (const [offset, value] of changes) view.setUint32(offset, value);
};

const MALFORMED: Record<string, [offset: number, message: RegExp, change: (v: DataView) => void]> =
  {
    "a wrong magic": [0, /not a device tree blob/, words([0, 0x7f454c46])],
    "a total size beyond the file": [4, /total size is 4096/, words([4, 4096])],
    "a total size smaller than the header": [4, /total size is 39/, words([4, 39])],
    "an old version": [20, /version 16 is too old/, words([20, 16])],
    "a version that is not compatible": [24, /compatible down to 18/, words([20, 18], [24, 18])],
    "a structure in the header": [8, /inside the header/, words([8, 36])],
    "a structure that is not aligned": [8, /not a multiple of 4/, words([8, 0x42])],
    "a structure past the end": [8, /past the end/, words([8, 0x1000])],
    "a structure size that overflows": [8, /past the end/, words([36, 0xffff_ffff])],
    "strings past the end": [12, /past the end/, words([32, 6])],
    "strings over the structure": [12, /overlaps the structure/, words([12, 0x60])],
    "a reserve map that is not aligned": [16, /not a multiple of 8/, words([16, 0x34])],
    "a reserve map over the structure": [16, /no end/, words([0x3c, 1])],
    "a reserve map past the end": [16, /no end/, words([16, 0xffff_fff0])],
    "an unknown token": [0x48, /unknown token 0x5/, words([0x48, 5])],
    "a root with a name": [0x44, /root node has a name/, words([0x44, 0x61000000])],
    "a property outside": [0x40, /outside of any node/, words([0x40, 3], [0x44, 0], [0x48, 0])],
    "a property longer than its block": [0x54, /runs past its block/, words([0x54, 0x100])],
    "a property length that overflows": [0x54, /runs past its block/, words([0x54, 0xffff_ffff])],
    "a name offset outside the strings": [0x58, /name offset 5/, words([0x58, 5])],
    "a property name without end": [
      0x6c,
      /property name has no end/,
      (v) => v.setUint8(0x70, 0x61),
    ],
    "a second root": [
      0x64,
      /a second root/,
      words([0x48, 4], [0x4c, 4], [0x50, 4], [0x54, 4], [0x58, 4], [0x5c, 4], [0x60, 2], [0x64, 1]),
    ],
    "one end too many": [0x64, /none is open/, words([0x5c, 2], [0x54, 0])],
    "a node left open": [0x68, /1 nodes open/, words([0x60, 4])],
    "no end token": [0x6c, /without an end token/, words([0x68, 4])],
    "an end token too early": [
      0x68,
      /4 bytes behind the end/,
      words([0x64, 9], [0x60, 2], [0x5c, 2], [
        0x54,
        0,
      ]),
    ],
    "no root": [0x40, /no root/, words([0x40, 9], [36, 4], [12, 0x6c])],
  };

Deno.test("every malformed blob is refused with its place and reason", async (t) => {
  for (const [name, [offset, message, change]] of Object.entries(MALFORMED)) {
    await t.step(name, () => {
      const view = sample();
      change(view);
      assert.throws(() => openFdt(new Uint8Array(view.buffer)), (error) => {
        assert(error instanceof FdtError, `${error}`);
        assert.match(error.message, message);
        assert.equal(error.offset, offset, error.message);
        return true;
      });
    });
  }
});

const blob = tree.map((tree) => {
  const writer = new FdtWriter(1 << 20);
  for (const call of callsOf(tree)) assert.equal(perform(writer, call), 0);
  return writer.finish();
});

/** Opens and, if that works, reads everything. Anything but an FdtError is a failure. */
function readAll(bytes: Uint8Array): void {
  for (const lenient of [false, true]) {
    try {
      const fdt = openFdt(bytes, { lenient });
      treeOf(fdt);
      assert.match(printDts(fdt), /^[\t\n -~]*$/);
    } catch (error) {
      assert(error instanceof FdtError, `${error}`);
      assert(error.offset >= 0 && error.offset <= bytes.length, `${error.offset}`);
    }
  }
}

Deno.test("a truncated blob is refused", () => {
  fc.assert(fc.property(blob, fc.nat(), (blob, cut) => {
    const bytes = blob.subarray(0, cut % blob.length);
    assert.throws(() => openFdt(bytes), FdtError);
  }));
});

Deno.test("a blob with changed bytes is read or refused, and nothing else happens", () => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(blob, changes, (blob, changes) => {
      for (const [at, byte] of changes) blob[at % blob.length] = byte;
      readAll(blob);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("a structure block of random tokens is read or refused", () => {
  const token = fc.constantFrom(1, 1, 2, 2, 3, 4, 9, 0, 0, 0x61000000, 5);
  fc.assert(
    fc.property(fc.array(token, { maxLength: 40 }), (tokens) => {
      const size = 4 * tokens.length;
      const view = new DataView(new ArrayBuffer(0x40 + size + 2));
      words(
        [0, 0xd00dfeed],
        [4, view.byteLength],
        [8, 0x40],
        [12, 0x40 + size],
        [16, 0x30],
        [20, 17],
        [24, 16],
        [32, 2],
        [36, size],
      )(view);
      tokens.forEach((token, i) => view.setUint32(0x40 + 4 * i, token));
      readAll(new Uint8Array(view.buffer));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("nodes may be nested 64 deep, and not deeper", () => {
  const nested = (depth: number) => {
    const writer = new FdtWriter(1 << 20);
    for (let i = 0; i < depth; i++) writer.beginNode(i === 0 ? "" : "x");
    for (let i = 0; i < depth; i++) writer.endNode();
    return writer.finish();
  };
  printDts(openFdt(nested(64)));
  assert.throws(() => openFdt(nested(65)), /nested more than 64 deep/);
});

Deno.test("many names in one long string do not make reading slow", () => {
  // Each property's name starts one byte further into a string of a million bytes.
  const count = 100_000;
  const structAt = 0x40, structSize = 8 + 12 * count + 8;
  const view = new DataView(new ArrayBuffer(structAt + structSize + 1_000_000));
  new Uint8Array(view.buffer).fill(0x61, structAt + structSize);
  view.setUint8(view.byteLength - 1, 0);
  words(
    [0, 0xd00dfeed],
    [4, view.byteLength],
    [8, structAt],
    [12, structAt + structSize],
    [16, 0x30],
    [20, 17],
    [24, 16],
    [32, 1_000_000],
    [36, structSize],
    [structAt, 1],
    [structAt + structSize - 8, 2],
    [structAt + structSize - 4, 9],
  )(view);
  for (let i = 0; i < count; i++) {
    const at = structAt + 8 + 12 * i;
    words([at, 3], [at + 4, 0], [at + 8, i])(view);
  }
  assert.throws(() => openFdt(new Uint8Array(view.buffer)), /more than 255 bytes/);
});
