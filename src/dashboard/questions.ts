import type { Snapshot } from "../platform/snapshot.ts";
import type { Button } from "../tui/mod.ts";
import type { Effect, Model, QuestionId } from "./model.ts";
import { count, runningGuests } from "./words.ts";

/** A question, its text for the moment, and what "yes" does. The first button is the way out. */
export interface Question {
  readonly title: string;
  text(model: Model, s: Snapshot): string;
  readonly buttons: readonly [Button, Button];
  effect(model: Model): Effect;
}

export const QUESTIONS: Readonly<Record<QuestionId, Question>> = {
  kexec: {
    title: "Live update",
    text(model, s) {
      const guests = count(runningGuests(s).length, "running guest");
      return `Replace the kernel under ${guests}?\nkexec into ${model.image}\n\n` +
        "y kexec, n cancel";
    },
    buttons: [{ label: "Cancel", cancel: true }, { label: "Kexec", danger: true }],
    effect: (model) => ({ type: "start-update", image: model.image }),
  },
  quit: {
    title: "Quit",
    text: (_model, s) =>
      `A live update runs (phase ${s.update?.phase ?? "unknown"}).\nQuit and drop the machine?` +
      "\n\ny quit, n stay",
    buttons: [{ label: "Stay", cancel: true }, { label: "Quit", danger: true }],
    effect: () => ({ type: "exit", code: 0 }),
  },
};
