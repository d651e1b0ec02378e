import assert from "node:assert/strict";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { UsageError } from "../../src/scenario/errors.ts";
import { loadScenario } from "../../src/scenario/load.ts";

const GOOD = `version: 1
name: x
description: d
machine:
  guestmemfs: 64MiB
  devices:
    - { id: nic0, model: nic, bdf: "3a:00.0" }
  vms:
    - { id: vm0, memory: 32MiB, devices: [nic0] }
steps:
  - { do: vm.start }
`;

/** What a person gets for a text: `line:column: message`. */
function complaint(text: string): string {
  try {
    loadScenario(text, "f.yaml");
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    assert.equal(error.file, "f.yaml");
    return error.text.replace("f.yaml:", "");
  }
  return "no complaint";
}

Deno.test("every built-in scenario loads, and is called what its key says", () => {
  for (const [name, text] of BUILTIN) assert.equal(loadScenario(text, name).scenario.name, name);
  const onDisk = [...Deno.readDirSync(new URL("../../scenarios", import.meta.url))];
  assert.equal(BUILTIN.size, onDisk.filter((e) => e.name.endsWith(".yaml")).length);
});

Deno.test("sizes, durations and defaults arrive in bytes, nanoseconds and words", () => {
  const { scenario, args } = loadScenario(
    GOOD + "  - { do: run, with: { for: 1.5ms } }\n",
    "f.yaml",
  );
  assert.equal(scenario.machine.vms[0].memory, 32 * 1048576);
  assert.equal(scenario.machine.profile, "intel-legacy");
  assert.equal(scenario.kernel.image, "rfc-v1");
  assert.deepEqual(args[1], { for: 1_500_000 });
});

Deno.test("a guest whose RAM is a memfd has none of it in guestmemfs", () => {
  const text = GOOD.replace("64MiB", "2MiB").replace("32MiB,", "32MiB, backing: memfd,");
  assert.equal(complaint(text), "no complaint");
});

const COUNTED = '{ id: nic, model: nic, bdf: "3a:1f.0", count: 300 }';
const VMS = "{ id: vm, memory: 32MiB, devices: [nic], count: 5, ring: 8 }";

