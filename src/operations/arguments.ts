import * as z from "zod/mini";
import { didYouMean } from "../base/nearest.ts";
import type { Operation, Suggestion } from "./types.ts";

/** One argument of an operation, for whoever writes or explains a command. */
export interface Argument {
  readonly name: string;
  readonly description: string;
  readonly required: boolean;
  /** The only words it can be; undefined: anything the schema takes. */
  readonly choices?: readonly string[];
  readonly default?: string;
  /** What kind of thing it names. */
  readonly suggests?: Suggestion;
  readonly type: "text" | "number" | "flag";
}

interface Property {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly anyOf?: readonly Property[];
}

const known = new WeakMap<Operation, readonly Argument[]>();

/** The arguments of an operation, in the order of its schema. */
export function argumentsOf(operation: Operation): readonly Argument[] {
  let found = known.get(operation);
  if (found === undefined) known.set(operation, found = describe(operation));
  return found;
}

function describe(operation: Operation): Argument[] {
  const schema = z.toJSONSchema(operation.args, { io: "input" });
  const properties = (schema.properties ?? {}) as Record<string, Property>;
  return Object.entries(properties).map(([name, p]): Argument => {
    const flag = p.type === "boolean";
    const choices = flag ? ["true", "false"] : p.enum;
    const suggests = operation.suggests?.[name] ?? operation.refers?.[name];
    return {
      name,
      description: p.description ?? "",
      required: schema.required?.includes(name) ?? false,
      type: flag ? "flag" : p.type === "integer" || p.type === "number" ? "number" : "text",
      ...(choices === undefined ? {} : { choices }),
      ...(p.default === undefined ? {} : { default: String(p.default) }),
      ...(suggests === undefined ? {} : { suggests }),
    };
  });
}

/** `vm.start [vm=VM]`, as a person would write it. */
export function usage(operation: Operation): string {
  return [operation.name, ...argumentsOf(operation).map(argumentUsage)].join(" ");
}

export function argumentUsage({ name, required, choices }: Argument): string {
  const text = `${name}=${choices?.join("|") ?? name.toUpperCase()}`;
  return required ? text : `[${text}]`;
}

/** What was written, and what the operation wants; or what is wrong with it, as a sentence. */
export type Parsed =
  | { readonly given: Record<string, unknown>; readonly args: Record<string, unknown> }
  | { readonly wrong: string };

/**
 * Reads the words behind an operation's name: `name=value`, or values alone in the order of the
 * arguments. Values keep the form in which they were written.
 */
export function parseArguments(operation: Operation, words: readonly string[]): Parsed {
  const all = argumentsOf(operation);
  const given: Record<string, unknown> = {};
  let next = 0;
  for (const word of words) {
    const named = /^([a-z][a-z0-9_-]*)=(.*)$/s.exec(word);
    while (named === null && next < all.length && all[next].name in given) next++;
    const name = named?.[1] ?? all[next]?.name;
    if (name === undefined) {
      const most = all.length === 0 ? "no argument" : `${all.length} at most`;
      return { wrong: `found ${JSON.stringify(word)}, ${operation.name} takes ${most}` };
    }
    const argument = all.find((a) => a.name === name);
    if (argument === undefined) {
      const names = all.map((a) => a.name);
      const hint = didYouMean(name, names) ||
        (names.length > 0 ? `, it takes ${names.join(", ")}` : ", it takes nothing");
      return { wrong: `${operation.name} has no argument ${JSON.stringify(name)}${hint}` };
    }
    if (name in given) return { wrong: `${name} is there twice` };
    given[name] = valueOf(argument, named?.[2] ?? word);
  }
  return check(operation, given);
}

/** Flags and numbers are what YAML would make of them. */
function valueOf({ type }: Argument, text: string): unknown {
  if (type === "flag") {
    if (/^(true|on|yes|1)$/.test(text)) return true;
    if (/^(false|off|no|0)$/.test(text)) return false;
  }
  return type === "number" && /^-?\d+$/.test(text) ? Number(text) : text;
}

/** Arguments by name, as a scenario has them. */
export function check(operation: Operation, given: Record<string, unknown>): Parsed {
  const result = operation.args.safeParse(given);
  if (result.success) return { given, args: result.data };
  const issue = result.error.issues[0];
  const name = String(issue.path[0] ?? operation.name);
  if (!(name in given)) return { wrong: `${name} is missing: ${usage(operation)}` };
  const found = `${name}: found ${JSON.stringify(given[name])}`;
  if (issue.code === "invalid_value") {
    const values = issue.values.map(String);
    const hint = didYouMean(String(given[name]), values);
    return { wrong: `${found}, expected one of ${values.join(", ")}${hint}` };
  }
  const message = /^expected/.test(issue.message) ? issue.message : `expected ${expected(issue)}`;
  return { wrong: `${found}, ${message}` };
}

function expected(issue: z.core.$ZodIssue): string {
  if (issue.code !== "invalid_type") return issue.message;
  return issue.expected === "boolean" ? "true or false" : `a ${issue.expected}`;
}

/** Breaks a command line into words: blanks part them, quotes keep them together. */
export function words(line: string): string[] {
  const found: string[] = [];
  for (const m of line.matchAll(/(?:[^\s"]|"(?:[^"\\]|\\.)*(?:"|$))+/g)) {
    found.push(
      m[0].replace(
        /"((?:[^"\\]|\\.)*)(?:"|$)/g,
        (_, inner: string) => inner.replace(/\\(.)/g, "$1"),
      ),
    );
  }
  return found;
}
