import { parseDuration } from "../operations/values.ts";
import { keyBytes, type ScriptStep } from "../tui/mod.ts";

/** Milliseconds after each key, so that what it does is drawn, and can be seen in a recording. */
const AFTER_KEY = 50;

/** What a script can have done beside keys. */
export interface ScriptHands {
  screenshot(file: string): void;
  marker(label: string): void;
}

/** Something wrong with a script, and in which line. */
export class KeyScriptError extends Error {
  override name = "KeyScriptError";
  constructor(readonly line: number, message: string) {
    super(message);
  }
}

const INSTRUCTIONS = ["wait", "press", "type", "resize", "screenshot", "marker"];

/**
 * Reads a key script, an instruction a line: `wait 500ms`; `press k y Ctrl-R`, keys as help shows
 * them; `type :vm.start` and what else is typed; `resize 80x24`; `screenshot out.svg`; `marker TEXT`
 * for the recording. Empty lines, and what begins with `#`, say nothing. A {@link KeyScriptError}
 * names the line that is wrong.
 */
export function parseKeyScript(text: string, hands: ScriptHands): ScriptStep[] {
  const steps: ScriptStep[] = [];
  text.split("\n").forEach((line, i) => {
    const m = /^\s*(\S+)(?:\s+(.*?))?\s*$/.exec(line);
    if (m === null || m[1]!.startsWith("#")) return;
    steps.push(...instruction(m[1]!, m[2] ?? "", i + 1, hands));
  });
  return steps;
}

function instruction(word: string, rest: string, line: number, hands: ScriptHands): ScriptStep[] {
  const fail = (message: string): never => {
    throw new KeyScriptError(line, message);
  };
  switch (word) {
    case "wait": {
      const ns = parseDuration(rest);
      if (ns === undefined) return fail(`wait: found ${quoted(rest)}, expected a time like 500ms`);
      return [{ type: "wait", ms: ns / 1e6 }];
    }
    case "press":
      return rest.split(/\s+/).flatMap((name) => {
        const bytes = keyBytes(keyName(name));
        if (bytes === undefined) return fail(`press: there is no key ${quoted(name)}`);
        return key(bytes);
      });
    case "type":
      return [...rest].flatMap(key);
    case "resize": {
      const m = /^(\d{1,4})x(\d{1,4})$/.exec(rest);
      if (m === null) return fail(`resize: found ${quoted(rest)}, expected a size like 80x24`);
      const size = { cols: Number(m[1]), rows: Number(m[2]) };
      return [{ type: "resize", size }, { type: "wait", ms: AFTER_KEY }];
    }
    case "screenshot":
      if (rest === "") return fail("screenshot: expected the name of a file");
      return [{ type: "call", run: () => hands.screenshot(rest) }];
    case "marker":
      return [{ type: "call", run: () => hands.marker(rest) }];
    default:
      return fail(`found ${quoted(word)}, expected one of ${INSTRUCTIONS.join(", ")}`);
  }
}

function key(bytes: string): ScriptStep[] {
  return [{ type: "input", bytes }, { type: "wait", ms: AFTER_KEY }];
}

const quoted = (text: string) => JSON.stringify(text);

/** `Ctrl-R`, `PgDn`, `Esc`: as help shows it; a single character is itself. */
function keyName(shown: string): string {
  if ([...shown].length === 1) return shown;
  const low = shown.toLowerCase();
  return { pgup: "pageup", pgdn: "pagedown", del: "delete", ins: "insert" }[low] ?? low;
}