const WRONG: [what: string, from: string | RegExp, to: string, expected: string][] = [
  [
    "an unknown operation",
    "vm.start",
    "vm.strat",
    '11:11: do: found "vm.strat", expected one of run, check, vm.start, vm.stop, vm.kill, ' +
    "vm.unmap, vm.map, vm.crash, vm.pages, update, update.continue, update.abort, …, " +
    "did you mean vm.start?",
  ],
  [
    "an unknown key",
    "memory: 32MiB",
    "memroy: 32MiB",
    '9:18: unknown key "memroy", did you mean memory?',
  ],
  [
    "a key like no other",
    "name: x",
    "name: x\nzzzzzz: 1",
    '3:1: unknown key "zzzzzz", expected one of version, name, description, tags, machine, ' +
    "kernel, seed, steps, until, expect",
  ],
  [
    "a size that is no multiple of a block",
    "32MiB",
    "33MiB",
    '9:26: memory: found "33MiB", expected a size that is a multiple of 2MiB',
  ],
  [
    "memory that firmware reserves where there is none",
    'bdf: "3a:00.0" }',
    'bdf: "3a:00.0", rmrr: { base: 1MiB, size: 4KiB } }',
    "7:53: firmware reserves memory between 2 MiB and 512 MiB",
  ],
  [
    "memory that firmware reserves twice",
    'bdf: "3a:00.0" }',
    'bdf: "3a:00.0", rmrr: { base: 64MiB, size: 8KiB } }\n' +
    '    - { id: nvme0, model: nvme, bdf: "3b:00.0", rmrr: { base: 65540KiB, size: 4KiB } }',
    "8:55: nic0 and nvme0 have the same memory",
  ],
  [
    "a size without a unit",
    "32MiB",
    "32",
    "9:26: memory: found 32, expected a size such as 64MiB (B, KiB, MiB, GiB, TiB)",
  ],
  [
    "memory that is no multiple of the page",
    "guestmemfs: 64MiB",
    "memory: 70000001B",
    '5:11: memory: found "70000001B", expected a size that is a multiple of the page, 4KiB',
  ],
  [
    "a device that is not there",
    "[nic0]",
    "[nic9]",
    "9:43: there is no device nic9, did you mean nic0?",
  ],
  [
    "an unknown model",
    "model: nic,",
    "model: nik,",
    '7:26: model: found "nik", expected one of nic, nvme, did you mean nic?',
  ],
  [
    "an address that is none",
    "3a:00.0",
    "3a:40.0",
    '7:37: bdf: found "3a:40.0", expected a PCI address such as "3a:00.0"',
  ],
  [
    "a function that nothing would find",
    "3a:00.0",
    "3a:00.1",
    "7:37: there is no 3a:00.0, so nothing would find 3a:00.1",
  ],
  [
    "a VM that is not there",
    "do: vm.start",
    "do: vm.stop, with: { vm: vm7 }",
    '11:32: there is no VM "vm7", did you mean vm0?',
  ],
  [
    "a misspelt argument before a missing one",
    "do: vm.start",
    "do: run, with: { four: 3ms }",
    '11:24: unknown argument "four", did you mean for?',
  ],
  [
    "a duration in no unit of ours",
    "do: vm.start",
    "do: run, with: { for: 3 parsecs }",
    '11:29: for: found "3 parsecs", expected a duration such as 200us (ns, us, ms, s)',
  ],
  [
    "a missing argument",
    "do: vm.start",
    "do: run",
    "11:5: for is missing, expected a duration such as 200us (ns, us, ms, s)",
  ],
  ["a wrong type", "devices: [nic0]", "devices: 7", "9:42: devices: found 7, expected a list"],
  ["another version", "version: 1", "version: 2", "1:10: version: found 2, expected 1"],
  [
    "no steps",
    "steps:\n  - { do: vm.start }",
    "steps: []",
    "10:8: steps: found nothing to do, expected at least one",
  ],
  ["a key twice", "name: x", "name: x\nname: y", "3:1: not YAML: duplicated mapping key"],
  [
    "no YAML at all",
    "steps:",
    "steps: [",
    "11:3: not YAML: missed comma between flow collection entries",
  ],
  [
    "two devices of one name",
    "    - { id: nic0, model",
    '    - { id: nic0, model: nvme, bdf: "3b:00.0" }\n    - { id: nic0, model',
    "8:13: there are two nic0",
  ],
  [
    "more devices than there are addresses",
    '"3a:00.0" }',
    '"ff:1f.0", count: 9 }',
    "7:54: from ff:1f.0 on there are 8 addresses",
  ],
  [
    "one of many devices at another's address",
    '{ id: nic0, model: nic, bdf: "3a:00.0" }',
    '{ id: nic, model: nic, bdf: "3a:00.0", count: 9 }\n' +
    '    - { id: nvme0, model: nvme, bdf: "3a:01.0" }',
    "8:39: nic8 is at 3a:01.0",
  ],
  [
    "a device that one of many VMs does not find",
    "devices: [nic0] }",
    "count: 2, devices: [nic0, nic1] }",
    "9:59: there is no device nic1, did you mean nic0?",
  ],
  [
    "guest memory that does not fit",
    "guestmemfs: 64MiB",
    "guestmemfs: 16MiB",
    "5:15: guestmemfs of 16MiB is too small: the persistent VMs and the files they leave at an " +
    "update take 34MiB",
  ],
  [
    "a guest too small for its rings",
    "memory: 32MiB, devices: [nic0]",
    "memory: 4MiB, devices: [nic0], ring: 4096",
    "9:26: guest RAM of 4 MiB is too small: 8.1 MiB needed, NIC 0 8.1 MiB " +
    "(4096 buffers of 2048 bytes)",
  ],
  [
    "a guest that runs into its devices' registers",
    "memory: 32MiB, devices: [nic0]",
    "memory: 4GiB, ram_base: 1GiB, persistent: false, devices: [nic0]",
    "9:26: guest RAM of 4 GiB is too big: between its start, at 1 GiB, and its devices' registers " +
    "there is room for 2 GiB",
  ],
  [
    "a guest beyond the reach of its own IOMMU",
    "memory: 32MiB, devices: [nic0]",
    "memory: 32MiB, ram_base: 128TiB, guest_iommu: true, devices: [nic0]",
    "9:43: guest RAM from 128 TiB on: an IOMMU of the guest's own (guest_iommu) reaches what lies " +
    "below 128 TiB",
  ],
  [
    "a guest that has no room for its own IOMMU's tables beside its rings",
    /id: nic0[^]*vm0.*/,
    `id: nic, model: nic, count: 2, bdf: "3a:00.0" }
  vms:
    - { id: vm0, memory: 2MiB, guest_iommu: true, devices: [nic], ring: 504 }`,
    "9:26: guest RAM of 2.0 MiB is too small: 2.0 MiB needed, NIC 0 1020 KiB " +
    "(504 buffers of 2048 bytes), NIC 1 1020 KiB (504 buffers of 2048 bytes)",
  ],
  [
    "an expectation of a device that is not there",
    /$/,
    "expect: { devices: { nic1: { faults: 0 } } }\n",
    '12:22: there is no device "nic1", did you mean nic0?',
  ],
  [
    "a scenario that is a text",
    /^[\s\S]*$/,
    "just text",
    '1:1: the scenario: found "just text", expected a mapping',
  ],
  [
    "memory that devices are to ask for, behind a unit that cannot be asked",
    "devices: [nic0] }",
    "devices: [nic0], resident: 8MiB }",
    "9:60: intel-legacy takes no page requests, intel-scalable does",
  ],
  [
    "a device that does not ask for it",
    / {2}devices:[^]*devices: \[nic0\] }/,
    '  profile: intel-scalable\n  devices:\n    - { id: nic0, model: nic, bdf: "3a:00.0" }\n' +
    "  vms:\n    - { id: vm0, memory: 32MiB, devices: [nic0], resident: 8MiB }",
    "10:60: nic0 does not ask for what it misses (page_requests of a nic): it needs all of " +
    "vm0's memory",
  ],
  [
    "too little of it",
    / {2}devices:[^]*devices: \[nic0\] }/,
    "  profile: intel-scalable\n  devices:\n" +
    '    - { id: nic0, model: nic, bdf: "3a:00.0", page_requests: true }\n' +
    "  vms:\n    - { id: vm0, memory: 32MiB, devices: [nic0], resident: 2MiB }",
    "10:60: its devices need 4 MiB at a time to get on",
  ],
  ["an empty file", /^[\s\S]*$/, "", "1:1: not YAML: expected a document, but the input is empty"],
];

