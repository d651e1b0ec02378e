/**
 * The dashboard a line at a time: the same commands, for scripts and for those who hear a screen
 * rather than see it. Nothing is drawn over, nothing moves, and time runs only when told to.
 */

import { check } from "../operations/arguments.ts";
import { complete } from "../operations/names.ts";
import { OPERATIONS } from "../operations/table.ts";
import { answer, argumentText, type Timeline } from "../operations/timeline.ts";
import type { Line } from "../tui/mod.ts";
import { historyOf } from "./history.ts";
import { type Context, type Effect, initialModel, type Model, type Scene } from "./model.ts";
import { helpRows } from "./overlays/help.ts";
import { deviceLines } from "./overlays/device.ts";
import { keyText } from "./chrome.ts";
import { enterLine } from "./prompt.ts";
import type { Session, World } from "./session.ts";
import { saveSession } from "./save.ts";
import { Sight } from "./sight.ts";
import { type Journey, marksBehind, toMoment, toPhase, toTime } from "./travel.ts";
import { seconds, violatedCount } from "./words.ts";

/** Virtual time after which something that has not answered is no longer waited for. */
const LIMIT = 20e9;
const SLICE = 1e6;
/** Large enough for every pane to be there: nothing is drawn. */
const SIZE = { cols: 200, rows: 100 };

export interface PlainOptions {
  readonly world: World;
  readonly readOnly?: boolean;
}

export class Plain {
  readonly #world: World;
  readonly #print: (line: string) => void;
  readonly #sight = new Sight();
  #session: Session;
  #timeline: Timeline;
  #model: Model;
  /** Lines that were not understood, or things that could not be done. */
  failures = 0;
  /** Set when it is over. */
  exitCode: number | undefined;

