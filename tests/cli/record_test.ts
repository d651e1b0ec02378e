/** The dashboard without a terminal: recordings, screenshots, key scripts, lines. */

import assert from "node:assert/strict";
import { exec, hitless, ROOT } from "./helpers.ts";

const folder = await Deno.makeTempDir();
const at = (name: string) => `${folder}/${name}`;
addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

await Deno.writeTextFile(
  at("story.keys"),
  [
    "wait 400ms",
    "press k y",
    "wait 600ms",
    `screenshot ${at("done.svg")}`,
    "press u",
    "wait 100ms",
    `type :save ${at("saved.yaml")}`,
    "press Enter q",
  ].join("\n"),
);
const ALLOWED = [`--allow-read=${folder}`, `--allow-write=${folder}`];
const STORY = ["--dashboard", "--scenario", "persisted-iommufd", "--keys", at("story.keys")];

Deno.test("one seed and one key script give one recording, byte for byte", async () => {
  const record = (file: string) =>
    hitless(ALLOWED, [...STORY, "--record", at(file), "--size", "100x30", "--seed", "4"]);
  const [a, b] = await Promise.all([record("a.cast"), record("b.cast")]);
  assert.deepEqual([a.code, a.err, b.code], [0, "", 0]);
  const cast = Deno.readTextFileSync(at("a.cast"));
  assert.ok(cast === Deno.readTextFileSync(at("b.cast")));
  const [header, ...events] = cast.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(header, { version: 2, width: 100, height: 30, title: "persisted-iommufd" });
  assert.ok(events.length > 40);
  let last = 0;
  for (const [time, code, text] of events) {
    assert.ok(time >= last && ["o", "r", "m"].includes(code) && typeof text === "string");
    last = time;
  }
  const output = events.map(([, , text]) => text).join("");
  assert.ok(output.startsWith("\x1b[?1049h") && output.includes("\x1b[?1049l"));
  // What was saved on the way is a scenario that comes to the same moment.
  const again = await hitless([`--allow-read=${folder}`], ["--scenario", at("saved.yaml")]);
  assert.equal(again.code, 0, again.out);
  assert.match(again.out, /holds +event hash \w+, as it was/);
  assert.match(Deno.readTextFileSync(at("done.svg")), /^<svg [^]*>verdict holds/);
});

Deno.test("a screenshot without a script is of the first second", async () => {
  const { code } = await hitless(ALLOWED, ["--screenshot", at("first.txt"), "--size", "80x24"]);
  assert.equal(code, 0);
  const lines = Deno.readTextFileSync(at("first.txt")).trimEnd().split("\n");
  assert.equal(lines.length, 24);
  assert.match(lines[0], /^ hitless {2}boot 1 {2}t 0\.9\d\d s/);
  assert.match(lines[23], /k kexec/);
});

const REFUSED: [flags: string[], args: string[], says: RegExp][] = [
  [[], ["--record", "x.cast"], /writing x\.cast is not allowed.*--allow-write=x\.cast/],
  [[], ["--screenshot", "x.svg"], /writing x\.svg is not allowed.*--allow-write=x\.svg/],
  [[], ["--keys", "x.keys"], /reading x\.keys is not allowed.*--allow-read=x\.keys/],
  [[], ["--config", "x"].concat("--plain"), /reading x is not allowed.*--allow-read=x/],
  [ALLOWED, ["--screenshot", at("x.png")], /expected a name that ends in \.svg or \.txt/],
  [ALLOWED, ["--record", at("no/x.cast")], /there is no such folder/],
  [[], ["--size", "80"], /expected columns and rows such as 120x40/],
  [[], ["--dashboard"], /the dashboard needs a terminal: --plain does without/],
];

for (const [flags, args, says] of REFUSED) {
  Deno.test(`${args[0]}: what is missing is named, and nothing runs`, async () => {
    const { code, out, err } = await hitless(flags, args);
    assert.equal(code, 2);
    assert.match(err, says);
    assert.equal(out, "");
  });
}

Deno.test("a key script that is wrong is answered with its line", async () => {
  Deno.writeTextFileSync(at("bad.keys"), "wait 1ms\npres k\n");
  const { code, err } = await hitless(ALLOWED, ["--keys", at("bad.keys")]);
  assert.equal(code, 2);
  assert.match(err, /bad\.keys:2:1: found "pres", expected one of wait, press/);
});

/** Lines on stdin to `--plain`. */
function plain(lines: readonly string[], args: readonly string[] = [], flags = ["--no-prompt"]) {
  const quoted = lines.map((line) => `'${line}'`).join(" ");
  const command = [Deno.execPath(), "run", ...flags, `${ROOT}/main.ts`, "--plain", ...args];
  return exec("sh", ["-c", `printf '%s\\n' ${quoted} | ${command.join(" ")}`]);
}

Deno.test("--plain: the same commands from stdin, with no permission; what is wrong exits 2", async () => {
  const { code, out, err } = await plain(["update", "yes", "show devices", "save x.yaml"], [
    "--scenario",
    "persisted-iommufd",
  ]);
  assert.equal(err, "");
  assert.match(out, /update image=rfc-v1: done\nat \S+ s, boot 2 \(rfc-v1\) up, holds\nDevices:/);
  assert.match(out, /error: writing x\.yaml is not allowed: give deno run the flag/);
  assert.equal(code, 2);
});

Deno.test("--plain: a session saved and opened again is the same session", async () => {
  const flags = ["--no-prompt", ...ALLOWED];
  const saved = await plain(
    ["vm.unmap vm0", "yes", "run 20ms", `save ${at("p.yaml")}`, "quit", "never read"],
    ["--scenario", "persisted-iommufd"],
    flags,
  );
  assert.equal(saved.code, 0, saved.out);
  const hash = /event hash ([0-9a-f]{16})/.exec(saved.out)?.[1];
  const opened = await plain([`open ${at("p.yaml")}`, "y", `save ${at("q.yaml")}`], [], flags);
  assert.equal(opened.code, 0, opened.out);
  assert.equal(/event hash ([0-9a-f]{16})/.exec(opened.out)?.[1], hash);
  assert.match(Deno.readTextFileSync(at("q.yaml")), new RegExp(`hash: '?${hash}`));
});
