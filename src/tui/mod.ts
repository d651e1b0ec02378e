/**
 * A terminal toolkit: a cell grid that writes only what changed, a full-screen session that
 * always gives the terminal back, a key decoder, layouts and widgets. Needs no permission.
 *
 * @module
 */

export { copySequence, MAX_COPY } from "./clipboard.ts";
export * from "./color.ts";
export * from "./events.ts";
export * from "./flush.ts";
export * from "./glyphs.ts";
export * from "./grid.ts";
export * from "./io.ts";
export { keyBytes } from "./key_bytes.ts";
export { KeyDecoder, MAX_PASTE } from "./keys.ts";
export * from "./layout.ts";
export * from "./loop.ts";
export * from "./picture.ts";
export { ColorProbe, PROBE, PROBE_LIMIT_MS } from "./probe.ts";
export * from "./recording.ts";
export * from "./region.ts";
export * from "./scroll.ts";
export { ScriptedIo, type ScriptStep } from "./scripted_io.ts";
export * from "./session.ts";
export * from "./style.ts";
export * from "./text.ts";
export * from "./theme.ts";
export * from "./widgets/mod.ts";
export { CellScanner, cellWidth, textWidth } from "./width.ts";
