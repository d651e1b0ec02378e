import type { Timeline } from "../operations/timeline.ts";
import { look, type Wanted } from "../platform/look/looks.ts";
import { type Snapshot, snapshot } from "../platform/snapshot.ts";
import type { TerminalSize } from "../tui/mod.ts";
import { visiblePanes } from "./layout.ts";
import type { Model, Scene } from "./model.ts";
import { chosenDevice } from "./panes/devices.ts";

/** Pieces that memory is told in: more than there are cells on most screens. */
const PIECES = 8192;

/** What is seen of the platform in this moment, looked at no more often and no closer than needed. */
export class Sight {
  #timeline: Timeline | undefined;
  #snapshot: Snapshot | undefined;
  #wanted: Wanted | undefined;
  #scene: Scene | undefined;

  /** Something has run: what was seen is the past. */
  stale(): void {
    this.#snapshot = this.#scene = undefined;
  }

  of(timeline: Timeline, model: Model, size: TerminalSize): Scene {
    const { platform } = timeline;
    if (this.#timeline !== timeline) this.stale();
    this.#timeline = timeline;
    const seen = this.#snapshot ??= snapshot(platform);
    const wanted = wantedBy(model, size, seen);
    if (this.#scene === undefined || !same(wanted, this.#wanted)) {
      this.#wanted = wanted;
      this.#scene = { ...seen, ...look(platform, wanted) };
    }
    return this.#scene;
  }
}

/** What the panes on the screen, and what lies over them, want to know. */
export function wantedBy(model: Model, size: TerminalSize, s: Snapshot): Wanted {
  const shown = visiblePanes(size, model);
  const chosen = model.overlay?.kind === "device" ? chosenDevice(model, s) : undefined;
  return {
    iommufd: shown.includes("iommufd"),
    files: shown.includes("files"),
    memory: shown.includes("memory") ? PIECES : 0,
    toggled: model.toggled,
    ...(chosen === undefined ? {} : { device: { id: chosen.id, iova: model.iova } }),
  };
}

function same(a: Wanted, b: Wanted | undefined): boolean {
  return b !== undefined && a.iommufd === b.iommufd && a.files === b.files &&
    a.memory === b.memory && a.toggled === b.toggled && a.device?.id === b.device?.id &&
    a.device?.iova === b.device?.iova;
}
