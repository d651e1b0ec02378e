import * as z from "zod/mini";
import { FAULT_POINTS } from "../kernel/fault_points.ts";
import { OK, operation } from "./types.ts";
import { whole } from "./values.ts";

const PREFIX = "fault:";

/** Names of the kernel's fault points; one that ends in a colon wants a name behind it. */
export const POINTS: readonly string[] = Object.values(FAULT_POINTS)
  .map((point) => point.slice(PREFIX.length));

const known = (name: string) =>
  POINTS.some((p) => p.endsWith(":") ? name.startsWith(p) && name.length > p.length : name === p);

const point = z.string().with(
  z.refine(known, {
    message: `expected a fault point: ${
      POINTS.map((p) => p.endsWith(":") ? `${p}NAME` : p).join(", ")
    }`,
  }),
  z.describe("fault point, such as alloc_page or program:vm0"),
);

export const FAULT_OPERATIONS = [
  operation({
    name: "fault.arm",
    summary: "let a fault point fire: an allocation fails, a copy faults, a program dies",
    args: () =>
      z.strictObject({
        point,
        nth: z._default(whole.with(z.refine((n) => n >= 1, { message: "expected 1 or more" })), 1)
          .with(z.describe("at which visit from now")),
      }),
    suggests: { point: "points" },
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      platform.chooser.arm(PREFIX + args.point, args.nth);
      return OK;
    },
  }),
  operation({
    name: "fault.disarm",
    summary: "let a fault point that was armed be quiet again",
    args: () => z.strictObject({ point }),
    suggests: { point: "points" },
    unavailable: (s) => s.armed.length > 0 ? null : "no fault point is armed",
    // deno-lint-ignore require-yield
    *run({ platform }, args) {
      platform.chooser.disarm(PREFIX + args.point);
      return OK;
    },
  }),
];
