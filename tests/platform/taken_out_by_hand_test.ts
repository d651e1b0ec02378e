import assert from "node:assert/strict";

/**
 * Nothing in the emulator says that a forgotten page-table page is a fault. One line of the kernel
 * is changed, as a programmer's mistake would have it, and the rest follows.
 */

const ROOT = new URL("../../", import.meta.url);
const COPIED = ["src", "scenarios", "main.ts", "deno.json", "deno.lock"];
const FILE = "src/kernel/iommu/intel/serialise.ts";
const ALL_PAGES = "const pages = listedTables(domain);";

async function copy(from: URL, to: string): Promise<void> {
  const info = await Deno.stat(from).catch(() => undefined);
  if (info === undefined) return;
  if (info.isFile) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const entry of Deno.readDir(from)) {
    await copy(new URL(`${from}/${entry.name}`), `${to}/${entry.name}`);
  }
}

/** Leaves table number `index` of the first domain out of "mem"; the top table is number 0. */
async function takeOut(folder: string, index: number): Promise<void> {
  const path = `${folder}/${FILE}`;
  const source = await Deno.readTextFile(path);
  assert.equal(source.split(ALL_PAGES).length, 2, `${FILE} has ${ALL_PAGES} once`);
  const rest = `listedTables(domain).toSpliced(${index}, domain.persistentId === 1 ? 1 : 0)`;
  await Deno.writeTextFile(path, source.replace(ALL_PAGES, `const pages = ${rest};`));
}

/** Runs the scenario from a copy of the program that `edit` has been at. */
async function runCopy(
  edit: (folder: string) => Promise<void>,
): Promise<{ code: number; report: string }> {
  const folder = await Deno.makeTempDir({ prefix: "hitless-" });
  try {
    for (const name of COPIED) await copy(new URL(name, ROOT), `${folder}/${name}`);
    await edit(folder);
    const allowed = ["--no-prompt", `--allow-read=${folder}`];
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", ...allowed, "main.ts", "--scenario", "persisted-iommufd"],
      cwd: folder,
      stdin: "null",
    }).output();
    assert.equal(new TextDecoder().decode(stderr), "");
    return { code, report: new TextDecoder().decode(stdout) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A broken promise, with the device, the virtual time and the IOVA. */
const DMA_VIOLATED =
  /^ *violated +(?:no-dma-fault|no-stray-dma)\n +(?:nic0|nvme0), t=[\d.]+ m?s: .*\bIOVA 0x[\da-f]+/m;

Deno.test("the program as it stands hands every table over", async () => {
  const { code, report } = await runCopy(() => Promise.resolve());
  assert.equal(code, 0, report);
  assert.match(report, /^ *holds +no-dma-fault$/m);
  assert.match(report, /^ *holds +no-stray-dma$/m);
  assert.doesNotMatch(report, /^ *violated/m);
});

Deno.test('a table page left out of "mem" is a broken promise to a device', async (t) => {
  const lost = new Set<string>();
  for (const [what, index] of [["the pgd", 0], ["an upper table", 1], ["a leaf table", -1]]) {
    await t.step(`${what} is left out`, async () => {
      const { code, report } = await runCopy((folder) => takeOut(folder, Number(index)));
      assert.equal(code, 1, report);
      assert.match(report, DMA_VIOLATED);
      const [, page] = /^ +rfc-v1, t=.*: table page (0x[\da-f]+) is /m.exec(report) ?? [];
      assert.ok(page !== undefined, report);
      lost.add(page);
    });
  }
  assert.equal(lost.size, 3, "each time it was another table");
});