Deno.test("a count makes as many, at one address after the other, and deals them out", () => {
  const { machine } = loadScenario(
    GOOD.replace('{ id: nic0, model: nic, bdf: "3a:00.0" }', COUNTED)
      .replace("{ id: vm0, memory: 32MiB, devices: [nic0] }", VMS).replace("64MiB", "200MiB"),
    "f.yaml",
  ).scenario;
  assert.equal(machine.devices.length, 300);
  const [first, , third] = machine.devices, last = machine.devices.at(-1)!;
  assert.deepEqual([first, third, last].map((d) => [d.id, d.bdf]), [
    ["nic0", "3a:1f.0"],
    ["nic2", "3a:1f.2"],
    ["nic299", "3c:04.3"],
  ]);
  const parts = machine.vms.map((vm) => [vm.id, vm.devices.length, vm.devices[0]]);
  assert.deepEqual(parts, [["vm0", 60, "nic0"], ["vm1", 60, "nic60"], ["vm2", 60, "nic120"], [
    "vm3",
    60,
    "nic180",
  ], ["vm4", 60, "nic240"]]);
});

for (const [what, from, to, expected] of WRONG) {
  Deno.test(`${what} is answered with its place and what was expected`, () => {
    assert.equal(complaint(GOOD.replace(from, to)), expected);
  });
}

Deno.test("the example in the README is a scenario", () => {
  const readme = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
  const yaml = /```yaml\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  assert.equal(loadScenario(yaml, "README.md").scenario.name, "my-update");
});