  constructor(session: Session, options: PlainOptions, print: (line: string) => void) {
    this.#world = options.world;
    this.#print = print;
    this.#session = session;
    this.#timeline = session.timeline;
    this.#model = initialModel(session.title, session.image, {
      paused: true,
      readOnly: options.readOnly ?? false,
      settings: { look: { depth: "none", ascii: true }, mouse: false, slowMotion: false },
    });
    this.#arrive();
  }

  get timeline(): Timeline {
    return this.#timeline;
  }

  /** What the prompt says: where things are. */
  get prompt(): string {
    return this.#model.overlay?.kind === "question" ? "yes or no? " : "hitless> ";
  }

  /** Goes to where a person takes over: where it was saved, or the scenario's own steps have ended. */
  #arrive(): void {
    const { until } = this.#session;
    if (until !== undefined) this.#timeline.runTo(until);
    else this.#wait(() => this.#timeline.ended);
    this.#sight.stale();
    this.#tell();
  }

  #wait(done: () => boolean): void {
    const start = this.#timeline.now;
    while (!done() && this.#timeline.now - start < LIMIT) this.#timeline.runFor(SLICE);
  }

  get #scene(): Scene {
    return this.#sight.of(this.#timeline, this.#model, SIZE);
  }

  #context(): Context {
    return {
      snapshot: this.#scene,
      metrics: { panes: {} },
      size: SIZE,
      now: 0,
      complete: (kind, word) => complete(this.#timeline, kind, word),
      scenarios: this.#world.scenarios,
    };
  }

  /** Does what a line says. */
  line(text: string): void {
    const line = text.trim().replace(/^:/, "");
    this.#model = { ...this.#model, history: historyOf(this.#timeline), message: undefined };
    const { overlay } = this.#model;
    if (overlay?.kind === "question") {
      this.#model = { ...this.#model, overlay: undefined };
      if (/^y(es)?$/i.test(line)) return this.#do(overlay.question.yes);
      this.#print("nothing was done");
      if (/^no?$/i.test(line) || line === "") return;
    }
    if (line === "" || line.startsWith("#")) return;
    const result = enterLine(line, this.#model, this.#context());
    if ("wrong" in result) return this.#fail(result.wrong);
    this.#model = result.model;
    for (const effect of result.effects) this.#do(effect);
    this.#show();
  }

  #fail(text: string): void {
    this.failures++;
    this.#print(`error: ${text}`);
  }

  /** What a screen would show by now, told once. */
  #show(): void {
    const { message, overlay, prompt } = this.#model;
    if (message !== undefined) this.#print(message.text);
    if (prompt !== undefined) {
      this.#model = { ...this.#model, prompt: undefined };
      this.#fail(`${prompt.input.text.trim()}: something is missing, see help`);
    }
    switch (overlay?.kind) {
      case undefined:
        return;
      case "question":
        for (const line of overlay.question.text.split("\n")) {
          if (line !== "" && !/^y .*, n /.test(line)) this.#print(line);
        }
        return;
      case "text":
        this.#print(`${overlay.title}:`);
        this.#printAll(overlay.lines.map((line) => `  ${line}`));
        break;
      case "device":
        this.#printAll(deviceLines(this.#scene, this.#model, overlay.tab).map(lineText));
        break;
      case "help":
        this.#printAll(this.#help());
        break;
      case "kernel":
        this.#print(`the next kexec boots ${this.#model.image}; kernel image=NAME chooses another`);
    }
    this.#model = { ...this.#model, overlay: undefined };
  }

  #printAll(lines: readonly string[]): void {
    for (const line of lines) this.#print(line.trimEnd());
  }

  #help(): string[] {
    const c = this.#context();
    return helpRows("").map((command) => {
      const reason = command.disabled?.(c, this.#model) ?? null;
      const keys = command.keys.map(keyText).join(" ");
      const tail = reason === null ? "" : ` (not now: ${reason})`;
      return `${command.id}${keys === "" ? "" : ` [${keys}]`}: ${command.title}${tail}`;
    });
  }

  #do(effect: Effect): void {
    switch (effect.type) {
      case "act":
        return this.#act(effect);
      case "step":
        if (effect.by === "event") this.#timeline.step();
        else this.#go(toPhase(this.#timeline));
        return this.#tell();
      case "travel": {
        const { to, text } = effect;
        const now = this.#timeline;
        this.#go("events" in to ? toMoment(now, to, text) : toTime(now, to.time, text));
        return this.#tell();
      }
      case "save":
        return this.#try(() =>
          saveSession(this.#session, this.#timeline, this.#world, effect.file)
        );
      case "open":
        return this.#try(() => this.#take(this.#world.open(effect.name), "opened"));
      case "restart":
        return this.#try(() => {
          if (this.#session.again === undefined) throw new Error("this session has no beginning");
          return this.#take(this.#session.again(effect.image), "begun again:");
        });
      case "screenshot":
        return this.#fail("there is no screen to take a picture of; show PANE prints a pane");
      case "copy":
        return this.#printAll(effect.text.split("\n"));
      case "exit":
        this.exitCode = effect.code;
        return;
    }
  }

  /** Goes on with another session. */
  #take(session: Session, what: string): string {
    this.#session = session;
    this.#timeline = session.timeline;
    const { settings, readOnly, lines } = this.#model;
    const kept = { settings, readOnly, lines, paused: true };
    this.#model = initialModel(session.title, session.image, kept);
    this.#arrive();
    return `${what} ${session.title}`;
  }

  #try(what: () => string): void {
    try {
      this.#print(what());
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
  }

  #act({ operation, given }: Effect & { readonly type: "act" }): void {
    const row = OPERATIONS.get(operation);
    const parsed = row && check(row, { ...given });
    if (parsed === undefined || "wrong" in parsed) return this.#fail(parsed?.wrong ?? operation);
    const before = violatedCount(this.#scene);
    this.#model = { ...this.#model, marks: marksBehind(this.#model.marks, this.#timeline) };
    const action = { do: operation, with: parsed.given, args: parsed.args };
    const result = this.#timeline.act(action);
    this.#wait(() => result.outcome !== undefined);
    this.#sight.stale();
    const { outcome } = result;
    const text = `${operation} ${argumentText(parsed.given)}`.trimEnd();
    if (outcome === undefined) return this.#fail(`${text}: no answer`);
    const detail = outcome.detail === undefined ? "" : ` (${outcome.detail})`;
    this.#print(`${text}: ${outcome.errno === 0 ? "done" : answer(outcome)}${detail}`);
    if (outcome.output !== undefined) this.#printAll(outcome.output.split("\n"));
    const now = violatedCount(this.#scene);
    if (now > before) this.#print(`VIOLATED: ${now} invariants, see show invariants`);
    this.#tell();
  }

  #go(journey: Journey): void {
    while (!journey.advance()) { /* all the way */ }
    this.#timeline = journey.timeline;
    this.#sight.stale();
  }

  /** Where things are, in a line. */
  #tell(): void {
    const s = this.#scene;
    const update = s.update?.outcome === "running" ? `, live update: ${s.update.phase}` : "";
    const verdict = violatedCount(s) > 0 ? `VIOLATED ${violatedCount(s)}` : "holds";
    const boot = s.panicked !== "" ? "panicked" : s.ready ? "up" : "starting";
    this.#print(`at ${seconds(s.time)}, boot ${s.boot} (${s.image}) ${boot}${update}, ${verdict}`);
  }
}

function lineText(line: Line): string {
  if (typeof line === "string") return line;
  return "text" in line ? line.text : line.map((piece) => piece.text).join("");
}
