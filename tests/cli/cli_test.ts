import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { hitless } from "./helpers.ts";

Deno.test("without a terminal and arguments the tour is played, with no permission", async () => {
  const { code, out, err } = await hitless([], []);
  assert.equal(code, 0, err + out);
  assert.match(out, /^scenario tour: holds\n/);
  assert.match(out, /\nverdict holds\n$/);
  assert.ok(!out.includes("\u001b"));
});

Deno.test("--report json is one document, the same for the same seed", async () => {
  const run = () =>
    hitless([], ["--scenario", "persisted-iommufd", "--report", "json", "--seed", "3"]);
  const [a, b] = await Promise.all([run(), run()]);
  assert.equal(a.code, 0, a.err);
  assert.equal(a.out, b.out);
  const report = JSON.parse(a.out);
  assert.equal(report.format, "hitless.report");
  assert.equal(report.verdict, "holds");
  assert.equal(report.seed, 3);
});

Deno.test("control-mainline exits 0 because it expects the loss, and shows it", async () => {
  const { code, out } = await hitless([], ["--scenario", "control-mainline"]);
  assert.equal(code, 0);
  assert.match(out, /violated +no-dma-fault/);
});

Deno.test("--kernel takes another image, and the verdict is the exit status", async () => {
  const { code } = await hitless([], ["--scenario", "persisted-iommufd", "--kernel", "mainline"]);
  assert.equal(code, 1);
});

Deno.test("a scenario of one's own that shows nothing exits 3", async () => {
  const file = await Deno.makeTempFile({ suffix: ".yaml" });
  await Deno.writeTextFile(
    file,
    "version: 1\nname: x\ndescription: d\nsteps: [{ do: check }]\n" +
      "expect: { invariants: [no-dma-fault] }\n",
  );
  const { code, out } = await hitless([`--allow-read=${file}`], ["--scenario", file]);
  assert.equal(code, 3, out);
  await Deno.remove(file);
});

const USAGE: [args: string[], says: RegExp][] = [
  [["--scenario", "tor"], /there is no scenario "tor", did you mean tour\?/],
  [
    ["--scenario", "nowhere.yaml"],
    /reading nowhere\.yaml is not allowed.*--allow-read=nowhere\.yaml/,
  ],
  [["kho", "x.dtb"], /reading x\.dtb is not allowed.*--allow-read=x\.dtb/],
  [["--dump", "d"], /--dump d: writing there is not allowed.*--allow-write=d/],
  [["--sed", "4"], /unknown option '--sed'\n\(Did you mean --seed\?\)/],
  [["--seed", "x"], /expected a whole number from 0 to 4294967295/],
  [["--report", "xml"], /Allowed choices are text, json/],
  [["--kernel", "rfc"], /there is no kernel image "rfc", expected one of rfc-v1, /],
  [["--kernel", "rfc-v2"], /did you mean rfc-v1\?/],
  [["--defect", "D5"], /there is no defect "D5"; near it are D\d+, D\d+, D\d+$/m],
  [["--kernel", "mainline", "--defect", "D55"], /D55 is not in the code of mainline/],
  [["--kernel", "rfc-v1+D55-D55"], /D55 is both added and taken away/],
  [["scenario"], /there is no command "scenario", did you mean scenarios\?/],
  [["tour"], /did you mean --scenario tour\?/],
  [["kho"], /missing required argument 'file'/],
];

for (const [args, says] of USAGE) {
  Deno.test(`\`${args.join(" ")}\` is answered with what is wrong, and exit status 2`, async () => {
    const { code, out, err } = await hitless([], args);
    assert.equal(code, 2, err);
    assert.match(err, says);
    assert.equal(out, "");
  });
}

Deno.test("--help, --version and scenarios exit 0", async () => {
  const help = await hitless([], ["--help"]);
  assert.equal(help.code, 0, help.err);
  assert.match(help.out, /Exit status: 0 holds, 1 violated/);
  const version = await hitless([], ["--version"]);
  assert.match(version.out, /^\d+\.\d+\.\d+\n$/);
  const list = await hitless([], ["scenarios"]);
  assert.equal(list.code, 0);
  assert.match(list.out, /^persisted-iommufd +One VM/m);
});

Deno.test("--dump writes three files at the jump, the same ones for the same seed", async () => {
  const folder = await Deno.makeTempDir();
  const dump = async (name: string, seed: string) => {
    const dir = `${folder}/${name}`;
    const { code, err } = await hitless(
      [`--allow-write=${folder}`],
      ["--scenario", "persisted-iommufd", "--seed", seed, "--dump", dir],
    );
    assert.equal(code, 0, err);
    return await Promise.all(
      ["kho-1.dtb", "vmcore-1", "state-1.json"].map((f) => Deno.readFile(`${dir}/${f}`)),
    );
  };
  const [a, b, c] = [await dump("a", "1"), await dump("b", "1"), await dump("c", "2")];
  a.forEach((bytes, i) => assert.ok(Buffer.compare(bytes, b[i]) === 0, `file ${i} differs`));
  assert.ok(Buffer.compare(a[1], c[1]) !== 0, "another seed, another memory");
  const printed = await hitless([`--allow-read=${folder}`], ["kho", `${folder}/a/kho-1.dtb`]);
  assert.equal(printed.code, 0, printed.err);
  assert.match(printed.out, /compatible = "iommufd-v0";/);
  assert.match(printed.out, /\/\* 4 levels, 48 bits \*\//);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("--dump into a place that cannot be written exits 2 before anything runs", async () => {
  const file = await Deno.makeTempFile();
  const { code, out, err } = await hitless(
    ["--allow-write"],
    ["--scenario", "tour", "--dump", `${file}/x`],
  );
  assert.equal(code, 2);
  assert.match(err, /--dump .*: cannot write there/);
  assert.equal(out, "");
  await Deno.remove(file);
});

Deno.test("a truncated or hostile blob exits 2 with the offset", async () => {
  const file = await Deno.makeTempFile({ suffix: ".dtb" });
  const bytes = new Uint8Array(64).fill(0xff);
  bytes.set([0xd0, 0x0d, 0xfe, 0xed]);
  await Deno.writeFile(file, bytes);
  const { code, err } = await hitless([`--allow-read=${file}`], ["kho", file]);
  assert.equal(code, 2);
  assert.match(err, /offset 0x[0-9a-f]+: /);
  await Deno.remove(file);
});

Deno.test("defects lists the catalogue, for people and programs, and tells one's story", async () => {
  const list = await hitless([], ["defects"]);
  assert.equal(list.code, 0, list.err);
  assert.match(list.out, /^D55 +9 +1499 +tables-kept.*the pgd page is not in "mem"$/m);
  const json = JSON.parse((await hitless([], ["defects", "--report", "json"])).out);
  const d55 = json.defects.find((d: { id: string }) => d.id === "D55");
  assert.deepEqual([d55.patch, d55.seed_line, d55.scenario], [9, 1499, "handover"]);
  const one = await hitless([], ["defects", "d55"]);
  assert.match(one.out, /--scenario handover --defect D55/);
  const run = await hitless([], ["defects", "--run", "D55"]);
  assert.equal(run.code, 0, run.out);
  assert.match(run.out, /^D55 +violated +tables-kept +[\d.]+ ms +holds$/m);
  const wrong = await hitless([], ["defects", "D5"]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /there is no defect "D5", did you mean D\d\d\?/);
});
