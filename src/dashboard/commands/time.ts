import { parseDuration } from "../../operations/values.ts";
import { PHASES } from "../../platform/live_update.ts";
import { doing, just, type Mark, type Model, say, SPEEDS, START } from "../model.ts";
import { seconds, speedText } from "../words.ts";
import { setSpeed } from "../actions.ts";
import { argument, type Command, refuse } from "./types.ts";

const paused = (model: Model): Model => ({ ...model, paused: true, pace: 0 });

/** Times at which something began, ascending: phases of live updates, boots. */
function phaseTimes({ snapshot: s }: { snapshot: { updates: readonly Update[] } }): number[] {
  const times = s.updates.flatMap((u) => [
    ...PHASES.map((p) => u.began[p]).filter((t) => t !== undefined),
    ...(u.endedAt >= 0 ? [u.endedAt] : []),
  ]);
  return [...new Set([0, ...times])].sort((a, b) => a - b);
}
type Update = { readonly began: Partial<Record<string, number>>; readonly endedAt: number };

/** The last mark before now, or the first behind it. */
function neighbour(model: Model, by: 1 | -1): Mark | undefined {
  const { time, events } = model.history.moment;
  const sorted = [...model.marks].sort((a, b) => a.moment.time - b.moment.time);
  return by > 0
    ? sorted.find((m) => m.moment.time > time)
    : sorted.findLast((m) => m.moment.time < time || m.moment.events < events);
}

