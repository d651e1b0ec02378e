import * as z from "zod/mini";
import { DEVICE_OPERATIONS } from "./devices.ts";
import { FAULT_OPERATIONS } from "./faults.ts";
import { FILE_OPERATIONS } from "./files.ts";
import { HANDOVER_OPERATIONS } from "./handover.ts";
import { IOMMUFD_OPERATIONS } from "./iommufd.ts";
import { RACE_OPERATIONS } from "./races.ts";
import { OK, type Operation, operation } from "./types.ts";
import { UPDATE_OPERATIONS } from "./update.ts";
import { duration } from "./values.ts";
import { VM_OPERATIONS } from "./vm.ts";

const TIME_OPERATIONS = [
  operation({
    name: "run",
    summary: "let virtual time pass",
    args: () => z.strictObject({ for: duration.with(z.describe("how long")) }),
    *run(_session, args) {
      yield args.for;
      return OK;
    },
  }),
  operation({
    name: "check",
    summary: "look everything over now",
    args: () => z.strictObject({}),
    // deno-lint-ignore require-yield
    *run({ platform }) {
      platform.health.check(platform.kernel);
      return OK;
    },
  }),
];

/** Every verb there is. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  [
    ...TIME_OPERATIONS,
    ...VM_OPERATIONS,
    ...UPDATE_OPERATIONS,
    ...FILE_OPERATIONS,
    ...IOMMUFD_OPERATIONS,
    ...HANDOVER_OPERATIONS,
    ...DEVICE_OPERATIONS,
    ...FAULT_OPERATIONS,
    ...RACE_OPERATIONS,
  ].map((o) => [o.name, o]),
);
