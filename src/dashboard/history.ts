import { answer, argumentText, type Timeline } from "../operations/timeline.ts";
import type { Deed, History } from "./model.ts";

const textOf = (name: string, given: Readonly<Record<string, unknown>>) =>
  `${name} ${argumentText(given)}`.trimEnd();

/** What was done so far, and what lies ahead after going back. */
export function historyOf(timeline: Timeline): History {
  return {
    moment: timeline.moment,
    done: timeline.results.map(({ action, startedAt, before, outcome }): Deed => ({
      at: startedAt,
      text: textOf(action.do, action.with),
      ...(outcome === undefined ? {} : { answer: answer(outcome) }),
      // What the scenario itself began with is no deed that could be taken back.
      ...(action.at === undefined ? {} : { before }),
    })),
    ahead: timeline.ahead.map((action): Deed => ({
      at: action.at ?? 0,
      text: textOf(action.do, action.with),
    })),
  };
}
