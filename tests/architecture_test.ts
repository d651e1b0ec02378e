import assert from "node:assert/strict";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The tower, from the top. A floor imports only floors further down this list. */
const FLOORS = [
  ["main.ts"],
  ["src/cli.ts", "src/cli/"],
  ["src/explore/"],
  ["src/dashboard/", "src/scenario/"],
  ["src/operations/"],
  ["src/platform/"],
  ["src/health/"],
  ["src/userspace/"],
  ["src/kernel/"],
  ["src/machine/"],
  ["src/uapi/"],
  ["src/fdt/"],
  ["src/tui/"],
  ["src/base/"],
];

/** Arrows that point down and are forbidden all the same: the interfaces that exist in reality. */
const WALLS: [from: string, to: string, why: string][] = [
  ["src/userspace/", "src/kernel/", "a program only makes system calls"],
  ["src/userspace/", "src/machine/", "a program only makes system calls"],
  ["src/kernel/", "src/machine/devices/", "a kernel reaches a device through its registers"],
  ["src/kernel/", "src/machine/vtd/", "a kernel reaches the IOMMU through its registers"],
  ["src/kernel/", "src/machine/smmuv3/", "a kernel reaches the IOMMU through its registers"],
  ["src/kernel/", "src/machine/amdvi/", "a kernel reaches the IOMMU through its registers"],
  ["src/kernel/iommu/arm/", "src/kernel/iommu/intel/", "one IOMMU driver knows of no other"],
  ["src/kernel/iommu/arm/", "src/kernel/iommu/amd/", "one IOMMU driver knows of no other"],
  ["src/kernel/iommu/amd/", "src/kernel/iommu/intel/", "one IOMMU driver knows of no other"],
  ["src/kernel/iommu/amd/", "src/kernel/iommu/arm/", "one IOMMU driver knows of no other"],
  ["src/kernel/", "src/machine/pci/", "a kernel reaches PCI through configuration space"],
  ["src/machine/", "src/kernel/", "hardware knows no kernel"],
  ["src/dashboard/", "src/kernel/", "the dashboard sees snapshots"],
  ["src/dashboard/", "src/machine/", "the dashboard sees snapshots"],
  ["src/dashboard/", "src/userspace/", "the dashboard sees snapshots"],
];

/** A package and the only places that may import it. */
const PACKAGES: Record<string, string[]> = {
  "commander": ["src/cli.ts", "src/cli/"],
  "js-yaml": ["src/scenario/yaml.ts"],
  "zod/mini": ["src/operations/", "src/scenario/"],
  "get-east-asian-width": ["src/tui/"],
  "node:zlib": ["src/health/"],
};

/** Floors that must give the same result on any machine. */
const DETERMINISTIC = [
  "src/base/",
  "src/fdt/",
  "src/uapi/",
  "src/machine/",
  "src/kernel/",
  "src/userspace/",
  "src/health/",
  "src/platform/",
  "src/operations/",
];
const BANNED = [
  "Date.now",
  "new Date",
  "Math.random",
  "performance.now",
  "setTimeout",
  "setInterval",
  "Deno.",
  "console.",
  "crypto.",
];

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function sources(folder: string): string[] {
  return [...Deno.readDirSync(join(root, folder))].flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) return sources(path);
    return path.endsWith(".ts") ? [path] : [];
  });
}

const FILES = ["main.ts", ...sources("src")].sort();
const TEXTS = new Map(FILES.map((f) => [f, Deno.readTextFileSync(join(root, f))]));
/** The same without comments. */
const CODE = new Map(
  [...TEXTS].map(([f, text]) => [f, text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "")]),
);

/** What a file imports: files of this tree, and packages. */
function imports(file: string): string[] {
  const found: string[] = [];
  for (const m of (CODE.get(file) ?? "").matchAll(/\b(?:from|import)\s*\(?\s*"([^"]+)"/g)) {
    const target = m[1];
    found.push(target.startsWith(".") ? relative(root, join(root, dirname(file), target)) : target);
  }
  return found;
}

const floorOf = (file: string) =>
  FLOORS.findIndex((rooms) =>
    rooms.some((r) => r === file || (r.endsWith("/") && file.startsWith(r)))
  );

Deno.test("every source file stands on a floor of the tower", () => {
  for (const file of FILES) assert.notEqual(floorOf(file), -1, `${file} is on no floor`);
});

Deno.test("imports only point down the tower, and never through a wall", () => {
  const wrong: string[] = [];
  let arrows = 0;
  for (const file of FILES) {
    for (const target of imports(file)) {
      if (!target.startsWith("src/")) continue;
      arrows++;
      const [from, to] = [floorOf(file), floorOf(target)];
      const room = (f: string) => f.split("/").slice(0, 2).join("/");
      if (
        to < from || (to === from && room(file) !== room(target) && !file.startsWith("src/cli"))
      ) {
        wrong.push(`${file} -> ${target}`);
      }
      for (const [a, b, why] of WALLS) {
        if (file.startsWith(a) && target.startsWith(b)) wrong.push(`${file} -> ${target}: ${why}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(arrows > 200, `only ${arrows} imports were looked at`);
});

Deno.test("each package is imported in its own place only", () => {
  for (const file of FILES) {
    for (const target of imports(file)) {
      if (target.startsWith("src/") || target.startsWith("scenarios/")) continue;
      const places = PACKAGES[target];
      assert.ok(places !== undefined, `${file} imports ${target}, which no place is named for`);
      assert.ok(places.some((p) => file.startsWith(p)), `${file} imports ${target}`);
    }
  }
});

Deno.test("nothing below src/scenario asks a clock, chance or the world", () => {
  for (const file of FILES.filter((f) => DETERMINISTIC.some((d) => f.startsWith(d)))) {
    const code = CODE.get(file) ?? "";
    for (const word of BANNED) {
      assert.ok(!code.includes(word), `${file} uses ${word}`);
    }
  }
});

Deno.test("no source file is over 400 lines, and half of them are under 150", () => {
  const lengths = FILES.map((f) => (TEXTS.get(f) ?? "").split("\n").length - 1);
  FILES.forEach((f, i) => assert.ok(lengths[i] <= 400, `${f} has ${lengths[i]} lines`));
  const median = lengths.toSorted((a, b) => a - b)[Math.floor(lengths.length / 2)];
  assert.ok(median <= 150, `the median is ${median} lines`);
});
