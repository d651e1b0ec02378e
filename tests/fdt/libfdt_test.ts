/** Against libfdt and dtc themselves; ignored where they are missing. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Fdt, FdtWriter, openFdt, printDts } from "../../src/fdt/mod.ts";
import { begin, type Call, end, perform, prop, runHere, scriptOf } from "./calls.ts";
import { buildReference, hasDtc, hasLibfdt, run } from "./libfdt_tools.ts";
import { shortName } from "./trees.ts";

const libfdt = await hasLibfdt();
const dtc = await hasDtc();
const ROOMY = 4 << 20;

function thousandNodes(nameOf: (node: number, index: number) => string): Call[] {
  const calls: Call[] = [begin("")];
  for (let node = 0; node < 1000; node++) {
    calls.push(begin(`node@${node.toString(16)}`));
    for (let i = 0; i < 4; i++) calls.push(prop(nameOf(node, i), new Uint8Array(i).fill(node)));
    calls.push(end);
  }
  return [...calls, end];
}

const SEQUENCES: Record<string, Call[]> = {
  "an empty root": [begin(""), end],
  "no node at all": [],
  "reservations": [
    { call: "reserve", address: 0x1000n, size: 0x2000n },
    { call: "reserve", address: 0xffff_ffff_ffff_f000n, size: 1n },
    begin(""),
    { call: "reserve", address: 1n, size: 1n },
    end,
  ],
  "a name that is the tail of one before it": [begin(""), prop("xmem", "1"), prop("mem"), end],
  "a name that is the tail of one after it": [
    begin(""),
    prop("mem", "1"),
    prop("xmem", "22"),
    prop("mem", "333"),
    prop("ymem", "4444"),
    prop("em"),
    prop("mem"),
    end,
  ],
  "an empty property name": [begin(""), prop("", "1"), prop("x"), prop(""), end],
  "1000 nodes with the same four names": thousandNodes((_, i) => `property-${i}`),
  "1000 nodes with all names different": thousandNodes((node, i) => `p${i}-of-${node}`),
  "1000 nodes with names that end in others": thousandNodes((node, i) =>
    `${"x".repeat(node % 7)}${"y".repeat(i)}mem`
  ),
  "an unbalanced tree": [begin(""), end, end, begin("second"), prop("late", "1")],
};

Deno.test({
  name: "the writer makes the same bytes as libfdt, and the reader sees the same tree",
  ignore: !libfdt,
}, async (t) => {
  const folder = await Deno.makeTempDir();
  try {
    const reference = await buildReference(folder);
    for (const [name, calls] of Object.entries(SEQUENCES)) {
      await t.step(name, async () => {
        const [created, ...expected] = await reference(scriptOf(ROOMY, calls));
        assert.equal(created, "0");
        assert.deepEqual(runHere(ROOMY, calls), expected);
      });
    }
    await t.step("random calls in too little room, code by code", async () => {
      // All sequences go through one process: starting one each would take minutes.
      const sequences = fc.sample(sequence, { numRuns: 400, seed: 17 });
      const answers = await reference(sequences.flatMap(([max, calls]) => scriptOf(max, calls)));
      let at = 0;
      for (const [max, calls] of sequences) {
        const expected = answers.slice(at + 1, at + 2 + calls.length);
        at += calls.length + 2;
        assert.deepEqual(runHere(max, calls), expected, `in ${max} bytes: ${scriptOf(max, calls)}`);
      }
    });
    await t.step("unbalanced trees, read leniently", async () => {
      const trees = fc.sample(unbalanced, { numRuns: 1000, seed: 17 });
      const script = trees.flatMap((calls) => [...scriptOf(ROOMY, calls), "read"]);
      const answers = await reference(script);
      let at = 0;
      for (const calls of trees) {
        at += calls.length + 3;
        const blob = Uint8Array.fromHex(runHere(ROOMY, calls).at(-1) ?? "");
        const fdt = openFdt(blob, { lenient: true });
        assert.equal(outline(fdt, fdt.root), answers[at - 1], `${scriptOf(ROOMY, calls)}`);
      }
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

const call: fc.Arbitrary<Call> = fc.oneof(
  shortName.map(begin),
  fc.tuple(shortName, fc.uint8Array({ maxLength: 60 })).map(([name, value]) => prop(name, value)),
  fc.constant(end),
  fc.constant<Call>({ call: "reserve", address: 4096n, size: 4096n }),
);

const sequence = fc.tuple(
  fc.integer({ min: 0, max: 700 }),
  fc.array(call, { minLength: 1, maxLength: 30, size: "max" }),
);

/** A root, and below it calls in any order: mostly too many or too few ends. */
const unbalanced = fc.array(call.filter(({ call }) => call !== "reserve"), {
  maxLength: 20,
  size: "max",
}).map((calls) => [begin(""), ...calls]);

