import assert from "node:assert/strict";
import { ms } from "../../../src/base/units.ts";
import { dumpOf } from "../../../src/platform/dump/dump.ts";
import { stateOf } from "../../../src/platform/dump/state.ts";
import { Core } from "./elf_reader.ts";
import { bytesOf, fileOf, keep, platform, stateIn, updates } from "./rig.ts";

/** Where a kernel finds what its predecessor left it; words are 64 bits. */
const BOOT_PARAMS = 0x90000n;

const equal = (a: Uint8Array, b: Uint8Array) =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

Deno.test("one seed makes one dump, another seed another", () => {
  const of = (seed: number) => updates(platform(seed), 2, keep);
  const [a, b, c] = [of(1), of(1), of(2)];
  const names = (i: number) => [...a[i].files.keys()];
  assert.deepEqual(names(0), ["kho-1.dtb", "vmcore-1", "state-1.json"]);
  assert.deepEqual(names(1), ["kho-2.dtb", "vmcore-2", "state-2.json"]);
  for (const i of [0, 1]) {
    for (const name of names(i)) assert.ok(equal(fileOf(a[i], name), fileOf(b[i], name)), name);
    const core = `vmcore-${i + 1}`;
    assert.ok(!equal(fileOf(a[i], core), fileOf(c[i], core)), core);
    assert.deepEqual(a[i].notes, []);
  }
});

Deno.test("a dump is taken after the old kernel's last store", () => {
  const p = platform();
  // A cold boot leaves no parameters: what is there at the jump came from relocation.
  assert.equal(p.machine.memory.read64(Number(BOOT_PARAMS)), 0);
  const [kept] = updates(p, 1, keep);
  const core = new Core(fileOf(kept, "vmcore-1")), dtb = fileOf(kept, "kho-1.dtb");
  const [magic, image, imageSize, dt, dtSize, cache, cacheSize, scratch] = Array.from(
    { length: 8 },
    (_, i) => core.u64(BOOT_PARAMS + BigInt(i) * 8n),
  );
  assert.equal(magic, 0x4b484f42n);
  assert.equal(image, scratch);
  const header = new TextDecoder().decode(core.at(image, 64));
  assert.match(header, /^HITLESS KERNEL rfc-v1 6\.11\.0-rfc1\0/);
  assert.equal(dt, image + imageSize);
  assert.equal(dtSize, BigInt(dtb.length));
  assert.ok(equal(core.at(dt, dtb.length) ?? new Uint8Array(0), dtb), "the tree in memory");
  const state = stateIn(kept, 1);
  assert.equal(BigInt(state.kho.dt ?? "0x0"), dt);
  const listed = Array.from({ length: Number(cacheSize) / 16 }, (_, i) => {
    const start = core.u64(cache + BigInt(i) * 16n);
    return { start: hex(start), end: hex(start + core.u64(cache + BigInt(i) * 16n + 8n)) };
  });
  assert.deepEqual(listed, state.kho.mem);
  assert.deepEqual([state.image, state.boot, state.kho.active], ["rfc-v1", 1, true]);
});

Deno.test("a dump is taken before the next kernel's first store", () => {
  const p = platform();
  const { memory } = p.machine;
  const [{ kept, boots, time }] = updates(p, 1, (kernel, n) => {
    const boots = p.events.map((e) => e.boot);
    return { kept: keep(kernel, n), boots, time: p.now };
  });
  assert.ok(boots.every((boot) => boot === 1), "the next kernel has not said anything yet");
  assert.equal(stateIn(kept, 1).time_ns, time);
  const core = new Core(fileOf(kept, "vmcore-1"));
  // Boot writes to pages all over free memory: some that nobody had ever written to, and some that
  // the old kernel's image and lists had waited in. None of that is in the core.
  const added: number[] = [], changed: number[] = [];
  for (let pfn = 0; pfn < memory.frames; pfn++) {
    if (!memory.isWritten(pfn)) continue;
    const old = core.at(BigInt(pfn) * 4096n, 4096);
    if (old === undefined) added.push(pfn);
    else if (!equal(old, memory.frameBytes(pfn))) changed.push(pfn);
  }
  assert.ok(added.length > 50, `${added.length} frames written since`);
  assert.ok(changed.length > 50, `${changed.length} frames changed since`);
});

Deno.test("without KHO there is no device tree, and the dump says so", () => {
  const [kept] = updates(platform(1, "mainline"), 1, keep);
  assert.deepEqual([...kept.files.keys()], ["vmcore-1", "state-1.json"]);
  assert.deepEqual(kept.notes, ["kho-1.dtb is missing: image mainline has no KHO"]);
  const state = stateIn(kept, 1);
  assert.deepEqual([state.iommufds, state.domains, state.files], [[], [], []]);
  assert.deepEqual(state.kho, { active: false, dt: null, mem: [] });
  assert.equal(state.units.length, 1);
});

Deno.test("an image that was loaded before KHO was active has no device tree", () => {
  const p = platform();
  const sys = p.shell();
  assert.equal(sys.kexecFileLoad("rfc-v1", 0), 0);
  const loaded = dumpOf(p.kernel, 1);
  assert.deepEqual(loaded.files.map((f) => f.name), ["vmcore-1", "state-1.json"]);
  assert.deepEqual(loaded.notes, [
    "kho-1.dtb is missing: KHO was not active when the next kernel was loaded",
  ]);
  const active = sys.open("/sys/kernel/kho/active", 1);
  assert.ok(sys.write(active, new TextEncoder().encode("1")) > 0);
  const { kho } = stateOf(p.kernel);
  assert.deepEqual([kho.active, kho.dt], [true, null]);
  assert.ok(kho.mem.length > 0);
});

Deno.test("a state is what was, whatever happens later", () => {
  const p = platform();
  const state = stateOf(p.kernel), text = JSON.stringify(state);
  const [before] = dumpOf(p.kernel, 1).files.filter((f) => f.name === "state-1.json");
  p.startUpdate("rfc-v1");
  p.runFor(500 * ms);
  assert.equal(JSON.stringify(state), text);
  assert.deepEqual(JSON.parse(new TextDecoder().decode(bytesOf(before))), state);
  assert.deepEqual(state.iommufds.map((ctx) => ctx.persistent_id), [1]);
  assert.deepEqual(state.domains.map((d) => d.devices), [[{ bus: 0x3a, devfn: 0 }]]);
  assert.deepEqual(state.files, [{ name: "vm0", ino: 2, blocks: 8, pins: 1 }]);
  assert.equal(state.kho.dt, null);
});

function hex(value: bigint): string {
  return "0x" + value.toString(16);
}
