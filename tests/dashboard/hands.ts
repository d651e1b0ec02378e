/** A model with keys pressed on it, and what they asked to be done. */

import {
  type Context,
  type Effect,
  type History,
  initialModel,
  type Metrics,
  type Model,
  type Scene,
  START,
} from "../../src/dashboard/model.ts";
import { type Happening, update } from "../../src/dashboard/update.ts";
import type { UiEvent } from "../../src/tui/mod.ts";
import { snapshotOf } from "./snapshots.ts";

export class Hands {
  model: Model;
  readonly effects: Effect[] = [];
  metrics: Metrics = { panes: {} };
  history: History = { moment: { time: 7e8, events: 100, begun: 0 }, done: [], ahead: [] };
  /** What can be completed, by kind. */
  offers: Readonly<Record<string, readonly string[]>> = {
    vms: ["vm0", "vm1"],
    devices: ["nic0", "nic1"],
    images: ["rfc-v1", "rfc-v1-posted", "mainline"],
  };

  constructor(public snapshot: Scene = snapshotOf(), more: Partial<Model> = {}) {
    this.model = initialModel("test", "rfc-v1", more);
    this.model = { ...this.model, history: { ...this.history, moment: { ...START, events: 100 } } };
  }

  get #context(): Context {
    return {
      snapshot: this.snapshot,
      metrics: this.metrics,
      size: { cols: 80, rows: 24 },
      now: 1,
      complete: (kind, word) => (this.offers[kind] ?? []).filter((o) => o.startsWith(word)),
      scenarios: ["tour", "abort"],
    };
  }

  /** Keys by name; " " is space. */
  press(...keys: string[]): this {
    for (const key of keys) {
      const text = [...key].length === 1 ? { text: key } : {};
      this.happen({ type: "key", key, ...text });
    }
    return this;
  }

  /** Text, letter by letter. */
  type(text: string): this {
    return this.press(...text);
  }

  /** A command line, entered. */
  command(line: string): this {
    return this.press(":").type(line).press("enter");
  }

  happen(event: Happening | UiEvent): this {
    const { model, effects } = update(this.model, event, this.#context);
    this.model = model;
    this.effects.push(...effects);
    return this;
  }

  frame(): this {
    return this.happen({ type: "frame", pace: 1, history: this.history, travel: undefined });
  }

  get message(): string {
    return this.model.message?.text ?? "";
  }
}
