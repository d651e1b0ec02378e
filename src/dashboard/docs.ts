/** What docs/keys.md and the man page say of commands and keys: made from the table of commands. */

import { argumentUsage } from "../operations/arguments.ts";
import { keyText } from "./chrome.ts";
import { COMMANDS } from "./commands/table.ts";
import { type Command, type Group, GROUPS } from "./commands/types.ts";
import { paneOf } from "./panes/mod.ts";

const TITLES: Readonly<Record<Group, string>> = {
  update: "Live update",
  time: "Time",
  devices: "VMs, iommufds and devices",
  files: "Files",
  panes: "Panes",
  moving: "Moving",
  session: "The session",
};

/** Commands of each chapter. */
export function chapters(): { readonly title: string; readonly commands: readonly Command[] }[] {
  return GROUPS.map((group) => ({
    title: TITLES[group],
    commands: COMMANDS.filter((command) => command.group === group),
  }));
}

/** `vm.kill vm=VM` */
export function commandUsage({ id, arguments: all = [] }: Command): string {
  return [id, ...all.map(argumentUsage)].join(" ");
}

/** Keys as people read them, and the panes that they are bound to where not all. */
export function keysOf({ keys, panes }: Command): string {
  const text = keys.map(keyText).join(", ");
  return panes === undefined ? text : `${text} in ${panes.map((p) => paneOf(p).title).join(", ")}`;
}

/** A line about an argument: what it is and what it can be. */
export function argumentLines({ arguments: all = [] }: Command): string[] {
  return all.map((a) => {
    const values = a.choices === undefined ? "" : `: ${a.choices.join(", ")}`;
    const otherwise = a.default === undefined ? "" : ` (default ${a.default})`;
    return `${a.name}: ${a.description}${values}${otherwise}`;
  });
}

const cell = (text: string) => text.replaceAll("|", "\\|");

/** The body of docs/keys.md. */
export function keysMarkdown(): string {
  const out = [
    "# Keys and commands",
    "",
    "Made by `deno task docs` from the table of commands that the dashboard itself goes by; do not",
    "edit it here.",
    "",
    "A command is done by its key, by its name on the command line (`:`), in a key script, or as a",
    "line of `--plain`. `name=value`, or values alone in the order given here; brackets mark what can",
    "be left out. Tab completes. A command marked with `!` cannot be taken back and asks first.",
  ];
  for (const { title, commands } of chapters()) {
    out.push("", `## ${title}`, "", "| keys | command | |", "| --- | --- | --- |");
    for (const c of commands) {
      const keys = c.keys.length === 0 ? "" : keysOf(c);
      const also = c.aliases?.length ? `, also ${c.aliases.map((a) => `\`${a}\``).join(", ")}` : "";
      const bang = c.destructive ? " **!**" : "";
      out.push(
        `| ${cell(keys)} | \`${cell(commandUsage(c))}\`${bang}${cell(also)} | ${cell(c.title)} |`,
      );
    }
  }
  return out.join("\n") + "\n";
}
