import assert from "node:assert/strict";
import { SWITCHES } from "../../src/kernel/defects/catalogue.ts";
import { findImage, imageProblem, IMAGES, imageWith } from "../../src/kernel/image.ts";

Deno.test("an image's name says which defects it has", () => {
  assert.deepEqual([...findImage("rfc-v1+D55")!.defects], ["D55"]);
  assert.deepEqual([...findImage("rfc-v1")!.defects], []);
  const posted = findImage("rfc-v1-posted")!;
  assert.deepEqual([...posted.defects], SWITCHES.map((d) => d.id));
  assert.equal(findImage("rfc-v1-posted-D55")!.defects.has("D55"), false);
  assert.equal(findImage("rfc-v1+D55")!.version, findImage("rfc-v1")!.version);
});

Deno.test("names that make no sense are no images, and say which part is wrong", () => {
  const wrong: [string, string, string][] = [
    ["rfc-v9", "rfc-v9", "no image"],
    ["RFC", "RFC", "no image"],
    ["rfc-v1+D999", "D999", "no defect"],
    ["rfc-v1+D55-D55", "D55", "added and taken away"],
    ["rfc-v1-D55", "D55", "not in this image"],
    ["mainline+D55", "D55", "not in this image"],
  ];
  for (const [name, part, what] of wrong) {
    assert.deepEqual(imageProblem(name), { part, what }, name);
    assert.equal(findImage(name), undefined, name);
  }
  for (const { name } of IMAGES) assert.equal(imageProblem(name), undefined, name);
});

Deno.test("one set of defects gives one name", () => {
  assert.equal(imageWith("rfc-v1", ["D55", "D55"]), "rfc-v1+D55");
  assert.equal(imageWith("rfc-v1+D55", []), "rfc-v1+D55");
});
