/** Whole screens as a terminal emulator shows them: every size, every kind of colours. */

import assert from "node:assert/strict";
import { initialModel, type Model, type Scene } from "../../src/dashboard/model.ts";
import { view } from "../../src/dashboard/view.ts";
import {
  flush,
  Grid,
  makeTheme,
  Region,
  StyleTable,
  type ThemeOptions,
} from "../../src/tui/mod.ts";
import { pictureOf } from "../tui/helpers.ts";
import { Screen } from "../tui/xterm.ts";
import { booting, violated } from "./snapshots.ts";

const SIZES = [[200, 50], [120, 40], [80, 24], [40, 12]] as const;
const LOOKS: Readonly<Record<string, ThemeOptions>> = {
  "24-bit colours on dark": { depth: "truecolor", background: "dark" },
  "256 colours on light": { depth: "256", background: "light" },
  "16 colours for the colour-blind": { depth: "16", palette: "colorblind" },
  "no colour": { depth: "none" },
};

const scene = (): Scene => ({ ...booting(), ...violated("no-dma-fault") });
const model: Model = initialModel("test", "rfc-v1");

/** What a terminal shows after one write of the whole screen. */
async function shown(cols: number, rows: number, theme: ThemeOptions) {
  const grid = new Grid(cols, rows, new StyleTable(makeTheme(theme)));
  view(Region.of(grid), model, scene());
  const screen = new Screen(cols, rows);
  const output = flush(grid);
  await screen.write(output);
  return { grid, screen, output };
}

for (const [name, theme] of Object.entries(LOOKS)) {
  Deno.test(`${name}: the terminal shows what was drawn, at every size`, async () => {
    for (const [cols, rows] of SIZES) {
      const { grid, screen, output } = await shown(cols, rows, theme);
      const trimmed = (lines: string[]) => lines.map((line) => line.trimEnd());
      assert.deepEqual(trimmed(screen.text()), trimmed(pictureOf(grid)), `${cols}x${rows}`);
      if (theme.depth !== "none") continue;
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(output, /\x1b\[[0-9;]*\b(3[0-7]|4[0-7]|9[0-7]|38|48)\b[0-9;:]*m/);
    }
  });

  Deno.test(`${name}: the colours of every cell at 80x24`, async (t) => {
    const { screen } = await shown(80, 24, theme);
    await t.assertSnapshot(colours(screen));
  });
}

Deno.test("the picture at 200x50", async (t) => {
  const { screen } = await shown(200, 50, { depth: "none" });
  await t.assertSnapshot("\n" + screen.text().map((row) => row.trimEnd()).join("\n") + "\n");
});

/** Rows of letters, and what each letter stands for: foreground, background, attributes. */
function colours(screen: Screen): string {
  const letters = new Map<string, string>();
  const names = [..." abcdefghijklmnopqrstuvwxyz0123456789"];
  const rows = screen.dump().map((row) =>
    [...row.matchAll(/\/(\d)\/(-?\d+:-?\d+)\/(-?\d+:-?\d+)\/(\d{5})\|/g)]
      .map(([, , fg, bg, flags]) => {
        const key = `${fg} on ${bg} ${flags}`;
        if (!letters.has(key)) letters.set(key, names[letters.size] ?? "?");
        return letters.get(key);
      }).join("")
  );
  const legend = [...letters].map(([key, letter]) => `${letter} = ${key}`);
  return "\n" + [...rows, ...legend].join("\n") + "\n";
}
