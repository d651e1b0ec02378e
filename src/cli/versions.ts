import { matrixMarkdown, versionMatrix } from "../scenario/version_matrix.ts";

/** Every kernel image into every other, in Markdown: on one machine profile. */
export function versions(profile: string): { text: string; safe: boolean } {
  const cells = versionMatrix(profile);
  return { text: matrixMarkdown(cells), safe: cells.every((c) => c.passage !== "unsafe") };
}
