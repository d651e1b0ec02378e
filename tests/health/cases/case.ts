import type { InvariantId } from "../../../src/health/invariants.ts";
import type { World } from "../world.ts";

/** A way to break the world, and what the judge has to say of it. */
export interface Breakage {
  readonly how: string;
  /** Makes a world, breaks it, and lets it run on. */
  run(): World;
  /** Device, guest or unit it is seen at, and what is said. */
  readonly subject: string;
  readonly detail: RegExp;
}

export interface Case {
  readonly broken: readonly [Breakage, ...Breakage[]];
  /** A run in which the situation never comes up. */
  readonly unexercised: { readonly what: string; run(): World };
}

export type Cases<Id extends InvariantId> = Record<Id, Case>;
