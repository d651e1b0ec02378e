import { DEFECTS, findDefect, SWITCHES } from "../kernel/defects/catalogue.ts";
import { imageProblem, IMAGES } from "../kernel/image.ts";
import { didYouMean } from "../base/nearest.ts";

/** What is wrong with an image's name, as a sentence; undefined when there is such an image. */
export function imageComplaint(name: string): string | undefined {
  const problem = imageProblem(name);
  if (problem === undefined) return undefined;
  const { part, what } = problem;
  const images = IMAGES.map((i) => i.name);
  switch (what) {
    case "no image":
      return `there is no kernel image ${JSON.stringify(part)}` +
        (didYouMean(part.replace(/[+].*$/, ""), images) ||
          `, expected one of ${images.join(", ")}`);
    case "no defect":
      return `there is no defect ${JSON.stringify(part)}${nearDefects(part)}`;
    case "cannot show":
      return `${part} is no switch, it cannot show here: ${findDefect(part)?.notShown}`;
    case "added and taken away":
      return `${part} is both added and taken away`;
    case "not in this image":
      return `${part} is not in the code of ${name.replace(/[+-][A-Z].*$/, "")}`;
  }
}

/** `; near it are D50, D52, D55`: defects whose ids are like what was written. */
function nearDefects(found: string): string {
  const ids = SWITCHES.map((d) => d.id);
  const m = /^([A-Za-z])(\d+)/.exec(found);
  if (m === null) return didYouMean(found, DEFECTS.map((d) => d.id));
  const letter = m[1].toUpperCase(), number = Number(m[2]);
  const far = (id: string) => Math.abs(Number(id.slice(1).replace(/\D+$/, "")) - number);
  const near = ids.filter((id) => id[0] === letter).sort((a, b) => far(a) - far(b)).slice(0, 3);
  return near.length === 0 ? "" : `; near it are ${near.join(", ")}`;
}
