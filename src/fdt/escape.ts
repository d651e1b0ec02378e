/**
 * What a blob contains may be meant to do harm to the terminal it is shown on. Only printable
 * ASCII leaves these functions; everything else becomes an escape sequence in C's notation.
 */

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  "\0": "\\0",
  "\x07": "\\a",
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\v": "\\v",
  "\f": "\\f",
  "\r": "\\r",
  '"': '\\"',
  "\\": "\\\\",
};

/** A node or property name: what is not legal in one is escaped, so it cannot pass for syntax. */
export function escapeName(name: string): string {
  return name.replace(/[^0-9A-Za-z,._+*#?@-]/g, hexEscape);
}

/** The inside of a quoted string. */
export function escapeString(text: string): string {
  return text.replace(/[^ !#-[\]-~]/g, (char) => SHORT_ESCAPES[char] ?? hexEscape(char));
}

/** The inside of a comment. */
export function escapeComment(text: string): string {
  return text.replace(/[^ -~]/g, hexEscape).replaceAll("*/", "* /");
}

function hexEscape(char: string): string {
  const code = char.charCodeAt(0);
  return code < 0x100
    ? `\\x${code.toString(16).padStart(2, "0")}`
    : `\\u${code.toString(16).padStart(4, "0")}`;
}