/** In the words of the reference program's `read`. */
function outline(fdt: Fdt, node: number): string {
  const props = [...fdt.props(node)].map(({ name, value }) => `(${name}:${value.length})`);
  const children = fdt.subnodes(node).map((child) => outline(fdt, child));
  return `{${fdt.name(node)}${props.join("")}${children.join("")}}`;
}

Deno.test({ name: "our source text is the one dtc prints", ignore: !dtc }, async () => {
  const writer = new FdtWriter(ROOMY);
  writer.memReserve(0x1000, 0xffff_ffff_ffffn);
  const values: [string, string][] = [
    ["compatible", "kho-v1\0"],
    ["list", "a\0b\0cde\0"],
    ["only-nuls", "\0\0\0\0"],
    ["more-nuls-than-text", "a\0\0\0b\0"],
    ["white-space", 'tab\tline\nquote"backslash\\\x07\b\v\f\r\0'],
    ["escape", "\x1b[1m\0"],
    ["as-many-nuls", "a\0"],
    ["latin1", "caf\xe9\0"],
    ["unterminated", "text"],
    ["cells", "\0\0\0\x01\xff\xff\xff\xff"],
    ["bytes", "\x01\x02\x03"],
    ["flag", ""],
  ];
  const calls = [
    begin(""),
    ...values.map(([name, value]) => prop(name, value)),
    begin("memory@1000"),
    prop("ytes", "\x01"),
    begin("inner"),
    end,
    end,
    begin("last"),
    end,
    end,
  ];
  for (const call of calls) assert.equal(perform(writer, call), 0);
  const blob = writer.finish();
  const printed = await run("dtc", ["-q", "-I", "dtb", "-O", "dts", "-"], blob);
  assert.equal(new TextDecoder().decode(printed?.stdout), printDts(openFdt(blob)));
});

Deno.test({ name: "dtc has no complaint about our structure", ignore: !dtc }, async () => {
  const writer = new FdtWriter(ROOMY);
  const calls = thousandNodes((node, i) => `${"x".repeat(node % 7)}${"y".repeat(i)}mem`);
  for (const call of calls) assert.equal(perform(writer, call), 0);
  const blob = writer.finish();
  // What the nodes are called is not its structure: KHO's names follow other rules.
  const names = ["-W", "no-unit_address_vs_reg", "-W", "no-simple_bus_reg"];
  const printed = await run("dtc", ["-I", "dtb", "-O", "dts", ...names, "-"], blob);
  assert.equal(printed?.stderr, "");
  assert.equal(new TextDecoder().decode(printed?.stdout), printDts(openFdt(blob)));
});

Deno.test({ name: "the reader opens what dtc compiles", ignore: !dtc }, async () => {
  const source = '/dts-v1/;\n\n/ {\n\ta = "b";\n\n\tc@1 {\n\t\td = <0x01>;\n\t};\n};\n';
  const flags = ["-q", "-I", "dts", "-O", "dtb", "-p", "100"];
  const compiled = await run("dtc", [...flags, "-"], source);
  assert.equal(compiled?.code, 0);
  assert.equal(printDts(openFdt(compiled?.stdout ?? new Uint8Array())), source);
});
