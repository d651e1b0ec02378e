import { argumentsOf, parseArguments } from "../../operations/arguments.ts";
import { unknownName } from "../../operations/names.ts";
import { argumentText } from "../../operations/timeline.ts";
import { OPERATIONS } from "../../operations/table.ts";
import type { Operation } from "../../operations/types.ts";
import { inputOf } from "../../tui/mod.ts";
import { ask } from "../actions.ts";
import { chosenDevice } from "../panes/devices.ts";
import { chosenNode } from "../panes/trees.ts";
import {
  type Context,
  doing,
  type Effect,
  just,
  type Model,
  type PaneId,
  type Question,
} from "../model.ts";
import { count, runningGuests } from "../words.ts";
import { type Command, type Given, type Group, refuse } from "./types.ts";

/** What the operations that have keys are to a person's fingers; the others are typed. */
interface Fingers {
  readonly keys: readonly string[];
  readonly onBar?: string;
  readonly panes?: readonly PaneId[];
}
const FINGERS: Readonly<Record<string, Fingers>> = {
  "update": { keys: ["k"], onBar: "kexec" },
  "update.abort": { keys: ["a"], onBar: "abort" },
  "update.continue": { keys: ["A"], onBar: "go on" },
  "vm.start": { keys: ["s"] },
  "vm.stop": { keys: ["S"] },
  "vm.crash": { keys: ["X"] },
  "fault.arm": { keys: ["f"] },
  "device.unplug": { keys: ["P"] },
  "file.remove": { keys: ["delete", "D"], panes: ["files"], onBar: "remove" },
};

/** Words that stand for an operation, as the issue at hand calls it. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  "update": ["kexec"],
  "update.abort": ["abort"],
  "update.continue": ["continue"],
  "kho.activate": ["activate"],
  "kho.deactivate": ["deactivate"],
  "fault.arm": ["inject"],
};

function groupOf(name: string): Group {
  const family = name.split(".")[0];
  if (["update", "kho", "kexec"].includes(family)) return "update";
  if (["guestmemfs", "file"].includes(family)) return "files";
  return family === "run" ? "time" : "devices";
}

/** What the operation would be done to, taken from the row that is chosen. */
function fromContext(operation: Operation, model: Model, c: Context): Record<string, string> {
  const given: Record<string, string> = {};
  const device = chosenDevice(model, c.snapshot);
  const node = model.focus === "files" ? chosenNode(model, c.snapshot) : undefined;
  for (const { name, suggests } of argumentsOf(operation)) {
    if (suggests === "devices" && device !== undefined) given[name] = device.id;
    if (suggests === "vms") {
      const off = (id: string) => c.snapshot.vms.find((v) => v.id === id)?.status === "off";
      const wanted = operation.name === "vm.start" ? c.snapshot.vms.find((v) => off(v.id)) : null;
      const vm = wanted?.id ?? (wanted === null ? device?.vm : undefined);
      if (vm) given[name] = vm;
    }
    if (suggests === "files" && node?.memoryFile !== undefined) given[name] = node.memoryFile;
    if (suggests === "paths" && node?.path !== undefined) given[name] = node.path;
  }
  return given;
}

/** A line to be finished: what is known is filled in. */
function toBeFinished(operation: Operation, model: Model, c: Context): Model {
  const given = argumentText(fromContext(operation, model, c));
  const input = inputOf(`${operation.name} ${given}${given === "" ? "" : " "}`);
  return { ...model, prompt: { purpose: "command", input, recall: 0 } };
}

const capital = (text: string) => text[0]!.toUpperCase() + text.slice(1);

/** Asks first where something would be lost, and says what. */
function question(operation: Operation, effect: Effect, text: string, c: Context, model: Model) {
  if (operation.name === "update") return updateQuestion(effect, c, model);
  const q: Question = {
    title: operation.name,
    text: `${text}\n${
      capital(operation.summary)
    }.\n\nLost: ${operation.destroys}.\n\ny do it, n cancel`,
    buttons: [{ label: "Cancel", cancel: true }, { label: "Do it", danger: true }],
    yes: effect,
    command: operation.name,
  };
  return q;
}

