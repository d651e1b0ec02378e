/** One character a byte: any bytes become text and the same bytes again. */
export function latin1(bytes: Uint8Array, at: number, end: number): string {
  // Not TextDecoder: what it calls "latin1" is windows-1252, which moves 0x80 to 0x9f elsewhere.
  // In slices, because each argument takes stack.
  let text = "";
  for (let from = at; from < end; from += 1024) {
    text += String.fromCharCode.apply(null, sliceOf(bytes, from, Math.min(end, from + 1024)));
  }
  return text;
}

function sliceOf(bytes: Uint8Array, at: number, end: number): number[] {
  const codes: number[] = [];
  for (let i = at; i < end; i++) codes.push(bytes[i] as number);
  return codes;
}
