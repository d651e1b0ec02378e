/**
 * Decodes what a terminal sends, byte by byte, so that it does not matter how the bytes are
 * divided over reads. Nothing here knows the time: a lone ESC stays pending until the next
 * byte, or until the caller says by `timeout()` that none came.
 */

import { decodeCsi } from "./csi.ts";
import type { TerminalEvent } from "./events.ts";
import {
  controlKey,
  KEYPAD_KEYS,
  LETTER_KEYS,
  LINUX_KEYS,
  namedKey,
  textKey,
} from "./key_names.ts";

const ESC = 0x1b;
const BEL = 0x07;

/** Longer control sequences are swallowed: no key or answer is that long. */
const MAX_CSI = 128;
const MAX_STRING = 4096;
/** Bytes of one paste that are kept. */
export const MAX_PASTE = 1 << 20;
const PASTE_END = [ESC, 0x5b, 0x32, 0x30, 0x31, 0x7e];

type State =
  | "ground"
  | "utf8"
  | "escape"
  | "csi"
  | "linux"
  | "x10-mouse"
  | "ss3"
  | "string"
  | "string-escape"
  | "paste";

export class KeyDecoder {
  #state: State = "ground";
  /** Bytes of the sequence under way, without its introducer. */
  #bytes: number[] = [];
  /** True when the sequence became too long and is being skipped. */
  #overflow = false;
  /** True when an ESC came before what is being decoded in the ground state. */
  #alt = false;
  /** "P" for a device control string, "]" for an operating system command. */
  #stringKind = "";
  #needed = 0;
  #matched = 0;
  #events: TerminalEvent[] = [];

  /**
   * True when the bytes so far may be a whole key: call `timeout()` if nothing follows within
   * about 30 ms.
   */
  get pending(): boolean {
    if (this.#state === "escape") return true;
    const introduced = this.#state === "csi" || this.#state === "ss3" || this.#state === "string";
    return introduced && this.#bytes.length === 0 && !this.#overflow;
  }

  /** Takes the bytes of one read and returns the events they complete. */
  feed(bytes: Uint8Array): TerminalEvent[] {
    for (const byte of bytes) this.#byte(byte);
    return this.#drain();
  }

  /** Says that nothing followed: a pending ESC is the Escape key, ESC [ is alt-[, and so on. */
  timeout(): TerminalEvent[] {
    if (this.pending) {
      if (this.#state === "escape") this.#events.push(namedKey("esc"));
      else if (this.#state === "csi") this.#events.push(textKey("[", true));
      else if (this.#state === "ss3") this.#events.push(textKey("O", true));
      else this.#events.push(textKey(this.#stringKind, true));
      this.#ground();
    }
    return this.#drain();
  }

  #drain(): TerminalEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #ground(): void {
    this.#enter("ground");
    this.#alt = false;
  }

  #enter(state: State): void {
    this.#state = state;
    this.#bytes = [];
    this.#overflow = false;
  }

  /** Gives up the sequence under way and decodes `byte` afresh. */
  #abort(byte: number): void {
    this.#ground();
    this.#byte(byte);
  }

  #byte(byte: number): void {
    switch (this.#state) {
      case "ground":
        return this.#groundByte(byte);
      case "utf8":
        return this.#utf8Byte(byte);
      case "escape":
        return this.#escapeByte(byte);
      case "csi":
        return this.#csiByte(byte);
      case "linux":
        if (byte < 0x20 || byte > 0x7e) return this.#abort(byte);
        this.#name(LINUX_KEYS[String.fromCharCode(byte)], 0);
        return;
      case "x10-mouse":
        this.#bytes.push(byte);
        if (this.#bytes.length === 3) this.#x10Mouse();
        return;
      case "ss3":
        return this.#ss3Byte(byte);
      case "string":
        return this.#stringByte(byte);
      case "string-escape":
        if (byte === 0x5c) return this.#endString();
        // Not a terminator: the string was cut short, and a new sequence has begun.
        this.#ground();
        this.#byte(ESC);
        return this.#byte(byte);
      case "paste":
        return this.#pasteByte(byte);
    }
  }

  #groundByte(byte: number): void {
    if (byte === ESC) return this.#enter("escape");
    if (byte < 0x20 || byte === 0x7f) {
      this.#events.push(controlKey(byte, this.#alt));
    } else if (byte < 0x80) {
      this.#events.push(textKey(String.fromCharCode(byte), this.#alt));
    } else if (byte >= 0xc2 && byte <= 0xf4) {
      this.#enter("utf8");
      this.#bytes.push(byte);
      this.#needed = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
      return;
    }
    this.#alt = false;
  }

