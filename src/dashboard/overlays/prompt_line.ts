import { drawInput, type Region } from "../../tui/mod.ts";
import { commandNamed } from "../commands/table.ts";
import type { Model } from "../model.ts";
import { argumentUsage } from "../../operations/arguments.ts";

/** Most words offered at a time. */
const MOST = 8;

const SIGN = { command: ":", filter: "/", iova: "IOVA: " } as const;

/** The line that is being typed, in the last row, and above it what is offered or was wrong. */
export function promptLines(screen: Region, { prompt }: Model): void {
  if (prompt === undefined || screen.h === 0) return;
  const { purpose, input, completion, wrong } = prompt;
  const last = screen.sub({ x: 0, y: screen.h - 1, w: screen.w, h: 1 });
  last.fill("bar");
  drawInput(last, SIGN[purpose], input, "bar");
  const above = wrong ?? (purpose === "command" ? usageOf(input.text) : "");
  const options = completion?.options ?? [];
  const from = Math.max(0, Math.min((completion?.at ?? 0) - MOST + 1, options.length - MOST));
  const shown = options.slice(from, from + MOST);
  const rows = [
    ...shown.map((text, i) => ({ text: ` ${text} `, on: from + i === completion?.at })),
  ];
  const h = rows.length + (above === "" ? 0 : 1);
  const w = Math.min(screen.w, Math.max(20, ...rows.map((r) => r.text.length), above.length + 2));
  const panel = screen.sub({ x: 0, y: screen.h - 1 - h, w, h });
  panel.fill("bar");
  rows.forEach(({ text, on }, y) => {
    panel.put(0, y, text, panel.table.over("bar", on ? "selection" : "text"));
  });
  if (above !== "") {
    const style = wrong === undefined ? "dim" : "bad";
    panel.put(1, rows.length, above, panel.table.over(style, "bar"), w - 1);
  }
}

/** How the command that is being typed goes on. */
function usageOf(line: string): string {
  const name = /^\s*(\S+)\s/.exec(line)?.[1];
  const command = name === undefined ? undefined : commandNamed(name);
  if (command === undefined) return "";
  return [command.id, ...(command.arguments ?? []).map(argumentUsage)].join(" ");
}
