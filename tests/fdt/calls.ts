/** Sequences of writer calls as data, to be run by our writer and by libfdt alike. */
import { FdtWriter } from "../../src/fdt/mod.ts";

export type Call =
  | { readonly call: "reserve"; readonly address: bigint; readonly size: bigint }
  | { readonly call: "begin"; readonly name: string }
  | { readonly call: "prop"; readonly name: string; readonly value: Uint8Array }
  | { readonly call: "end" };

export const begin = (name: string): Call => ({ call: "begin", name });
export const end: Call = { call: "end" };

export function prop(name: string, value: string | Uint8Array = ""): Call {
  return { call: "prop", name, value: typeof value === "string" ? bytesOf(value) : value };
}

/** The code of each call, and of the finish: the blob in hex or a code. */
export function runHere(maxBytes: number, calls: readonly Call[]): string[] {
  const writer = new FdtWriter(maxBytes);
  const codes = calls.map((call) => `${perform(writer, call)}`);
  const blob = writer.tryFinish();
  return [...codes, typeof blob === "number" ? `${blob}` : blob.toHex()];
}

export function perform(writer: FdtWriter, call: Call): number {
  switch (call.call) {
    case "reserve":
      return writer.memReserve(call.address, call.size);
    case "begin":
      return writer.beginNode(call.name);
    case "prop":
      return writer.property(call.name, call.value);
    case "end":
      return writer.endNode();
  }
}

/** The same as lines for the reference program, whose first answer is that of the creation. */
export function scriptOf(maxBytes: number, calls: readonly Call[]): string[] {
  return [`create ${maxBytes}`, ...calls.map(lineOf), "finish"];
}

function lineOf(call: Call): string {
  switch (call.call) {
    case "reserve":
      return `reserve ${call.address} ${call.size}`;
    case "begin":
      return `begin x${bytesOf(call.name).toHex()}`;
    case "prop":
      return `prop x${bytesOf(call.name).toHex()} x${call.value.toHex()}`;
    case "end":
      return "end";
  }
}

/** One byte a character. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}
