import { matrixMarkdown, type VersionCell, versionMatrix } from "../scenario/version_matrix.ts";
import type { Note } from "./compare.ts";
import { ALL_PROFILES, VERSION_PROFILES } from "./programs.ts";

/**
 * Every kernel image into every other, in Markdown, on one machine profile or on all of them. `note`:
 * before each cell. Safe: no DMA went where it must not, and each refusal says why.
 */
export function versions(
  profile: string,
  note: Note,
): { text: string; safe: boolean } {
  const names = profile === ALL_PROFILES ? VERSION_PROFILES : [profile];
  const matrices = names.map((name) => ({
    name,
    cells: versionMatrix(name, undefined, (done, of) => note(done, of, name)),
  }));
  const titled = ({ name, cells }: { name: string; cells: VersionCell[] }) =>
    names.length > 1 ? `## ${name}\n\n${matrixMarkdown(cells)}` : matrixMarkdown(cells);
  const wrong = (c: VersionCell) => c.passage === "unsafe" || c.passage === "unexplained";
  return {
    text: matrices.map(titled).join("\n"),
    safe: !matrices.some(({ cells }) => cells.some(wrong)),
  };
}
