import type { Command } from "commander";
import { argumentLines, chapters, commandUsage, keysOf } from "../dashboard/docs.ts";

/** Text as roff: no line begins with a control character, no backslash or dash means anything. */
function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^([.'])/gm, "\\&$1");
}

/** The manual page, section 1, for `man -l`. `program`: the command line it describes. */
export function manPage(program: Command): string {
  const out = [
    '.\\" Made by "deno task docs" from the tables the program goes by; do not edit it here.',
    `.TH HITLESS 1 "" "hitless ${program.version() ?? ""}"`,
    ".SH NAME",
    "hitless \\- live\\-update a hypervisor while its guests' devices keep doing DMA, emulated",
    ".SH SYNOPSIS",
    ".B hitless",
    ".RI [ options ]",
    ...program.commands.filter((c) => c.name() !== "help").flatMap((c) => [
      ".br",
      `.B hitless ${roff(c.name())}`,
      roff(c.usage().replace("[options] ", "")),
    ]),
    ".SH DESCRIPTION",
    ...paragraphs(program.description()),
    ".SH OPTIONS",
    ...program.options.flatMap((o) => [
      ".TP",
      `.B ${roff(o.flags)}`,
      roff(
        o.description +
          (o.argChoices === undefined ? "" : `: ${o.argChoices.join(", ")}`) +
          (typeof o.defaultValue === "string" ? ` (default ${o.defaultValue})` : ""),
      ),
    ]),
    ".SH COMMANDS OF THE DASHBOARD",
    "By key, by name behind a colon, in a key script, or as a line of \\-\\-plain.",
    "Those marked with ! cannot be taken back and ask first.",
  ];
  for (const { title, commands } of chapters()) {
    out.push(`.SS ${roff(title)}`);
    for (const c of commands) {
      // A line may end behind any of the words that can stand in one place.
      const usage = roff(commandUsage(c)).replaceAll("|", "|\\:");
      out.push(".TP", `.B ${usage}${c.destructive ? " !" : ""}`);
      out.push(roff(`${c.title}.`));
      if (c.keys.length > 0) out.push(".br", roff(`Keys: ${keysOf(c)}`));
      if (c.aliases?.length) out.push(".br", roff(`Also: ${c.aliases.join(", ")}`));
      for (const line of argumentLines(c)) out.push(".br", roff(line));
    }
  }
  out.push(
    ".SH KEY SCRIPTS",
    "A file for \\-\\-keys, an instruction a line:",
    ...SCRIPT.flatMap(([form, what]) => [".TP", `.B ${roff(form)}`, roff(what)]),
    ".SH EXIT STATUS",
    ...EXITS.flatMap(([code, what]) => [".TP", `.B ${code}`, roff(what)]),
  );
  return out.join("\n") + "\n";
}

function paragraphs(text: string): string[] {
  return text.split("\n").flatMap((line, i) => i === 0 ? [roff(line)] : [".PP", roff(line)]);
}

const SCRIPT: readonly (readonly [string, string])[] = [
  ["wait 500ms", "let time go by"],
  ["press k y Ctrl-R", "keys, as help shows them"],
  ["type :vm.start", "text, letter by letter"],
  ["resize 80x24", "give the terminal another size"],
  ["screenshot FILE", "write the screen to FILE.svg or FILE.txt"],
  ["marker TEXT", "put a marker into the recording"],
];

const EXITS: readonly (readonly [string, string])[] = [
  ["0", "it holds; a dashboard was quit"],
  ["1", "it is violated"],
  ["2", "bad usage or a bad file; a line of --plain was not understood"],
  ["3", "vacuous: what was to be shown never came up"],
  ["70", "an internal error"],
  ["130", "interrupted"],
];
