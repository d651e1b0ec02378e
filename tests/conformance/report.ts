import { Coverage, type Item, parseRequired, type Required } from "./coverage.ts";
import { play, vectorFiles } from "./runner.ts";

const here = new URL(".", import.meta.url);

export function readRequired(): Required {
  return parseRequired(Deno.readTextFileSync(new URL("required.yaml", here)));
}

/** Plays every vector. `failed`: those that did not answer as they must. */
export function playAll(): { coverage: Coverage; failed: string[] } {
  const coverage = new Coverage();
  const failed: string[] = [];
  for (const [name, file] of vectorFiles(here)) {
    for (const vector of file.vectors) {
      try {
        coverage.add(play(file, vector));
      } catch (error) {
        failed.push(`${name}: ${vector.name}: ${(error as Error).message.split("\n")[0]}`);
      }
    }
  }
  return { coverage, failed };
}

/** Rows of text as columns, the first one to the left, the others to the right. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((r) => r[i].length)));
  const pad = (text: string, i: number) =>
    i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]);
  return rows.map((row) => row.map(pad).join(" ").trimEnd()).join("\n");
}

const MARKS: Readonly<Record<Item["state"], string>> = {
  "covered": "",
  "missing": "!",
  "pending": "?",
  "not reachable": "-",
  "reached after all": "!",
};

/** Calls and their answers; a number is how many vectors show it. */
function table(calls: readonly string[], items: readonly Item[], coverage: Coverage): string {
  const shown = calls.flatMap((c) => coverage.errnos(c));
  const wanted = items.filter((i) => calls.includes(i.call)).filter((i) =>
    /^(0|E[A-Z0-9]+|SIGNAL)$/.test(i.what)
  ).map((i) => i.what);
  const errnos = [...new Set(["0", ...[...shown, ...wanted].sort()])];
  const cell = (call: string, errno: string): string => {
    const item = items.find((i) => i.call === call && i.what === errno);
    const count = coverage.errno(call, errno);
    return (count > 0 ? String(count) : "") + (item === undefined ? "" : MARKS[item.state]);
  };
  return columns([["", ...errnos], ...calls.map((c) => [c, ...errnos.map((e) => cell(c, e))])]);
}

/** The report for people. */
export function report(required: Required, coverage: Coverage, failed: readonly string[]): string {
  const parts: string[] = [];
  const all = required.groups.flatMap((g) => g.calls).flatMap((c) => coverage.items(c));
  const named = new Set(all.map((i) => i.call));
  const other = coverage.calls.filter((c) => !named.has(c));
  for (const { name, calls } of required.groups) {
    parts.push(`${name}\n${table(calls.map((c) => c.call), all, coverage)}`);
  }
  if (other.length > 0) parts.push(`others\n${table(other, [], coverage)}`);
  parts.push("numbers: vectors that show it; ! missing, ? missing but pending, - not reachable");
  const list = (title: string, state: Item["state"]) => {
    const calls = [...named].flatMap((call) => {
      const found = all.filter((i) => i.call === call && i.state === state);
      return found.length === 0 ? [] : [`  ${call}: ${found.map((i) => i.what).join(", ")}`];
    });
    if (calls.length > 0) parts.push(`${title}\n${calls.join("\n")}`);
  };
  list("required and not covered", "missing");
  list("pending", "pending");
  list("said to be not reachable, but shown", "reached after all");
  if (failed.length > 0) parts.push(`failed\n${failed.map((f) => `  ${f}`).join("\n")}`);
  const covered = all.filter((i) => i.state === "covered").length;
  const due = all.filter((i) => i.state !== "not reachable").length;
  parts.push(
    `${coverage.vectors} vectors (${required.vectors} required), ${failed.length} failed; ` +
      `${covered} of ${due} requirements covered`,
  );
  return parts.join("\n\n");
}

if (import.meta.main) {
  const required = readRequired();
  const { coverage, failed } = playAll();
  if (Deno.args.join(" ") === "--report json") {
    const calls = required.groups.flatMap((g) => g.calls).map((c) => ({
      call: c.call,
      facts: c.facts,
      items: coverage.items(c).map(({ call: _, ...item }) => item),
    }));
    const shown = Object.fromEntries(coverage.calls.map((c) => [
      c,
      Object.fromEntries(coverage.errnos(c).map((e) => [e, coverage.errno(c, e)])),
    ]));
    const vectors = { played: coverage.vectors, required: required.vectors, failed };
    console.log(JSON.stringify({ vectors, calls, shown }, undefined, 2));
  } else if (Deno.args.length === 0) console.log(report(required, coverage, failed));
  else {
    console.error("expected nothing, or --report json");
    Deno.exit(2);
  }
  if (failed.length > 0) Deno.exit(1);
}
