import { load } from "js-yaml";
import type { Shown } from "./runner.ts";
import { constant } from "./values.ts";

/** What the vectors must show of one call. The words are explained in format.md. */
export interface Requirement {
  readonly call: string;
  readonly facts: string;
  readonly errnos: readonly string[];
  readonly flags?: readonly string[];
  readonly values?: Readonly<Record<string, readonly string[]>>;
  readonly not_reachable?: string | Readonly<Record<string, string>>;
  readonly pending?: boolean;
}

export interface Required {
  readonly vectors: number;
  readonly groups: readonly { readonly name: string; readonly calls: readonly Requirement[] }[];
}

export function parseRequired(text: string): Required {
  return load(text) as Required;
}

/** Something that is required: an errno (or "0"), a flag, a value of a field. */
export interface Item {
  readonly call: string;
  readonly what: string;
  readonly state: "covered" | "missing" | "pending" | "not reachable" | "reached after all";
  /** Vectors that show it. */
  readonly count: number;
  readonly why?: string;
}

/** What a run of the vectors showed. */
export class Coverage {
  vectors = 0;
  readonly #shown: { vector: number; shown: Shown }[] = [];

  add(shown: readonly Shown[]): void {
    const vector = this.vectors++;
    for (const s of shown) this.#shown.push({ vector, shown: s });
  }

  /** Number of vectors in which a call did something. */
  #count(call: string, test: (shown: Shown) => boolean): number {
    const hits = this.#shown.filter((s) => s.shown.call === call && test(s.shown));
    return new Set(hits.map((s) => s.vector)).size;
  }

  errno(call: string, errno: string): number {
    return this.#count(call, (s) => s.errno === errno);
  }

  /** Every call that was made, and the answers it gave, in alphabetical order. */
  get calls(): string[] {
    return [...new Set(this.#shown.map((s) => s.shown.call))].sort();
  }

  errnos(call: string): string[] {
    const all = this.#shown.filter((s) => s.shown.call === call).map((s) => s.shown.errno);
    return [...new Set(all)].sort();
  }

  /** A success with the flag among those given. */
  #flag(call: string, flag: string): number {
    return this.#count(call, ({ errno, given }) => {
      if (errno !== "0" || given.flags === undefined) return false;
      if (typeof given.flags !== "bigint") return given.flags.includes(flag);
      const bit = constantOf(flag);
      return (given.flags & bit) === bit;
    });
  }

  #value(call: string, field: string, name: string): number {
    const wanted = constantOf(name);
    return this.#count(
      call,
      ({ errno, given }) => errno === "0" && (given[field] ?? 0n) === wanted,
    );
  }

  /** Every item of a requirement, with how it stands. */
  items(required: Requirement): Item[] {
    const { call, not_reachable } = required;
    const item = (what: string, count: number): Item => {
      const why = typeof not_reachable === "string" ? not_reachable : not_reachable?.[what];
      if (why !== undefined) {
        return { call, what, count, why, state: count > 0 ? "reached after all" : "not reachable" };
      }
      const lacking = required.pending ? "pending" : "missing";
      return { call, what, count, state: count > 0 ? "covered" : lacking };
    };
    const exceptions = typeof not_reachable === "object" ? Object.keys(not_reachable) : [];
    const names = [...required.errnos, ...exceptions.filter((e) => !required.errnos.includes(e))];
    return [
      ...names.filter((n) => /^(0|E[A-Z0-9]+|SIGNAL)$/.test(n)).map((n) =>
        item(n, this.errno(call, n))
      ),
      ...(required.flags ?? []).map((f) => item(f, this.#flag(call, f))),
      ...Object.entries(required.values ?? {}).flatMap(([field, values]) =>
        values.map((v) => item(`${field}=${v}`, this.#value(call, field, v)))
      ),
    ];
  }
}

function constantOf(name: string): bigint {
  const value = constant(name);
  if (value === undefined) throw new Error(`no constant ${name}`);
  return value;
}

/** What is wrong: sentences, none when everything is as required. */
export function complaints(required: Required, coverage: Coverage): string[] {
  const items = required.groups.flatMap((g) => g.calls).flatMap((c) => coverage.items(c));
  const wrong = items.filter((i) => i.state === "missing" || i.state === "reached after all");
  const said = wrong.map((i) => `${i.call}: ${i.what} is ${i.state}${i.why ? ` (${i.why})` : ""}`);
  if (coverage.vectors < required.vectors) {
    said.push(`${coverage.vectors} vectors, ${required.vectors} are required`);
  }
  return said;
}
