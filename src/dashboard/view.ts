import type { Snapshot } from "../platform/snapshot.ts";
import { box, dialog, fr, type Region, rows } from "../tui/mod.ts";
import { header, oneLine, statusLine } from "./chrome.ts";
import { help } from "./help.ts";
import { modeOf, type Place, places } from "./layout.ts";
import { type Context, type Metrics, type Model, PANE_IDS, type Shown } from "./model.ts";
import { deviceDetail } from "./panes/device_detail.ts";
import { paneOf } from "./panes/mod.ts";
import { QUESTIONS } from "./questions.ts";

/**
 * Draws everything. Pure: the cells depend on the model and the snapshot only. Returns what parts
 * of the panes were shown, for scrolling to go by.
 */
export function view(screen: Region, model: Model, s: Snapshot): Metrics {
  const metrics: Record<string, Shown> = {};
  const mode = modeOf(screen);
  const context: Context = {
    snapshot: s,
    metrics,
    size: { cols: screen.w, rows: screen.h },
    now: 0,
  };
  if (mode === "line") oneLine(screen, s, model);
  else {
    const [top, body, foot] = rows(screen.area, [1, fr(), 1]);
    header(screen.sub(top!), s, model);
    for (const place of places(mode, body!, model, s)) {
      metrics[place.id] = drawPane(screen.sub(place.area), place, model, s);
    }
    statusLine(screen.sub(foot!), model, context);
  }
  const over = drawOverlay(screen, model, s, context);
  if (over !== undefined) metrics.overlay = over;
  return metrics;
}

function drawPane(region: Region, place: Place, model: Model, s: Snapshot): Shown {
  const pane = paneOf(place.id);
  const count = pane.count?.(s, model) ?? "";
  const note = pane.note?.(s, region) ?? "";
  // Panes that lie behind this one are named by their keys, where there is room.
  const others = place.behind.map((id) => PANE_IDS.indexOf(id) + 1).sort().join(" ");
  const tabs = others === "" ? "" : `[${others}]`;
  const inside = box(region, {
    title: pane.title,
    number: PANE_IDS.indexOf(place.id) + 1,
    count: firstFit([`${count} ${tabs}`.trim(), tabs, count], region.w - pane.title.length - 7),
    focused: model.focus === place.id,
    // A note that would be cut is no help.
    note: note.length <= region.w - 6 ? note : "",
  });
  return pane.draw(inside, s, model);
}

/** The first text that fits. */
function firstFit(texts: readonly string[], width: number): string {
  return texts.find((text) => text !== "" && text.length <= width) ?? "";
}

function drawOverlay(
  screen: Region,
  model: Model,
  s: Snapshot,
  c: Context,
): Shown | undefined {
  const { overlay } = model;
  switch (overlay?.kind) {
    case undefined:
      return undefined;
    case "question": {
      const { title, text, buttons } = QUESTIONS[overlay.question];
      dialog(screen, { title, text: text(model, s), buttons, selected: overlay.selected });
      return undefined;
    }
    case "device":
      return deviceDetail(screen, s, model.selected, overlay.top);
    case "help":
      return help(screen, model, c, overlay.top);
  }
}
