import type { Argument } from "../../operations/arguments.ts";
import type { Operation } from "../../operations/types.ts";
import { type Context, type Model, type PaneId, say, type Step } from "../model.ts";

/** Chapters of the help, in their order. */
export const GROUPS = ["update", "time", "devices", "files", "panes", "moving", "session"] as const;
export type Group = (typeof GROUPS)[number];

/** What was written behind a command's name, by argument. */
export type Given = Readonly<Record<string, string>>;

/**
 * Something a person can have done. Keys, footer, help, the command line, docs/keys.md and the man
 * page are all made from the one table of these.
 */
export interface Command {
  /** What is typed behind the colon. */
  readonly id: string;
  /** Shorter names for the same. */
  readonly aliases?: readonly string[];
  /** Names as in tui/events.ts, space written out; the first one is shown. */
  readonly keys: readonly string[];
  /** The panes in which the keys mean this; everywhere when left out. */
  readonly panes?: readonly PaneId[];
  readonly group: Group;
  /** A line of help. */
  readonly title: string;
  /** A word or two for the footer; commands without are not on it. */
  readonly onBar?: string;
  /** Cannot be taken back: asks first. */
  readonly destructive?: boolean;
  /** Works while something lies over the panes, too. */
  readonly always?: boolean;
  readonly arguments?: readonly Argument[];
  /** The operation of the platform that it is. */
  readonly operation?: Operation;
  /** Why it cannot be done now; null when it can. */
  readonly disabled?: (c: Context, model: Model) => string | null;
  /** Does it, or says what is missing. */
  readonly run: (model: Model, c: Context, given: Given) => Step;
}

/** An argument of a command of the dashboard's own. */
export function argument(
  name: string,
  description: string,
  more: Partial<Argument> = {},
): Argument {
  return { name, description, required: true, type: "text", ...more };
}

/** Says why not, in place of doing something. */
export function refuse(model: Model, c: Context, text: string): Step {
  return { model: say(model, c.now, text, "warn"), effects: [] };
}
