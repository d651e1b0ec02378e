import { type Command, InvalidArgumentError, Option } from "commander";
import type { TerminalSize } from "../tui/mod.ts";

export const COLORS = ["auto", "none", "16", "256", "truecolor"] as const;
const BACKGROUNDS = ["auto", "dark", "light"] as const;
const PALETTES = ["standard", "colorblind"] as const;

/** Flags of the dashboard. */
export interface DashboardFlags {
  readonly dashboard?: boolean;
  readonly plain?: boolean;
  readonly keys?: string;
  readonly record?: string;
  readonly screenshot?: string;
  readonly size?: TerminalSize;
  readonly config?: string;
  readonly readOnly?: boolean;
  readonly mouse: boolean;
  readonly ascii?: boolean;
  readonly color: typeof COLORS[number];
  readonly background: typeof BACKGROUNDS[number];
  readonly palette: typeof PALETTES[number];
}

function size(text: string): TerminalSize {
  const m = /^(\d{1,4})x(\d{1,4})$/.exec(text);
  const [cols, rows] = [Number(m?.[1]), Number(m?.[2])];
  if (m === null || cols < 1 || cols > 1000 || rows < 1 || rows > 500) {
    throw new InvalidArgumentError("expected columns and rows such as 120x40, at most 1000x500");
  }
  return { cols, rows };
}

/** Adds the flags of the dashboard to the program's. */
export function dashboardOptions(program: Command): Command {
  return program
    .option("--dashboard", "the dashboard on --scenario, in place of a scripted run")
    .option("--plain", "the dashboard a line at a time: commands on stdin, text on stdout")
    .option("--keys <file>", "play a key script on a terminal that is only thought")
    .option("--record <file>", "write the session as an asciicast v2")
    .option("--screenshot <file>", "write the last screen to FILE.svg or FILE.txt")
    .option("--size <size>", "of the thought terminal: columns x rows", size)
    .option("--config <file>", "command lines to begin with, such as bind and set")
    .option("--read-only", "look only: nothing is done to the platform")
    .option("--no-mouse", "leave the mouse to the terminal")
    .option("--ascii", "draw with ASCII only")
    .addOption(new Option("--color <depth>", "colours").choices([...COLORS]).default("auto"))
    .addOption(
      new Option("--background <b>", "of the terminal").choices([...BACKGROUNDS]).default("auto"),
    )
    .addOption(
      new Option("--palette <p>", "which colours").choices([...PALETTES]).default("standard"),
    );
}

/** True when some flag asks for a dashboard, terminal or not. */
export function wantsDashboard(flags: DashboardFlags): boolean {
  return flags.dashboard === true || flags.plain === true || flags.keys !== undefined ||
    flags.record !== undefined || flags.screenshot !== undefined;
}
