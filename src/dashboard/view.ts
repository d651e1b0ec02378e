import { box, dialog, fr, type Region, rows } from "../tui/mod.ts";
import { header, oneLine, statusLine } from "./chrome.ts";
import { modeOf, type Place, places } from "./layout.ts";
import {
  type Context,
  type Drawn,
  type Metrics,
  type Model,
  PANE_IDS,
  type PaneId,
  type Scene,
  type Shown,
} from "./model.ts";
import { deviceOverlay } from "./overlays/device.ts";
import { helpOverlay } from "./overlays/help.ts";
import { kernelOverlay } from "./overlays/kernel.ts";
import { promptLines } from "./overlays/prompt_line.ts";
import { textOverlay } from "./overlays/text.ts";
import { paneOf } from "./panes/mod.ts";

/**
 * Draws everything. Pure: the cells depend on the model and the scene only. Returns what parts of
 * the panes were shown, for scrolling to go by.
 */
export function view(screen: Region, model: Model, s: Scene): Metrics {
  const panes: Partial<Record<PaneId, Drawn>> = {};
  const mode = modeOf(screen);
  const context: Context = {
    snapshot: s,
    metrics: { panes },
    size: { cols: screen.w, rows: screen.h },
    now: 0,
    complete: () => [],
    scenarios: [],
  };
  if (mode === "line") oneLine(screen, s, model);
  else {
    const [top, body, foot] = rows(screen.area, [1, fr(), 1]);
    header(screen.sub(top!), s, model);
    for (const place of places(mode, body!, model, s)) {
      panes[place.id] = drawPane(screen.sub(place.area), place, model, s);
    }
    statusLine(screen.sub(foot!), model, context);
  }
  const overlay = drawOverlay(screen, model, s, context);
  promptLines(screen, model);
  return overlay === undefined ? { panes } : { panes, overlay };
}

function drawPane(region: Region, place: Place, model: Model, s: Scene): Drawn {
  const pane = paneOf(place.id);
  const count = pane.count?.(s, model) ?? "";
  const note = pane.note?.(s, region, model) ?? "";
  const filter = model.filters[place.id];
  const filtered = filter === "" || count.includes(filter) ? "" : `/${filter}`;
  // Panes that lie behind this one are named by their keys, where there is room.
  const others = place.behind.map((id) => PANE_IDS.indexOf(id) + 1).sort().join(" ");
  const tabs = others === "" ? "" : `[${others}]`;
  const texts = [words(count, filtered, tabs), words(count, tabs), tabs, count];
  const inside = box(region, {
    title: pane.title,
    number: PANE_IDS.indexOf(place.id) + 1,
    count: firstFit(texts, region.w - pane.title.length - 7),
    focused: model.focus === place.id,
    // A note that would be cut is no help.
    note: note.length <= region.w - 6 ? note : "",
  });
  const { firstRow = 0, ...shown } = pane.draw(inside, s, model);
  return { ...shown, area: place.area, firstRow: place.area.y + 1 + firstRow };
}

/** Those that are not empty, one after the other. */
function words(...texts: readonly string[]): string {
  return texts.filter((text) => text !== "").join(" ");
}

/** The first text that fits. */
function firstFit(texts: readonly string[], width: number): string {
  return texts.find((text) => text !== "" && text.length <= width) ?? "";
}

function drawOverlay(
  screen: Region,
  model: Model,
  s: Scene,
  c: Context,
): Shown | undefined {
  const { overlay } = model;
  switch (overlay?.kind) {
    case undefined:
      return undefined;
    case "question": {
      const { title, text, buttons } = overlay.question;
      dialog(screen, { title, text, buttons, selected: overlay.selected });
      return undefined;
    }
    case "device":
      return deviceOverlay(screen, s, model, overlay);
    case "help":
      return helpOverlay(screen, overlay, model, c);
    case "kernel":
      return kernelOverlay(screen, overlay);
    case "text":
      return textOverlay(screen, overlay);
  }
}
