import assert from "node:assert/strict";
import {
  FDT_ERR_BADSTATE,
  FDT_ERR_NOSPACE,
  FdtWriteError,
  FdtWriter,
  openFdt,
} from "../../src/fdt/mod.ts";

/** Made by libfdt 1.6.1 from the calls of the first test. */
const GOLDEN = "d00dfeed000000b400000040000000a0000000300000001100000010000000000000001400000060" +
  "00000000000000000000000000000000000000000000000000000001000000000000000300000007" +
  "000000096b686f2d7631000000000001610000000000000300000004000000050700000000000003" +
  "00000008000000000010000000000000000000030000000000000001000000020000000200000009" +
  "786d656d006d656d00636f6d70617469626c6500";

function golden(maxBytes: number): FdtWriter {
  const writer = new FdtWriter(maxBytes);
  writer.beginNode("");
  writer.propString("compatible", "kho-v1");
  writer.beginNode("a");
  writer.propU32("mem", 7);
  writer.propU64("xmem", 0x1000);
  writer.propFlag("mem");
  writer.endNode();
  writer.endNode();
  return writer;
}

Deno.test("the writer makes the golden blob of libfdt", () => {
  assert.equal(golden(4096).finish().toHex(), GOLDEN);
});

Deno.test("a blob may fill its room to the last byte, and not one more", () => {
  const size = GOLDEN.length / 2;
  assert.equal(golden(size).finish().toHex(), GOLDEN);
  assert.equal(golden(size - 1).tryFinish(), -FDT_ERR_NOSPACE);
  assert.throws(
    () => golden(size - 1).finish(),
    (error) => error instanceof FdtWriteError && error.code === -FDT_ERR_NOSPACE,
  );
});

Deno.test("values of any size lie side by side", () => {
  const writer = new FdtWriter(1 << 20);
  const sizes = [10, 65_500, 3, 200_000, 65_536, 0, 70_000];
  writer.beginNode("");
  for (const size of sizes) writer.property(`of-${size}`, new Uint8Array(size).fill(size));
  writer.endNode();
  const fdt = openFdt(writer.finish());
  const found = [...fdt.props(fdt.root)];
  assert.deepEqual(found.map(({ name }) => name), sizes.map((size) => `of-${size}`));
  for (const [i, { value }] of found.entries()) {
    assert.equal(value.length, sizes[i]);
    assert.ok(value.every((byte) => byte === (sizes[i]! & 255)));
  }
});

Deno.test("a tree does not contain what was in the memory of the one before", () => {
  const writer = new FdtWriter(1 << 20);
  writer.memReserve(2 ** 52, 2 ** 52);
  writer.beginNode("");
  writer.property("full", new Uint8Array(100_000).fill(0xff));
  writer.endNode();
  writer.finish();
  assert.equal(golden(4096).finish().toHex(), GOLDEN);
});

Deno.test("trees that are written at the same time do not meet", () => {
  const writers = [new FdtWriter(1 << 20), new FdtWriter(1 << 20)];
  for (const [i, writer] of writers.entries()) {
    writer.beginNode("");
    writer.propU32(`name-${i}`, i);
  }
  const before = golden(4096).finish();
  const blobs = writers.map((writer) => (writer.endNode(), writer.finish()));
  assert.equal(before.toHex(), GOLDEN);
  for (const [i, blob] of blobs.entries()) {
    const fdt = openFdt(blob);
    assert.deepEqual([...fdt.props(fdt.root)], [{
      name: `name-${i}`,
      value: Uint8Array.of(i, 0, 0, 0),
    }]);
  }
});

Deno.test("names that come in another order than before are told apart", () => {
  const names = ["a", "b", "a", "c", "a", "b", "b", "a", "c", "c", "cc", "a", "b"];
  const writer = new FdtWriter(1 << 20);
  writer.beginNode("");
  for (const [i, name] of names.entries()) writer.propU8(name, i);
  writer.endNode();
  const fdt = openFdt(writer.finish());
  assert.deepEqual([...fdt.props(fdt.root)].map(({ name }) => name), names);
});

