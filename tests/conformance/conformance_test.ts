import { play, vectorFiles } from "./runner.ts";

for (const [name, file] of vectorFiles(new URL(".", import.meta.url))) {
  Deno.test(`conformance ${name}`, async (t) => {
    for (const vector of file.vectors) {
      await t.step(`${vector.name} (FACTS ${vector.facts})`, () => {
        play(file, vector);
      });
    }
  });
}
