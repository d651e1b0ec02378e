import assert from "node:assert/strict";
import fc from "fast-check";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import {
  BOOT_PARAMS,
  encodeBootParams,
  readBootParams,
} from "../../../src/kernel/kho/boot_params.ts";
import { IMAGE_BASE, IMAGE_SIZE, placeImage } from "../../../src/kernel/kho/kexec.ts";
import { findImage, type KernelImage } from "../../../src/kernel/image.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import { Memory } from "../../../src/machine/memory.ts";
import * as E from "../../../src/uapi/errno.ts";
import { KEXEC_FILE_UNLOAD, LINUX_REBOOT_CMD_KEXEC } from "../../../src/uapi/sys.ts";
import { KernelRig } from "../rig.ts";

/** What a boot loader makes of an image. */
function bytesOf(name: string): Uint8Array {
  const memory = new Memory([{ start: 0, size: IMAGE_BASE + IMAGE_SIZE }]);
  placeImage(memory, findImage(name) as KernelImage);
  return memory.read(IMAGE_BASE, IMAGE_SIZE);
}

Deno.test("boot parameters are read as they were written; a cold boot finds none", () => {
  const memory = new Memory([{ start: 0, size: MiB }]);
  assert.equal(readBootParams(memory), undefined);
  const address = fc.maxSafeNat();
  const params = fc.record({
    image: address,
    imageSize: address,
    dt: address,
    dtSize: address,
    memCache: address,
    memCacheSize: address,
    scratch: address,
    scratchSize: address,
  }, { noNullPrototype: true });
  fc.assert(fc.property(params, (p) => {
    memory.write(BOOT_PARAMS, encodeBootParams(p));
    assert.deepEqual(readBootParams(memory), p);
  }));
});

Deno.test("kexec_file_load knows its images; reboot without one is EINVAL", () => {
  const { sys } = new KernelRig();
  assert.equal(sys.kexecFileLoad("no-such-image", 0), -E.ENOENT);
  assert.equal(sys.reboot(LINUX_REBOOT_CMD_KEXEC), -E.EINVAL);
  assert.equal(sys.kexecFileLoad("mainline", 0), 0);
  assert.equal(sys.kexecFileLoad("", KEXEC_FILE_UNLOAD), 0);
  assert.equal(sys.reboot(LINUX_REBOOT_CMD_KEXEC), -E.EINVAL);
  assert.equal(sys.reboot(0x01234567), -E.EINVAL);
});

Deno.test("loading, loading over it and unloading leave no page behind", () => {
  const rig = new KernelRig();
  const { kernel, sys } = rig;
  const free = kernel.pages.freePages;
  rig.load();
  const loaded = kernel.pages.freePages;
  assert.ok(loaded < free);
  rig.load("mainline");
  assert.equal(kernel.pages.freePages, loaded);
  assert.equal(kernel.kexec.loaded?.image.name, "mainline");
  sys.kexecFileLoad("", KEXEC_FILE_UNLOAD);
  assert.equal(kernel.pages.freePages, free);
});

Deno.test("a load that runs out of memory takes none, and the image before it stays", () => {
  const rig = new KernelRig();
  const { kernel } = rig;
  rig.load("mainline");
  const free = kernel.pages.freePages;
  for (const nth of [1, 100, 257]) {
    rig.chooser.arm("fault:alloc_page", nth);
    assert.equal(rig.load("rfc-v1"), -E.ENOMEM);
    assert.equal(kernel.pages.freePages, free);
    assert.equal(kernel.kexec.loaded?.image.name, "mainline");
  }
});

Deno.test("what does not fit into scratch is refused", () => {
  const rig = new KernelRig({ cmdline: "kho_scratch=1M" });
  assert.equal(rig.load(), 0, "the image alone fits");
  rig.activate();
  assert.equal(rig.load(), -E.ENOMEM, "image and tree do not");
});

Deno.test("at the jump the image lies where its parameters say, in scratch", () => {
  const rig = new KernelRig();
  const { memory } = rig.machine;
  const scratch = rig.kernel.kho.scratch;
  assert.ok(scratch !== undefined);
  const kernel = rig.liveUpdate("rfc-v1", () => {
    const params = readBootParams(memory);
    assert.ok(params !== undefined);
    assert.deepEqual([params.scratch, params.scratchSize], [scratch.start, 4 * MiB]);
    for (
      const [at, size] of [
        [params.image, params.imageSize],
        [params.dt, params.dtSize],
        [params.memCache, params.memCacheSize],
      ]
    ) {
      assert.ok(at >= scratch.start && at + size <= scratch.end && at % PAGE_SIZE === 0);
    }
    assert.deepEqual(memory.read(params.image, IMAGE_SIZE), bytesOf("rfc-v1"));
  });
  // And there the running kernel's image stays, whatever boot does.
  const params = readBootParams(memory);
  assert.deepEqual(memory.read(params?.image ?? 0, IMAGE_SIZE), bytesOf("rfc-v1"));
  assert.ok(kernel.ready);
});

