/** Most bytes of text that terminals take at once by OSC 52, before base64. */
export const MAX_COPY = 74_994;

/** The sequence that puts text on the terminal's clipboard (OSC 52); cut to {@link MAX_COPY}. */
export function copySequence(text: string): string {
  const bytes = new TextEncoder().encode(text);
  let end = Math.min(bytes.length, MAX_COPY);
  // Not in the middle of a character.
  while (end < bytes.length && end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  let binary = "";
  for (let i = 0; i < end; i++) binary += String.fromCharCode(bytes[i]!);
  return `\x1b]52;c;${btoa(binary)}\x07`;
}
