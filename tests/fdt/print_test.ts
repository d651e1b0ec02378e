import assert from "node:assert/strict";
import fc from "fast-check";
import { FdtWriter, openFdt, printDts } from "../../src/fdt/mod.ts";

function rootWith(name: string, value: string | Uint8Array) {
  const writer = new FdtWriter(1 << 20);
  writer.beginNode("");
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  writer.property(name, bytes);
  writer.endNode();
  return openFdt(writer.finish());
}

/** The one property's line. */
function line(value: string | Uint8Array, maxValueBytes?: number): string {
  const options = maxValueBytes === undefined ? {} : { maxValueBytes };
  return printDts(rootWith("x", value), undefined, options).split("\n")[3]?.trim() ?? "";
}

Deno.test("text, cells and bytes are told apart", () => {
  assert.equal(line("kho-v1\0"), 'x = "kho-v1";');
  assert.equal(line("a\0b\0"), 'x = "a\\0b";');
  assert.equal(line('quote" back\\slash\ttab\0'), 'x = "quote\\" back\\\\slash\\ttab";');
  assert.equal(line(Uint8Array.of(0, 0, 0, 1, 0xff, 0, 0, 0)), "x = <0x01 0xff000000>;");
  assert.equal(line(Uint8Array.of(1, 2, 0xab)), "x = [01 02 ab];");
  assert.equal(line("\0"), "x = [00];");
  assert.equal(line(""), "x;");
});

Deno.test("what decode says stands behind the property as a comment", () => {
  const writer = new FdtWriter(4096);
  writer.beginNode("");
  writer.propU8("a", 1);
  writer.beginNode("n");
  writer.propU8("b", 2);
  writer.propU8("c", 3);
  writer.endNode();
  writer.endNode();
  const seen: string[] = [];
  const text = printDts(openFdt(writer.finish()), (path, name, value, sibling) => {
    seen.push(`${path} ${name} ${value[0]} ${sibling("c")?.[0]}`);
    return name === "b" ? "two" : undefined;
  });
  assert.deepEqual(seen, ["/ a 1 undefined", "/n b 2 3", "/n c 3 3"]);
  assert.equal(
    text,
    "/dts-v1/;\n\n/ {\n\ta = [01];\n\n\tn {\n\t\tb = [02]; /* two */\n\t\tc = [03];\n\t};\n};\n",
  );
});

Deno.test("long values are cut only when asked for", () => {
  const zeros = (text: string) => text.split("0x00").length - 1;
  assert.equal(zeros(line(new Uint8Array(4000))), 1000);
  assert.equal(line(new Uint8Array(4000), 9), "x = <0x00 0x00 /* 3992 more bytes */>;");
  assert.equal(line(new Uint8Array(9).fill(7), 4), "x = [07 07 07 07 /* 5 more bytes */];");
  assert.equal(line("abcdefgh\0", 4), 'x = "abcd" /* 5 more bytes */;');
  assert.equal(line("abcdefgh\0", 9), 'x = "abcdefgh";');
});

Deno.test("neither names nor values nor comments reach the terminal as control characters", () => {
  const evil = fc.string({
    unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 30,
  });
  fc.assert(fc.property(evil, evil, evil, fc.string(), (node, name, value, comment) => {
    const writer = new FdtWriter(1 << 20);
    writer.beginNode("");
    writer.beginNode(node);
    writer.propString(name, value);
    writer.endNode();
    writer.endNode();
    const text = printDts(openFdt(writer.finish()), () => comment);
    assert.match(text, /^[\t\n -~]*$/);
    assert.equal(text.split("\n").length, 9, text);
    assert.equal(text.split("*/").length, 2, text);
  }));
});

Deno.test("a name cannot pass for syntax", () => {
  const fdt = rootWith("a; }; \x1b]0;title\x07", Uint8Array.of(1));
  assert.match(printDts(fdt), /\ta\\x3b\\x20\\x7d\\x3b\\x20\\x1b\\x5d0\\x3btitle\\x07 = \[01\];\n/);
});
