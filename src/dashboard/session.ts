import type { Timeline } from "../operations/timeline.ts";

/** What a dashboard shows and drives. */
export interface Session {
  readonly timeline: Timeline;
  /** Shown in the header, e.g. the scenario's name. */
  readonly title: string;
  /** Image the next kexec boots. */
  readonly image: string;
  /** Virtual time to go to before a person takes over. */
  readonly until?: number;
  /** The same from its start, on another kernel where one is named. */
  again?(image?: string): Session;
  /** The run so far as a scenario of that name. */
  text?(timeline: Timeline, name: string): string;
}

/**
 * The world outside, as far as a dashboard has to do with it. What cannot be done throws an Error
 * whose message is for the person.
 */
export interface World {
  /** Names of the built-in scenarios. */
  readonly scenarios: readonly string[];
  /** A built-in scenario, or a file. */
  open(name: string): Session;
  write(file: string, text: string): void;
}

/** A world in which there is nothing else. */
export const NO_WORLD: World = {
  scenarios: [],
  open: (name) => {
    throw new Error(`${name} cannot be opened from here`);
  },
  write: (file) => {
    throw new Error(`${file} cannot be written from here`);
  },
};