  #utf8Byte(byte: number): void {
    if ((byte & 0xc0) !== 0x80) return this.#abort(byte);
    this.#bytes.push(byte);
    if (this.#bytes.length < this.#needed) return;
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(this.#bytes));
    const code = text.codePointAt(0)!;
    // U+FFFD stands for bytes that are no character, and C1 controls are not typed by anyone.
    if (code !== 0xfffd && code >= 0xa0) this.#events.push(textKey(text, this.#alt));
    this.#ground();
  }

  #escapeByte(byte: number): void {
    switch (byte) {
      case ESC:
        this.#events.push(namedKey("esc"));
        return;
      case 0x5b:
        return this.#enter("csi");
      case 0x4f:
        return this.#enter("ss3");
      case 0x50:
      case 0x5d:
        this.#stringKind = String.fromCharCode(byte);
        return this.#enter("string");
      default:
        this.#enter("ground");
        this.#alt = true;
        this.#byte(byte);
    }
  }

  #csiByte(byte: number): void {
    if (byte < 0x20 || byte > 0x7e) return this.#abort(byte);
    const first = this.#bytes.length === 0 && !this.#overflow;
    if (first && byte === 0x5b) return this.#enter("linux");
    if (first && byte === 0x4d) return this.#enter("x10-mouse");
    if (byte < 0x40) {
      if (this.#bytes.length < MAX_CSI) this.#bytes.push(byte);
      else this.#overflow = true;
      return;
    }
    const body = String.fromCharCode(...this.#bytes);
    const overflow = this.#overflow;
    this.#ground();
    if (overflow) return;
    if (body === "200" && byte === 0x7e) {
      this.#matched = 0;
      return this.#enter("paste");
    }
    const event = decodeCsi(body, String.fromCharCode(byte));
    if (event !== null) this.#events.push(event);
  }

  #ss3Byte(byte: number): void {
    if (byte < 0x20 || byte > 0x7e) return this.#abort(byte);
    // Some terminals put a modifier digit before the letter.
    if (byte >= 0x30 && byte <= 0x39 && this.#bytes.length === 0) {
      this.#bytes.push(byte);
      return;
    }
    const letter = String.fromCharCode(byte);
    const digit = this.#bytes.length === 0 ? 1 : this.#bytes[0]! - 0x30;
    this.#name(LETTER_KEYS[letter] ?? KEYPAD_KEYS[letter], Math.max(0, digit - 1));
  }

  #name(name: string | undefined, bits: number): void {
    if (name !== undefined) this.#events.push(namedKey(name, bits));
    this.#ground();
  }

  #x10Mouse(): void {
    const [button, x, y] = this.#bytes.map((byte) => byte - 32) as [number, number, number];
    this.#ground();
    // The old encoding does not tell which button went up.
    const released = (button & 3) === 3 && button < 64;
    const event = decodeCsi(`<${button};${x};${y}`, released ? "m" : "M");
    if (event !== null) this.#events.push(event);
  }

  #stringByte(byte: number): void {
    if (byte === ESC) {
      this.#state = "string-escape";
    } else if (byte === BEL) {
      this.#endString();
    } else if (byte < 0x20 || byte === 0x7f) {
      // No answer holds one of these: this is a person typing after alt-] or alt-P.
      this.#abort(byte);
    } else if (this.#bytes.length < MAX_STRING) {
      this.#bytes.push(byte);
    } else {
      this.#overflow = true;
    }
  }

  #endString(): void {
    const text = new TextDecoder().decode(new Uint8Array(this.#bytes));
    const overflow = this.#overflow;
    this.#ground();
    if (overflow) return;
    if (this.#stringKind === "]") this.#events.push({ type: "report", kind: "osc", text });
    else if (text.startsWith(">|")) {
      this.#events.push({ type: "report", kind: "xtversion", text: text.slice(2) });
    } else {
      const kind = /^[01]\$r/.test(text) ? "decrqss" : "dcs";
      this.#events.push({ type: "report", kind, text });
    }
  }

  #pasteByte(byte: number): void {
    if (byte === PASTE_END[this.#matched]) {
      if (++this.#matched < PASTE_END.length) return;
      const text = new TextDecoder().decode(new Uint8Array(this.#bytes)).replace(/\r\n?/g, "\n");
      this.#ground();
      this.#events.push({ type: "paste", text });
      return;
    }
    // ESC occurs only at the start of the end mark, so a failed match restarts at this byte.
    for (let i = 0; i < this.#matched; i++) this.#keep(PASTE_END[i]!);
    this.#matched = byte === ESC ? 1 : 0;
    if (this.#matched === 0) this.#keep(byte);
  }

  #keep(byte: number): void {
    if (this.#bytes.length < MAX_PASTE) this.#bytes.push(byte);
  }
}
