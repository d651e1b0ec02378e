/** What a terminal can tell an app. */

/**
 * A key press. `key` is a printable character as typed ("a", "G", "?", "é"; space is " "), or a
 * name: enter, esc, tab, backspace, delete, insert, up, down, left, right, home, end, pageup,
 * pagedown, f1..f24. Modifiers stand in front, in this order: "ctrl-alt-shift-super-". A shifted
 * character is that character ("G"), but "shift-tab", "shift-up". `text` is there when the key
 * types something.
 */
export interface KeyEvent {
  readonly type: "key";
  readonly key: string;
  readonly text?: string;
}

/** Pasted text, with line ends as "\n". Not cleaned of control characters. */
export interface PasteEvent {
  readonly type: "paste";
  readonly text: string;
}

export type MouseAction = "press" | "release" | "drag" | "wheel-up" | "wheel-down";

/** `x` and `y` are cells from 0. */
export interface MouseEvent {
  readonly type: "mouse";
  readonly x: number;
  readonly y: number;
  readonly button: "left" | "middle" | "right" | "none";
  readonly action: MouseAction;
  readonly shift: boolean;
  readonly alt: boolean;
  readonly ctrl: boolean;
}

/** An answer of the terminal to a question, or news about its focus. Never a key. */
export interface ReportEvent {
  readonly type: "report";
  readonly kind: "da1" | "osc" | "decrqss" | "xtversion" | "dcs" | "focus-in" | "focus-out" | "csi";
  /** The body without its introducer and terminator, e.g. "11;rgb:0000/0000/0000". */
  readonly text: string;
}

export type TerminalEvent = KeyEvent | PasteEvent | MouseEvent | ReportEvent;
