import {
  CORE_SCHEMA,
  dump,
  EVENT_ALIAS,
  EVENT_MAPPING,
  EVENT_POP,
  EVENT_SCALAR,
  EVENT_SEQUENCE,
  load,
  parseEvents,
  YAMLException,
} from "js-yaml";
import { type Place, UsageError } from "./errors.ts";

/** Longest scenario that is read, in UTF-16 units: a scenario is a page, not a database. */
const MAX_LENGTH = 1_000_000;

/** A parsed document that still knows where each of its parts stood. */
export interface YamlDocument {
  readonly value: unknown;
  /** Where the value (or, with `key`, the key) at a path begins. */
  placeOf(path: readonly PropertyKey[], key?: boolean): Place;
}

/** Parses one YAML 1.2 document. A {@link UsageError} with the place when it is none. */
export function parseYaml(text: string, file: string): YamlDocument {
  if (text.length > MAX_LENGTH) throw new UsageError("too long for a scenario", file);
  let value: unknown;
  try {
    value = load(text, { schema: CORE_SCHEMA, filename: file });
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const { mark, reason } = error;
    const place = mark ? { line: mark.line + 1, column: mark.column + 1 } : { line: 1, column: 1 };
    throw new UsageError(`not YAML: ${reason}`, file, place);
  }
  // Only what is wrong has to be found again.
  let places: { starts: number[]; offsets: Map<string, number> } | undefined;
  return {
    value,
    placeOf(path, key = false) {
      const { starts, offsets } = places ??= {
        starts: lineStarts(text),
        offsets: offsetsOf(text),
      };
      for (let n = path.length; n >= 0; n--) {
        const id = pathId(path.slice(0, n), key && n === path.length);
        const offset = offsets.get(id);
        if (offset !== undefined) return place(starts, offset);
      }
      return { line: 1, column: 1 };
    },
  };
}

/** A value as YAML that {@link parseYaml} reads back. `flow`: depth below which it is on one line. */
export function yamlText(value: unknown, flow = Infinity): string {
  return dump(value, { schema: CORE_SCHEMA, flowLevel: flow, lineWidth: 100 });
}

function pathId(path: readonly PropertyKey[], key: boolean): string {
  return (key ? "key" : "value") + path.map((p) => "\u0000" + String(p)).join("");
}

interface Open {
  readonly path: readonly PropertyKey[];
  readonly isMap: boolean;
  /** Sequence: next index. Mapping: the key read last, undefined when a key comes next. */
  index: number;
  key: string | undefined;
}

/** Notes for every key and value where it begins. */
function offsetsOf(text: string): Map<string, number> {
  const into = new Map<string, number>();
  const open: Open[] = [];
  const valuePath = (): PropertyKey[] => {
    const top = open[open.length - 1];
    if (top === undefined) return [];
    if (!top.isMap) return [...top.path, top.index++];
    const path = [...top.path, top.key ?? ""];
    top.key = undefined;
    return path;
  };
  for (const event of parseEvents(text, {})) {
    if (event.type === EVENT_POP) open.pop();
    else if (event.type === EVENT_SCALAR) {
      const top = open[open.length - 1];
      if (top?.isMap && top.key === undefined) {
        top.key = text.slice(event.valueStart, event.valueEnd);
        into.set(pathId([...top.path, top.key], true), event.valueStart);
      } else into.set(pathId(valuePath(), false), event.valueStart);
    } else if (event.type === EVENT_ALIAS) valuePath();
    else if (event.type === EVENT_MAPPING || event.type === EVENT_SEQUENCE) {
      const path = valuePath();
      into.set(pathId(path, false), event.start);
      open.push({ path, isMap: event.type === EVENT_MAPPING, index: 0, key: undefined });
    }
  }
  return into;
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let i = 0; i < text.length; i++) if (text[i] === "\n") starts.push(i + 1);
  return starts;
}

function place(starts: readonly number[], offset: number): Place {
  let line = starts.findIndex((s) => s > offset);
  if (line < 0) line = starts.length;
  return { line, column: offset - starts[line - 1] + 1 };
}
