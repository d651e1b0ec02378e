import type { Moment, Timeline } from "../operations/timeline.ts";
import type { Mark, Travel } from "./model.ts";

/** Events between two looks at the clock. */
const STEPS = 2000;
/** Virtual time between two looks at the clock. */
const SLICE = 2_000_000;

/** Going somewhere on a timeline, a piece at a time. */
export interface Journey {
  readonly to: string;
  /** The one that is run: another one than the present when the way leads back. */
  readonly timeline: Timeline;
  /** Goes on for a moment; true when it has arrived. */
  advance(): boolean;
  /** How much of the way is done, 0..1. */
  ratio(): number;
}

/** To an exact moment. Back means: again from the start. */
export function toMoment(present: Timeline, to: Moment, text: string): Journey {
  const here = present.moment;
  const ahead = to.events >= here.events && to.begun >= here.begun && to.time >= here.time;
  const timeline = ahead ? present : present.again();
  return {
    to: text,
    timeline,
    advance: () => timeline.towards(to, STEPS),
    ratio: () => to.events === 0 ? 1 : timeline.moment.events / to.events,
  };
}

/** To a virtual time: when everything has happened that happens then. */
export function toTime(present: Timeline, time: number, text: string): Journey {
  const timeline = time >= present.now ? present : present.again();
  const from = timeline.now;
  return {
    to: text,
    timeline,
    advance() {
      timeline.runTo(Math.min(time, timeline.now + SLICE));
      return timeline.now >= time;
    },
    ratio: () => time === from ? 1 : (timeline.now - from) / (time - from),
  };
}

/** What changes from one phase to the next: of a live update, or of a boot without one. */
function phaseOf({ platform }: Timeline): string {
  const { update, updates, boots, kernel } = platform;
  const running = update?.outcome === "running";
  return `${updates.length} ${
    running ? update.phase : `${update?.outcome} ${boots} ${kernel.ready}`
  }`;
}

/** To the beginning of the next phase, event by event. Gives up after ten virtual seconds. */
export function toPhase(timeline: Timeline): Journey {
  const before = phaseOf(timeline), from = timeline.now, limit = 10e9;
  return {
    to: "the next phase",
    timeline,
    advance() {
      for (let n = 0; n < STEPS; n++) {
        if (!timeline.step() || phaseOf(timeline) !== before) return true;
      }
      return timeline.now - from > limit;
    },
    ratio: () => 0,
  };
}

export function travelOf({ to, ratio }: Journey): Travel {
  return { to, ratio: Math.min(1, Math.max(0, ratio())) };
}

/** The marks that are still places of this run once something else is done at its present moment. */
export function marksBehind(marks: readonly Mark[], { moment }: Timeline): readonly Mark[] {
  const { events, begun } = moment;
  return marks.filter((m) => m.moment.events <= events && m.moment.begun <= begun);
}
