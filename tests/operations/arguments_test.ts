/** Command lines read by the arguments of the operations, and what is said of wrong ones. */

import assert from "node:assert/strict";
import { argumentsOf, parseArguments, usage, words } from "../../src/operations/arguments.ts";
import { OPERATIONS } from "../../src/operations/table.ts";

function parse(line: string) {
  const [name, ...rest] = words(line);
  return parseArguments(OPERATIONS.get(name)!, rest);
}

const RIGHT: [line: string, given: Record<string, unknown>, args?: Record<string, unknown>][] = [
  ["vm.start", {}],
  ["vm.kill vm0", { vm: "vm0" }],
  ["vm.kill vm=vm0", { vm: "vm0" }],
  ["run 400ms", { for: "400ms" }, { for: 400e6 }],
  ["update rfc-v1+D55 pause", { image: "rfc-v1+D55", hold: "pause" }],
  ["update hold=pause rfc-v1", { hold: "pause", image: "rfc-v1" }],
  ["guestmemfs.create a 4MiB", { file: "a", size: "4MiB" }, { file: "a", size: 4194304 }],
  ["iommufd.open x on", { as: "x", persistent: true }],
  ["iommufd.map x memfd size=4KiB iova=0x1000", {
    fd: "x",
    memory: "memfd",
    size: "4KiB",
    iova: "0x1000",
  }, { fd: "x", memory: "memfd", by: "address", size: 4096, iova: 4096 }],
  ["fault.arm alloc_page nth=3", { point: "alloc_page", nth: "3" }, {
    point: "alloc_page",
    nth: 3,
  }],
  ['file.write /a "two words"', { path: "/a", text: "two words" }],
];

for (const [line, given, args] of RIGHT) {
  Deno.test(`${line} is read`, () => {
    const parsed = parse(line);
    assert.ok("given" in parsed, JSON.stringify(parsed));
    assert.deepEqual(parsed.given, given);
    if (args !== undefined) assert.deepEqual(parsed.args, args);
  });
}

const WRONG: [line: string, wrong: RegExp][] = [
  ["vm.kill", /^vm is missing: vm\.kill vm=VM$/],
  ["vm.kill a b", /^found "b", vm\.kill takes 1 at most$/],
  ["check now", /^found "now", check takes no argument$/],
  ["vm.kill wm=vm0", /^vm\.kill has no argument "wm", did you mean vm\?$/],
  ["run 400", /^for: found "400", expected a duration such as 200us/],
  ["update hold=prepair", /^hold: found "prepair", expected one of prepare, pause, did you mean/],
  ["vm.kill vm=a vm=b", /^vm is there twice$/],
  ["iommufd.open x maybe", /^persistent: found "maybe", expected true or false$/],
  ["guestmemfs.create a 5KiB", /^size: found "5KiB", expected a size that is a multiple/],
  ["fault.arm alloc_paeg", /^point: found "alloc_paeg", expected a fault point: alloc_page/],
  ["fault.arm program:", /^point: found "program:", expected a fault point/],
  ["file.read etc", /^path: found "etc", expected a path/],
];

for (const [line, wrong] of WRONG) {
  Deno.test(`${line} is refused with what is wrong`, () => {
    const parsed = parse(line);
    assert.match("wrong" in parsed ? parsed.wrong : JSON.stringify(parsed), wrong);
  });
}

Deno.test("every operation says what it does, and so does each of its arguments", () => {
  for (const operation of OPERATIONS.values()) {
    assert.match(operation.summary, /^[a-z].{8,}[^.]$/, operation.name);
    for (const argument of argumentsOf(operation)) {
      assert.ok(argument.description.length > 2, `${operation.name} ${argument.name}`);
    }
    assert.ok(usage(operation).startsWith(operation.name));
  }
});

Deno.test("blanks part words, quotes keep them together", () => {
  assert.deepEqual(words('  a  b=c "d e" f="g h" "i\\"j" "open e'), [
    "a",
    "b=c",
    "d e",
    "f=g h",
    'i"j',
    "open e",
  ]);
  assert.deepEqual(words(""), []);
});
