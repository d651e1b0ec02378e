import assert from "node:assert/strict";
import { GiB, KiB, MiB } from "../../../src/base/units.ts";
import { Memory } from "../../../src/machine/memory.ts";
import { type Chunked, vmcore } from "../../../src/platform/dump/vmcore.ts";
import { run } from "../../fdt/libfdt_tools.ts";
import { Core } from "./elf_reader.ts";
import { bytesOf, fileOf, keep, platform, updates } from "./rig.ts";

const DIRECT_MAP = 0xffff888000000000n;
const KERNEL = { number: 3, image: { name: "rfc-v1", version: "6.11.0-rfc1" } };
const readelf = (await run("readelf", ["--version"]))?.code === 0;

/** PT_LOAD rows of `readelf -lW`: [VirtAddr, PhysAddr, FileSiz, MemSiz]. */
async function readelfLoads(path: string): Promise<{ rows: bigint[][]; text: string }> {
  const ran = await run("readelf", ["-lW", path]);
  assert.equal(ran?.code, 0);
  assert.equal(ran?.stderr, "");
  const text = new TextDecoder().decode(ran?.stdout);
  const lines = text.split("\n").filter((line) => line.startsWith("  LOAD "));
  return { rows: lines.map((line) => line.trim().split(/\s+/).slice(2, 6).map(BigInt)), text };
}

/** Headers alone: everything before the first frame. */
function headOf(core: Chunked): Uint8Array {
  const parts: Uint8Array[] = [];
  let want = Infinity, have = 0;
  for (const chunk of core.chunks()) {
    parts.push(chunk);
    have += chunk.length;
    if (want === Infinity) {
      const view = new DataView(chunk.buffer, chunk.byteOffset);
      // p_offset of the second program header: the first PT_LOAD.
      want = Number(view.getBigUint64(64 + 56 + 8, true));
    }
    if (have >= want) break;
  }
  const bytes = new Uint8Array(have);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

Deno.test("a core of a real jump has every frame that was written, and readelf reads it", async (t) => {
  const p = platform();
  const [{ kept, frames, content }] = updates(p, 1, (kernel, n) => {
    const { memory } = kernel.machine;
    const frames: number[] = [];
    for (let pfn = 0; pfn < memory.frames; pfn++) if (memory.isWritten(pfn)) frames.push(pfn);
    const content = new Map(frames.map((pfn) => [pfn, memory.frameBytes(pfn).slice()]));
    return { kept: keep(kernel, n), frames, content };
  });
  const bytes = fileOf(kept, "vmcore-1");
  const core = new Core(bytes);
  const inCore: number[] = [];
  for (const load of core.loads) {
    assert.equal(load.vaddr, DIRECT_MAP + load.paddr);
    assert.equal(load.memsz, load.filesz);
    for (let at = 0n; at < load.filesz; at += 4096n) inCore.push(Number((load.paddr + at) / 4096n));
  }
  assert.deepEqual(inCore, frames);
  for (const [pfn, frame] of content) {
    const there = core.at(BigInt(pfn) * 4096n, 4096);
    assert.ok(there && frame.every((byte, i) => byte === there[i]), `frame ${pfn}`);
  }
  assert.equal(
    core.notes.get("VMCOREINFO"),
    "OSRELEASE=6.11.0-rfc1\nPAGESIZE=4096\nHITLESS_IMAGE=rfc-v1\nHITLESS_BOOT=1\n",
  );
  await t.step({ name: "readelf", ignore: !readelf, fn: () => readelfAgrees(bytes, core) });
});

async function readelfAgrees(bytes: Uint8Array, core: Core): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, bytes);
    const { rows, text } = await readelfLoads(path);
    assert.match(text, /Elf file type is CORE/);
    assert.deepEqual(rows, core.loads.map((l) => [l.vaddr, l.paddr, l.filesz, l.memsz]));
    const notes = await run("readelf", ["-nW", path]);
    assert.equal(notes?.stderr, "");
    assert.match(new TextDecoder().decode(notes?.stdout), /^ {2}VMCOREINFO/m);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("frames above 4 GiB, and runs across the gigabyte chunks memory is kept in", () => {
  const memory = new Memory([{ start: 0, size: GiB + 16 * KiB }, {
    start: 4 * GiB,
    size: 2 * MiB,
  }]);
  memory.store(GiB / 4096 - 1, 0, 0x11111111);
  memory.store(GiB / 4096, 1, 0x22222222);
  memory.store(4 * GiB / 4096 + 7, 1023, 0x33333333);
  const made = vmcore(memory, KERNEL);
  const core = new Core(bytesOf({ name: "core", ...made }));
  assert.deepEqual(core.loads.map((l) => [l.paddr, l.vaddr, l.filesz]), [
    [0x3ffff000n, 0xffff8880_3ffff000n, 8192n],
    [0x1_00007000n, 0xffff8889_00007000n - 0x8_00000000n, 4096n],
  ]);
  assert.equal(core.u64(0x3ffff000n), 0x11111111n);
  assert.equal(core.u64(0x40000000n), 0x22222222_00000000n);
  assert.equal(core.u64(0x1_00007ff8n), 0x33333333_00000000n);
});