for (
  const [from, to] of [["rfc-v1", "mainline"], ["mainline", "rfc-v1"], ["mainline", "mainline"]]
) {
  Deno.test(`a ${to} kernel keeps off its own image when it comes after ${from}`, () => {
    const rig = new KernelRig({ image: from });
    const { memory } = rig.machine;
    assert.equal(rig.load(to), 0);
    const kernel = rig.jump(() => {
      const params = readBootParams(memory);
      assert.deepEqual(memory.read(params?.image ?? 0, IMAGE_SIZE), bytesOf(to));
    });
    const image = readBootParams(memory)?.image ?? 0;
    assert.deepEqual(memory.read(image, IMAGE_SIZE), bytesOf(to));
    for (let i = 0; i < IMAGE_SIZE / PAGE_SIZE; i++) {
      assert.notEqual(
        kernel.pages.useOf(image / PAGE_SIZE + i),
        FrameUse.free,
        "own text is free memory",
      );
    }
  });
}

Deno.test("what is loaded arrives whole even where it waited at its own destination", () => {
  // mainline loads to a fixed place. The first mainline here runs in rfc-v1's scratch: to it that
  // place is free memory, and a page of what it loads may wait there.
  const rig = new KernelRig();
  const { memory } = rig.machine;
  rig.load("mainline");
  const { pages } = rig.jump();
  const all: number[] = [];
  for (let pfn; (pfn = pages.allocPage(FrameUse.kernel)) >= 0;) all.push(pfn);
  const inside = (pfn: number) => pfn * PAGE_SIZE >= IMAGE_BASE && pfn * PAGE_SIZE < 2 * MiB;
  const waiting = all.find(inside);
  assert.ok(waiting !== undefined);
  // Freed first, it is the page handed out last: the one for the boot parameters.
  pages.freePage(waiting);
  for (const pfn of all.filter((p) => !inside(p)).slice(-256)) pages.freePage(pfn);
  assert.equal(rig.load("mainline"), 0);
  rig.jump(() => {
    const params = readBootParams(memory);
    assert.equal(params?.image, IMAGE_BASE);
    assert.deepEqual(memory.read(IMAGE_BASE, IMAGE_SIZE), bytesOf("mainline"));
  });
});

Deno.test("the first boot has its image in memory too", () => {
  const bytes = bytesOf("rfc-v1"), end = bytes.indexOf(0);
  assert.match(new TextDecoder().decode(bytes.subarray(0, end)), /^HITLESS KERNEL rfc-v1 /);
  assert.ok(bytes.subarray(end + 1).every((byte) => byte === 0xcc));
  const rig = new KernelRig();
  assert.deepEqual(rig.machine.memory.read(MiB, IMAGE_SIZE), bytesOf("rfc-v1"));
});

Deno.test("once reboot has begun, nothing can be loaded or unloaded and nothing rebooted again", () => {
  const rig = new KernelRig();
  const sys = rig.sys;
  rig.load("mainline");
  assert.equal(sys.reboot(LINUX_REBOOT_CMD_KEXEC), 0);
  assert.equal(sys.kexecFileLoad("rfc-v1", 0), -E.EBUSY);
  assert.equal(sys.kexecFileLoad("", KEXEC_FILE_UNLOAD), -E.EBUSY);
  assert.equal(sys.reboot(LINUX_REBOOT_CMD_KEXEC), -E.EINVAL);
  assert.equal(rig.kernel.kexec.loaded?.image.name, "mainline");
});

Deno.test("stores made after the load do not reach the loaded image", () => {
  const rig = new KernelRig();
  rig.activate();
  const dt = rig.kernel.kho.dump?.dt.slice();
  rig.load();
  const scratch = rig.kernel.kho.scratch;
  assert.ok(scratch !== undefined && dt !== undefined);
  // Scratch may be written to until the very jump.
  rig.machine.memory.fillFrames(scratch.start / PAGE_SIZE, 1024, 0x6b6b6b6b);
  const kernel = rig.jump();
  assert.deepEqual(kernel.kho.incomingBlob, dt);
});
