import assert from "node:assert/strict";

/** One way to get a request refused. Rules stand in the order the kernel must look at them. */
export interface Rule<R> {
  readonly name: string;
  readonly want: string;
  /** Fields it spoils: two rules that spoil the same one cannot be broken at once. */
  readonly spoils: readonly string[];
  readonly spoil: (request: R) => R;
}

/**
 * Breaks each rule alone and every two together: the earlier one's errno must come back. `call`
 * makes the call on a request and says how it went; it must leave nothing behind.
 */
export function checkOrder<R>(rules: readonly Rule<R>[], good: R, call: (r: R) => string): void {
  rules.forEach((first, i) => {
    assert.equal(call(first.spoil(good)), first.want, first.name);
    for (const second of rules.slice(i + 1)) {
      if (first.spoils.some((field) => second.spoils.includes(field))) continue;
      const got = call(second.spoil(first.spoil(good)));
      assert.equal(got, first.want, `${first.name}, before: ${second.name}`);
    }
  });
}