export const TIME_COMMANDS: readonly Command[] = [
  {
    id: "pause",
    keys: ["space", "p"],
    group: "time",
    title: "Pause or run virtual time",
    onBar: "pause/run",
    run: (model) => just({ ...model, paused: !model.paused, pace: 0 }),
  },
  {
    id: "faster",
    keys: ["+", "="],
    group: "time",
    title: "Faster: double the speed of virtual time, up to 64x",
    onBar: "faster",
    disabled: (_c, model) =>
      model.speed < SPEEDS.length - 1 ? null : `${speedText(SPEEDS.at(-1)!)} is the highest speed`,
    run: (model, c) => just(setSpeed(model, c, model.speed + 1)),
  },
  {
    id: "slower",
    keys: ["-", "_"],
    group: "time",
    title: "Slower: halve the speed of virtual time, down to 1/16x",
    onBar: "slower",
    disabled: (_c, model) => model.speed > 0 ? null : `${speedText(SPEEDS[0])} is the lowest speed`,
    run: (model, c) => just(setSpeed(model, c, model.speed - 1)),
  },
  {
    id: "event",
    keys: ["."],
    group: "time",
    title: "Run a single event, and pause",
    onBar: "event",
    run: (model) => doing(paused(model), { type: "step", by: "event" }),
  },
  {
    id: "event.back",
    keys: [","],
    group: "time",
    title: "Take the last event back: the run is made again up to it",
    disabled: (_c, { history: { moment } }) =>
      moment.events > 0 ? null : "this is where everything begins",
    run(model) {
      const { moment, done } = model.history;
      const last = done.at(-1)?.before;
      const to = last !== undefined && last.events === moment.events && last.begun < moment.begun
        ? last
        : { time: 0, events: moment.events - 1, begun: 0 };
      return doing(paused(model), { type: "travel", to, text: "one event" });
    },
  },
  {
    id: "phase",
    keys: [">"],
    group: "time",
    title: "Run to the beginning of the next phase of the live update, and pause",
    onBar: "phase",
    disabled: (c) => {
      const { update, ready } = c.snapshot;
      if (update?.outcome === "running" && update.held) return "it is held: A goes on, a aborts";
      const busy = update?.outcome === "running" || !ready;
      return busy ? null : "no live update runs, and no kernel boots";
    },
    run: (model) => doing(paused(model), { type: "step", by: "phase" }),
  },
  {
    id: "phase.back",
    keys: ["<"],
    group: "time",
    title: "Back to the beginning of the phase, or of the one before",
    disabled: (_c, { history: { moment } }) =>
      moment.time > 0 ? null : "this is where everything begins",
    run(model, c) {
      const to = phaseTimes(c).findLast((t) => t < c.snapshot.time) ?? 0;
      return doing(paused(model), { type: "travel", to: { time: to }, text: seconds(to) });
    },
  },
  {
    id: "back",
    aliases: ["undo"],
    keys: ["u"],
    group: "time",
    title: "Back to before the last thing that was done",
    onBar: "back",
    disabled: (_c, { history: { done } }) =>
      done.some((d) => d.before !== undefined) ? null : "nothing was done by hand",
    run(model) {
      const { done } = model.history;
      const last = done.findLast((d) => d.before !== undefined);
      const to = last?.before ?? START;
      return doing(paused(model), {
        type: "travel",
        to,
        text: `before ${last?.text ?? "everything"}`,
      });
    },
  },
  {
    id: "forward",
    aliases: ["redo"],
    keys: ["ctrl-r"],
    group: "time",
    title: "Forward again: to the next thing that was done",
    disabled: (_c, { history: { ahead } }) =>
      ahead.length > 0 ? null : "nothing lies ahead: you have not gone back",
    run(model) {
      const [next] = model.history.ahead;
      const time = next?.at ?? 0;
      return doing(paused(model), { type: "travel", to: { time }, text: next?.text ?? "" });
    },
  },
  {
    id: "goto",
    keys: [],
    group: "time",
    title: "Go to a moment, back or forward: goto 812ms",
    arguments: [argument("time", "virtual time, such as 812ms or 1.5s")],
    run(model, c, { time = "" }) {
      const at = parseDuration(time);
      if (at === undefined) {
        return refuse(model, c, `goto: found ${JSON.stringify(time)}, expected a time like 812ms`);
      }
      return doing(paused(model), { type: "travel", to: { time: at }, text: seconds(at) });
    },
  },
  {
    id: "mark",
    keys: ["m"],
    group: "time",
    title: "Mark this moment, to find it again",
    arguments: [argument("name", "name of the mark", { required: false })],
    run(model, c, { name }) {
      const taken = (n: string) => model.marks.some((m) => m.name === n);
      const free = "abcdefghijklmnopqrstuvwxyz".split("").find((l) => !taken(l)) ?? "z";
      const mark = { name: name ?? free, moment: model.history.moment };
      const marks = [...model.marks.filter((m) => m.name !== mark.name), mark];
      const text = `mark ${mark.name} at ${seconds(mark.moment.time)}`;
      return just(say({ ...model, marks }, c.now, text));
    },
  },
  {
    id: "mark.goto",
    aliases: ["jump"],
    keys: [],
    group: "time",
    title: "Go to a mark",
    arguments: [argument("name", "name of a mark")],
    disabled: (_c, model) => model.marks.length > 0 ? null : "there is no mark (m makes one)",
    run(model, c, { name }) {
      const mark = model.marks.find((m) => m.name === name);
      if (mark === undefined) {
        const names = model.marks.map((m) => m.name).join(", ");
        return refuse(model, c, `there is no mark ${JSON.stringify(name)}, there are ${names}`);
      }
      return doing(paused(model), {
        type: "travel",
        to: mark.moment,
        text: `mark ${mark.name}`,
      });
    },
  },
  ...([["mark.previous", "[", -1, "before"], ["mark.next", "]", 1, "after"]] as const).map((
    [id, key, by, where],
  ): Command => ({
    id,
    keys: [key],
    group: "time",
    title: `Go to the mark ${where} this moment`,
    disabled: (_c, model) =>
      neighbour(model, by) === undefined ? `there is no mark ${where} this moment` : null,
    run(model) {
      const mark = neighbour(model, by);
      if (mark === undefined) return just(model);
      return doing(paused(model), { type: "travel", to: mark.moment, text: `mark ${mark.name}` });
    },
  })),
];
