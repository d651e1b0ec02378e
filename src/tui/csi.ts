/** Meaning of one complete control sequence (`CSI body final`) that a terminal has sent. */

import type { MouseAction, MouseEvent, TerminalEvent } from "./events.ts";
import { codeKey, LETTER_KEYS, modifierBits, namedKey, TILDE_KEYS } from "./key_names.ts";

/** The kitty protocol's event type for a key that went up. */
const RELEASE = 3;

/** Parameters of a body, each with its ":"-separated parts; NaN for an empty part. */
function parameters(body: string): number[][] {
  return body.split(";").map((field) => field.split(":").map((part) => parseInt(part, 10)));
}

/**
 * Decodes a sequence; null when it says nothing to an app. `body` is everything between the
 * introducer and the final character.
 */
export function decodeCsi(body: string, final: string): TerminalEvent | null {
  if (body.startsWith("<") && (final === "M" || final === "m")) {
    return mouse(body.slice(1), final === "m");
  }
  if (body.startsWith("?") && final === "c") return { type: "report", kind: "da1", text: body };
  if (/[^0-9;:]/.test(body)) return { type: "report", kind: "csi", text: body + final };

  const fields = parameters(body);
  const first = fields[0]?.[0] ?? NaN;
  const [modifier, kind] = fields[1] ?? [];
  const bits = modifierBits(modifier);
  if (kind === RELEASE) return null;

  if (final === "u") {
    return codeKey(first, bits, fields[0]?.[1]);
  }
  if (final === "~") {
    if (first === 27 && fields.length >= 3) return codeKey(fields[2]![0]!, bits);
    const name = TILDE_KEYS[first];
    return name === undefined ? null : namedKey(name, bits);
  }
  if (final === "Z") return namedKey("tab", bits | 1);
  if (final === "I" && body === "") return { type: "report", kind: "focus-in", text: "" };
  if (final === "O" && body === "") return { type: "report", kind: "focus-out", text: "" };
  // `CSI row;column R` is a cursor report; only a first parameter of 1 can be the F3 key.
  const isKey = body === "" || first === 1;
  const name = LETTER_KEYS[final];
  if (name !== undefined && isKey) return namedKey(name, bits);
  const shifted = LETTER_KEYS[final.toUpperCase()];
  if (shifted !== undefined && body === "" && "abcd".includes(final)) return namedKey(shifted, 1);
  return body === "" ? null : { type: "report", kind: "csi", text: body + final };
}

const BUTTONS = ["left", "middle", "right", "none"] as const;
const MOTION = 32;
const WHEEL = 64;
const EXTRA = 128;

function mouse(body: string, released: boolean): MouseEvent | null {
  const [code, x, y] = body.split(";").map(Number);
  if (code === undefined || x === undefined || y === undefined) return null;
  if (!(code >= 0 && x >= 1 && y >= 1)) return null;
  if (code & EXTRA) return null;
  const low = code & 3;
  let action: MouseAction;
  let button: MouseEvent["button"] = BUTTONS[low]!;
  if (code & WHEEL) {
    if (low > 1 || released) return null; // sideways
    action = low === 0 ? "wheel-up" : "wheel-down";
    button = "none";
  } else if (code & MOTION) {
    if (low === 3) return null; // moved with no button down
    action = "drag";
  } else {
    action = released ? "release" : "press";
  }
  return {
    type: "mouse",
    x: x - 1,
    y: y - 1,
    button,
    action,
    shift: (code & 4) !== 0,
    alt: (code & 8) !== 0,
    ctrl: (code & 16) !== 0,
  };
}