function updateQuestion(effect: Effect, { snapshot }: Context, model: Model): Question {
  const guests = count(runningGuests(snapshot).length, "running guest");
  const given = effect.type === "act" ? effect.given : {};
  return {
    title: "Live update",
    text: `Replace the kernel under ${guests}?\nkexec from ${snapshot.image}, which hands over,\n` +
      `into ${given.image ?? model.image}, which takes over` +
      `${given.hold === undefined ? "" : `; held after ${given.hold}`}\n\ny kexec, n cancel, ` +
      "K another kernel",
    buttons: [{ label: "Cancel", cancel: true }, { label: "Kexec", danger: true }],
    yes: effect,
    command: "update",
  };
}

/** An operation with what was written behind it; a live update boots the model's image. */
export function effectOf(
  operation: Operation,
  given: Readonly<Record<string, unknown>>,
  model: Model,
): Effect {
  const withImage = ["update", "kexec.load"].includes(operation.name) && given.image === undefined
    ? { image: model.image, ...given }
    : given;
  return { type: "act", operation: operation.name, given: withImage };
}

/** An operation as a command; `words`: what stands behind its name. */
export function runOperation(
  operation: Operation,
  words: readonly string[],
  model: Model,
  c: Context,
): { readonly step: ReturnType<Command["run"]> } | { readonly wrong: string } {
  const parsed = parseArguments(operation, words);
  if ("wrong" in parsed) return parsed;
  const unknown = unknownName(operation, parsed.args, {
    vms: c.complete("vms", ""),
    devices: c.complete("devices", ""),
    images: c.complete("images", ""),
  });
  if (unknown !== undefined) return { wrong: `${operation.name}: ${unknown.message}` };
  const effect = effectOf(operation, parsed.given, model);
  if (operation.destroys === undefined) return { step: doing(model, effect) };
  const text = `${operation.name} ${argumentText(parsed.given)}`.trimEnd();
  return { step: just(ask(model, question(operation, effect, text, c, model))) };
}

function commandOf(operation: Operation): Command {
  const { name, summary, destroys } = operation;
  const fingers = FINGERS[name];
  const needs = () => argumentsOf(operation).some((a) => a.required);
  return {
    id: name,
    aliases: ALIASES[name] ?? [],
    keys: fingers?.keys ?? [],
    ...(fingers?.onBar === undefined ? {} : { onBar: fingers.onBar }),
    ...(fingers?.panes === undefined ? {} : { panes: fingers.panes }),
    group: groupOf(name),
    title: capital(summary),
    destructive: destroys !== undefined,
    // To know them takes a while: not before somebody types, or looks at the help.
    get arguments() {
      return argumentsOf(operation);
    },
    operation,
    disabled: (c, model) =>
      model.readOnly ? "this is a read-only session" : operation.unavailable?.(c.snapshot) ?? null,
    run(model, c, given: Given) {
      // By a key, with nothing written: what is chosen is offered, and Enter does it. Where a
      // question is asked all the same, it names what is chosen.
      const bare = Object.keys(given).length === 0;
      const chosen = bare && needs() ? fromContext(operation, model, c) : given;
      const enough = argumentsOf(operation).every((a) => !a.required || a.name in chosen);
      if (bare && (needs() || name === "vm.start") && !(enough && destroys !== undefined)) {
        return just(toBeFinished(operation, model, c));
      }
      const words = Object.entries(chosen).map(([n, value]) => `${n}=${value}`);
      const result = runOperation(operation, words, model, c);
      return "wrong" in result ? refuse(model, c, result.wrong) : result.step;
    },
  };
}

/** Every operation of the platform, as it is in its table. */
export const PLATFORM_COMMANDS: readonly Command[] = [...OPERATIONS.values()].map(commandOf);
