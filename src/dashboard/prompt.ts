import { words } from "../operations/arguments.ts";
import type { Argument } from "../operations/arguments.ts";
import { editInput, inputOf, insertText, type KeyEvent, type PasteEvent } from "../tui/mod.ts";
import { settingValues } from "./commands/session.ts";
import { COMMAND_NAMES, commandNamed, runCommand, unknownCommand } from "./commands/table.ts";
import {
  type Completion,
  type Context,
  just,
  type Model,
  type Prompt,
  say,
  type Step,
} from "./model.ts";

/** Most lines that are kept to be brought back. */
const KEPT = 200;

/** A key or pasted text while a line is being typed. */
export function onPrompt(
  model: Model,
  prompt: Prompt,
  event: KeyEvent | PasteEvent,
  c: Context,
): Step {
  const closed: Model = { ...model, prompt: undefined };
  const typed = (next: Prompt) => just(live({ ...model, prompt: next }, next));
  if (event.type === "paste") {
    return typed({
      purpose: prompt.purpose,
      input: insertText(prompt.input, event.text),
      recall: 0,
    });
  }
  switch (event.key) {
    case "esc":
      return just(closed);
    case "enter":
      return enter(closed, prompt, c);
    case "tab":
    case "shift-tab":
      return prompt.purpose === "command"
        ? just({ ...model, prompt: completed(model, prompt, c, event.key === "tab" ? 1 : -1) })
        : just(model);
    case "up":
    case "ctrl-p":
      return just({ ...model, prompt: recalled(model, prompt, 1) });
    case "down":
    case "ctrl-n":
      return just({ ...model, prompt: recalled(model, prompt, -1) });
    case "backspace":
      // Nothing is left to take back but the prompt itself.
      if (prompt.input.text === "") return just(closed);
  }
  const input = editInput(prompt.input, event);
  if (input === null) return just(model);
  return typed({ purpose: prompt.purpose, input, recall: 0 });
}

/** A filter works while it is typed. */
function live(model: Model, { purpose, input }: Prompt): Model {
  if (purpose !== "filter") return model;
  return { ...model, filters: { ...model.filters, [model.focus]: input.text } };
}

function enter(model: Model, prompt: Prompt, c: Context): Step {
  const line = prompt.input.text.trim();
  switch (prompt.purpose) {
    case "filter":
      return just({ ...model, filters: { ...model.filters, [model.focus]: line } });
    case "iova": {
      const iova = Number(line);
      if (line === "0x") return just({ ...model, iova: undefined });
      if (Number.isSafeInteger(iova) && iova >= 0) return just({ ...model, iova });
      return just({ ...model, prompt: { ...prompt, wrong: "expected an address such as 0x8870" } });
    }
    case "command": {
      if (line === "") return just(model);
      const result = enterLine(line, remember(model, line), c);
      if (!("wrong" in result)) return result;
      // What was written stays, to be put right.
      return just({ ...remember(model, line), prompt: { ...prompt, wrong: result.wrong } });
    }
  }
}

function remember(model: Model, line: string): Model {
  return { ...model, lines: [...model.lines.filter((l) => l !== line), line].slice(-KEPT) };
}

/** Does what a command line says, or tells what is wrong with it. */
export function enterLine(
  line: string,
  model: Model,
  c: Context,
): Step | { readonly wrong: string } {
  const [name = "", ...rest] = words(line);
  const command = commandNamed(name);
  if (command === undefined) return { wrong: unknownCommand(name) };
  return runCommand(command, rest, model, c);
}

/** Earlier lines, the latest first; those that begin as what was typed before any. */
function recalled(model: Model, prompt: Prompt, by: number): Prompt {
  const recall = Math.max(0, Math.min(model.lines.length, prompt.recall + by));
  const text = recall === 0 ? "" : model.lines[model.lines.length - recall]!;
  return { purpose: prompt.purpose, input: inputOf(text), recall };
}

/** Puts the next of the words that can stand here in; first as much as all of them share. */
function completed(model: Model, prompt: Prompt, c: Context, by: number): Prompt {
  const known = prompt.completion ?? completionOf(prompt.input.text, model, c);
  const { options, from } = known;
  if (options.length === 0) return { ...prompt, completion: known };
  const head = prompt.input.text.slice(0, from);
  const shared = sharedStart(options);
  const put = (text: string, at: number): Prompt => ({
    purpose: prompt.purpose,
    input: inputOf(head + text),
    recall: 0,
    completion: { ...known, at },
  });
  if (options.length === 1) {
    // Finished: the next word begins, unless this one wants more.
    const end = /[=/:+]$/.test(options[0]!) ? "" : " ";
    return { purpose: prompt.purpose, input: inputOf(head + options[0] + end), recall: 0 };
  }
  if (known.at < 0 && head + shared !== prompt.input.text) return put(shared, -1);
  const at = (known.at + by + options.length + (known.at < 0 && by < 0 ? 1 : 0)) % options.length;
  return put(options[at]!, at);
}

function sharedStart(all: readonly string[]): string {
  let shared = all[0] ?? "";
  for (const word of all) {
    while (!word.startsWith(shared)) shared = shared.slice(0, -1);
  }
  return shared;
}

/** What can stand at the end of a line. */
export function completionOf(line: string, model: Model, c: Context): Completion {
  const from = line.search(/\S*$/);
  const word = line.slice(from);
  const before = words(line.slice(0, from));
  const of = (options: readonly string[]): Completion => ({
    from,
    options: [...new Set(options)].filter((o) => o.startsWith(word)),
    at: -1,
  });
  const [name] = before;
  if (name === undefined) return of([...COMMAND_NAMES].sort());
  const command = commandNamed(name);
  const all = command?.arguments ?? [];
  if (command === undefined || all.length === 0) return of([]);
  const named = /^([a-z]+)=/.exec(word);
  if (named !== null) {
    const argument = all.find((a) => a.name === named[1]);
    if (argument === undefined) return of([]);
    const head = `${named[1]}=`;
    const values = valuesOf(command.id, argument, word.slice(head.length), before, model, c);
    return of(values.map((v) => head + v));
  }
  const used = new Set(before.slice(1).map((w, i) => /^([a-z]+)=/.exec(w)?.[1] ?? all[i]?.name));
  const free = all.filter((a) => !used.has(a.name));
  const next = free[0];
  const values = next === undefined ? [] : valuesOf(command.id, next, word, before, model, c);
  return of([...values, ...free.map((a) => `${a.name}=`)]);
}

function valuesOf(
  id: string,
  argument: Argument,
  word: string,
  before: readonly string[],
  model: Model,
  c: Context,
): readonly string[] {
  if (id === "set" && argument.name === "to") {
    return settingValues((before[1] ?? "").replace(/^what=/, ""));
  }
  if (argument.choices !== undefined) return argument.choices;
  if (argument.suggests !== undefined) return c.complete(argument.suggests, word);
  if (id === "open") return c.scenarios;
  if (id === "mark.goto") return model.marks.map((m) => m.name);
  return [];
}

/** A line that is done without being typed, as keys are bound to. */
export function doLine(line: string, model: Model, c: Context): Step {
  const result = enterLine(line, model, c);
  return "wrong" in result ? just(say(model, c.now, result.wrong, "warn")) : result;
}