Deno.test("chunks are views of memory, of 1 MiB at most", () => {
  const memory = new Memory([{ start: 0, size: 8 * MiB }]);
  memory.fillFrames(1, 1024, 0x5a5a5a5a);
  const [head, ...data] = vmcore(memory).chunks();
  assert.equal(head.length % 4096, 0);
  assert.deepEqual(data.map((c) => c.length), [MiB, MiB, MiB, MiB]);
  assert.ok(data.every((c) => c.buffer === memory.frameBytes(1).buffer));
  assert.equal(new Core(head).notes.get("VMCOREINFO"), "PAGESIZE=4096\n");
});

Deno.test("memory nobody wrote to is a core without segments", () => {
  const core = new Core(
    bytesOf({ name: "core", ...vmcore(new Memory([{ start: 0, size: MiB }])) }),
  );
  assert.equal(core.segments, 1);
  assert.deepEqual(core.loads, []);
});

/** Memory of which every other frame of the first `runs` * 2 was written: zeros. */
class Comb extends Memory {
  constructor(readonly runs: number) {
    super([{ start: 0, size: 2 * runs * 4096 }]);
    this.store(0, 0, 0);
  }
  override *writtenRuns(): Generator<{ pfn: number; count: number }> {
    for (let i = 0; i < this.runs; i++) yield { pfn: 2 * i, count: 1 };
  }
}

Deno.test("more program headers than e_phnum can say", async (t) => {
  // Beside the runs there is the note's header.
  for (const [runs, phnum] of [[65533, 65534], [65534, 0xffff], [65535, 0xffff], [70000, 0xffff]]) {
    const made = vmcore(new Comb(runs), KERNEL);
    const head = headOf(made);
    const core = new Core(head);
    assert.equal(core.phnum, phnum);
    assert.equal(core.segments, runs + 1);
    assert.equal(core.loads.length, runs);
    assert.equal(core.loads[runs - 1].paddr, BigInt(runs - 1) * 8192n);
    assert.equal(core.notes.get("VMCOREINFO")?.split("\n")[0], "OSRELEASE=6.11.0-rfc1");
    const last = core.loads[runs - 1];
    assert.equal(made.size, Number(last.offset + last.filesz));
    assert.equal(core.loads[0].offset % 4096n, 0n);
  }
  await t.step({ name: "readelf", ignore: !readelf, fn: readelfCounts });
});

async function readelfCounts(): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    const made = vmcore(new Comb(70000), KERNEL);
    await Deno.writeFile(path, headOf(made));
    // The frames are all zeros: a hole will do.
    await Deno.truncate(path, made.size);
    const { rows, text } = await readelfLoads(path);
    assert.match(text, /There are 70001 program headers/);
    assert.equal(rows.length, 70000);
    const paddr = 69999n * 8192n;
    assert.deepEqual(rows[69999], [DIRECT_MAP + paddr, paddr, 4096n, 4096n]);
  } finally {
    await Deno.remove(path);
  }
}
