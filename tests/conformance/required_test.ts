import assert from "node:assert/strict";
import { IOCTLS } from "./calls.ts";
import { complaints, Coverage, parseRequired } from "./coverage.ts";
import { readRequired, report } from "./report.ts";

Deno.test("every call is required once, every iommufd and VFIO ioctl is among them", () => {
  const calls = readRequired().groups.flatMap((g) => g.calls).map((c) => c.call);
  assert.deepEqual(calls.filter((c, i) => calls.indexOf(c) !== i), []);
  const ioctls = [...IOCTLS.keys()].filter((name) => !name.startsWith("KVM_"));
  assert.deepEqual(ioctls.filter((name) => !calls.includes(name)), []);
});

const SMALL = parseRequired(`
vectors: 2
groups:
  - name: g
    calls:
      - { call: a, facts: x, errnos: ["0", EINVAL], flags: [O_CREAT] }
      - { call: b, facts: x, errnos: ["0"], not_reachable: { ENOMEM: why } }
      - { call: c, facts: x, errnos: ["0"], pending: true }
      - { call: d, facts: x, errnos: [EPERM], not_reachable: later }
      - { call: IOMMU_OPTION, facts: x, errnos: [], values: { op: [IOMMU_OPTION_OP_GET] } }
`);
const shown = (call: string, errno: string, given = {}) => ({ call, errno, given });

Deno.test("what is missing, what was reached after all and too few vectors are complained of", () => {
  const coverage = new Coverage();
  coverage.add([
    shown("a", "0", { flags: ["O_RDWR"] }),
    shown("b", "ENOMEM"),
    shown("d", "EPERM"),
    shown("IOMMU_OPTION", "EINVAL", { op: 1n }),
  ]);
  assert.deepEqual(complaints(SMALL, coverage), [
    "a: EINVAL is missing",
    "a: O_CREAT is missing",
    "b: 0 is missing",
    "b: ENOMEM is reached after all (why)",
    "d: EPERM is reached after all (later)",
    "IOMMU_OPTION: op=IOMMU_OPTION_OP_GET is missing",
    "1 vectors, 2 are required",
  ]);
});

Deno.test("a set that covers everything is not complained of, and the report counts vectors", () => {
  const coverage = new Coverage();
  coverage.add([shown("a", "EINVAL"), shown("a", "EINVAL"), shown("b", "0")]);
  coverage.add([
    shown("a", "EINVAL"),
    shown("a", "0", { flags: ["O_RDWR", "O_CREAT"] }),
    shown("IOMMU_OPTION", "0", { op: 1n }),
    shown("e", "0"),
  ]);
  assert.deepEqual(complaints(SMALL, coverage), []);
  assert.equal(
    report(SMALL, coverage, []),
    `g
             0 EINVAL ENOMEM EPERM
a            1      2
b            1             -
c            ?
d                                -
IOMMU_OPTION 1

others
  0
e 1

numbers: vectors that show it; ! missing, ? missing but pending, - not reachable

pending
  c: 0

2 vectors (2 required), 0 failed; 5 of 6 requirements covered`,
  );
});
