import { didYouMean } from "../../base/nearest.ts";
import type { Context, Model, Step } from "../model.ts";
import { MOVE_COMMANDS, PANE_COMMANDS } from "./panes.ts";
import { PLATFORM_COMMANDS, runOperation } from "./platform.ts";
import { SESSION_COMMANDS } from "./session.ts";
import { TIME_COMMANDS } from "./time.ts";
import { type Command, type Given, GROUPS } from "./types.ts";

/** Every command, in the order of the help. Its footer words appear in the order of {@link BAR}. */
export const COMMANDS: readonly Command[] = GROUPS.flatMap((group) =>
  [
    ...PLATFORM_COMMANDS,
    ...SESSION_COMMANDS,
    ...TIME_COMMANDS,
    ...PANE_COMMANDS,
    ...MOVE_COMMANDS,
  ].filter((command) => command.group === group)
);

/** What the footer shows, the most important first. */
export const BAR: readonly string[] = [
  "update",
  "update.continue",
  "update.abort",
  "pause",
  "help",
  "command",
  "open.row",
  "faster",
  "slower",
  "back",
  "kernel",
  "zoom",
  "pane.next",
  "file.remove",
  "source",
  "filter",
  "sort",
  "event",
  "phase",
  "quit",
];

/** Key names as the table has them: a space would be hard to read. */
export function commandKey(key: string): string {
  return key === " " ? "space" : key;
}

const byKey = new Map<string, Command[]>();
const byName = new Map<string, Command>();
for (const command of COMMANDS) {
  for (const key of command.keys) byKey.set(key, [...byKey.get(key) ?? [], command]);
  for (const name of [command.id, ...command.aliases ?? []]) byName.set(name, command);
}

/** What a key means in the pane that has the focus. */
export function commandFor(key: string, focus?: Model["focus"]): Command | undefined {
  const all = byKey.get(commandKey(key)) ?? [];
  return all.find((c) => focus !== undefined && c.panes?.includes(focus)) ??
    all.find((c) => c.panes === undefined || focus === undefined);
}

export function commandNamed(name: string): Command | undefined {
  return byName.get(name);
}

/** Names and aliases. */
export const COMMAND_NAMES: readonly string[] = [...byName.keys()];

/** Runs a command with the words behind its name; or says what is wrong with them. */
export function runCommand(
  command: Command,
  words: readonly string[],
  model: Model,
  c: Context,
): Step | { readonly wrong: string } {
  const reason = command.disabled?.(c, model) ?? null;
  if (reason !== null) return { wrong: `${command.id}: ${reason}` };
  if (command.operation !== undefined) {
    const result = runOperation(command.operation, words, model, c);
    return "wrong" in result ? result : result.step;
  }
  const given = readWords(command, words);
  return "wrong" in given ? given : command.run(model, c, given.given);
}

/** `name=value` or values in order; the last argument takes all the words that are left. */
function readWords(
  { id, arguments: all = [] }: Command,
  words: readonly string[],
): { readonly given: Given } | { readonly wrong: string } {
  const given: Record<string, string> = {};
  for (const [i, word] of words.entries()) {
    const named = /^([a-z]+)=(.*)$/s.exec(word);
    const argument = all.find((a) => a.name === named?.[1]) ?? all[Math.min(i, all.length - 1)];
    if (argument === undefined) return { wrong: `${id} takes nothing, found ${word}` };
    const value = argument.name === named?.[1] ? named[2]! : word;
    const before = given[argument.name];
    if (before !== undefined && argument !== all.at(-1)) {
      return { wrong: `${argument.name} is there twice` };
    }
    given[argument.name] = before === undefined ? value : `${before} ${value}`;
  }
  const missing = all.find((a) => a.required && given[a.name] === undefined);
  if (missing !== undefined) {
    return { wrong: `${id}: ${missing.name} is missing (${missing.description})` };
  }
  return { given };
}

/** `there is no command x, did you mean y?` */
export function unknownCommand(name: string): string {
  return `there is no command ${JSON.stringify(name)}${didYouMean(name, COMMAND_NAMES)}`;
}