Deno.test("a call without room changes nothing, and a smaller one may still succeed", () => {
  const writer = new FdtWriter(128);
  assert.equal(writer.beginNode(""), 0);
  assert.equal(writer.property("big", new Uint8Array(100)), -FDT_ERR_NOSPACE);
  assert.equal(writer.propU8("s", 1), 0);
  assert.equal(writer.endNode(), 0);
  const fdt = openFdt(writer.finish());
  assert.deepEqual([...fdt.props(fdt.root)], [{ name: "s", value: Uint8Array.of(1) }]);
});

Deno.test("with no room for a header every call says so", () => {
  const writer = new FdtWriter(0);
  assert.equal(writer.memReserve(0, 1), -FDT_ERR_NOSPACE);
  assert.equal(writer.beginNode(""), -FDT_ERR_NOSPACE);
  assert.throws(() => writer.beginNode("a\0"), RangeError);
  assert.equal(writer.propFlag("x"), -FDT_ERR_NOSPACE);
  assert.equal(writer.endNode(), -FDT_ERR_NOSPACE);
  assert.equal(writer.tryFinish(), -FDT_ERR_NOSPACE);
});

Deno.test("a finished writer refuses every call", () => {
  const writer = new FdtWriter(4096);
  writer.beginNode("");
  writer.endNode();
  writer.finish();
  assert.equal(writer.memReserve(0, 1), -FDT_ERR_BADSTATE);
  assert.equal(writer.beginNode("x"), -FDT_ERR_BADSTATE);
  assert.equal(writer.propFlag("x"), -FDT_ERR_BADSTATE);
  assert.equal(writer.endNode(), -FDT_ERR_BADSTATE);
  assert.equal(writer.tryFinish(), -FDT_ERR_BADSTATE);
});

Deno.test("numbers are stored little-endian", () => {
  const writer = new FdtWriter(4096);
  writer.beginNode("");
  writer.propU8("u8", 0xfe);
  writer.propU16("u16", 0xfedc);
  writer.propU32("u32", 0xfedc_ba98);
  writer.propI32("i32", -2);
  writer.propU64("u64", Number.MAX_SAFE_INTEGER);
  writer.propU64("big", 0xfedc_ba98_7654_3210n);
  writer.endNode();
  const fdt = openFdt(writer.finish());
  const hex = Object.fromEntries(
    [...fdt.props(fdt.root)].map(({ name, value }) => [name, value.toHex()]),
  );
  assert.deepEqual(hex, {
    u8: "fe",
    u16: "dcfe",
    u32: "98badcfe",
    i32: "feffffff",
    u64: "ffffffffffff1f00",
    big: "1032547698badcfe",
  });
});

Deno.test("what cannot be represented is refused before anything is written", () => {
  const writer = new FdtWriter(4096);
  writer.beginNode("");
  assert.throws(() => writer.propU8("x", 256), RangeError);
  assert.throws(() => writer.propU16("x", -1), RangeError);
  assert.throws(() => writer.propU32("x", 0.5), RangeError);
  assert.throws(() => writer.propI32("x", 2 ** 31), RangeError);
  assert.throws(() => writer.propU64("x", 2 ** 53), RangeError);
  assert.throws(() => writer.propU64("x", 1n << 64n), RangeError);
  assert.throws(() => writer.propString("x", "a\0b"), RangeError);
  assert.throws(() => writer.propFlag("a\0b"), RangeError);
  assert.throws(() => writer.propFlag("\u20ac"), RangeError);
  assert.throws(() => writer.beginNode("x".repeat(256)), RangeError);
  assert.throws(() => writer.beginNode("node\0"), RangeError);
  assert.throws(() => writer.beginNode("node\u20ac"), RangeError);
  assert.throws(() => new FdtWriter(-1), RangeError);
  writer.endNode();
  const fdt = openFdt(writer.finish());
  assert.deepEqual([...fdt.props(fdt.root)], []);
  assert.deepEqual(fdt.subnodes(fdt.root), []);
  const first = new FdtWriter(4096);
  assert.throws(() => first.beginNode("a\0"), RangeError);
  assert.equal(first.memReserve(1, 2), 0, "the reserve map is still open");
});
