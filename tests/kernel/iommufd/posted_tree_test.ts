/** The dump of the posted series, byte for byte what libfdt makes of the same calls. */
import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import { FdtWriter } from "../../../src/fdt/mod.ts";
import { iommufdNotify } from "../../../src/kernel/iommufd/serialise.ts";
import { KEXEC_KHO_DUMP, NOTIFY_DONE } from "../../../src/kernel/kho/abi.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { O_RDONLY } from "../../../src/uapi/sys.ts";
import { hasLibfdt } from "../../fdt/libfdt_tools.ts";
import { withPosted } from "../kho/posted_reference.ts";
import { Bench } from "../bench.ts";
import { FIXED, fixed } from "../requests.ts";

const { IOMMU_OPTION_OP_SET: SET } = U;
/** IOMMU_READ, _WRITE and _CACHE as an area has them. */
const RO = 5, RW = 7;

/** Bytes of the tree with nothing but iommufd's part in it. */
function tree({ platform: { kernel } }: Bench): string {
  const fdt = new FdtWriter(1 << 20);
  let err = fdt.beginNode("");
  assert.equal(iommufdNotify(kernel.iommufd, KEXEC_KHO_DUMP, fdt), NOTIFY_DONE);
  err |= fdt.endNode();
  assert.equal(err, 0);
  return fdt.finish().toHex();
}

/** A file of that many MiB, mapped in the process. */
function memory(bench: Bench, name: string, mib: number): number {
  return bench.mmap(bench.file(name, mib * MiB), mib * MiB);
}

/** What is done, and the objects there are then, as the reference program reads them. */
const SCENES: Record<string, (bench: Bench) => string[]> = {
  "no persistent iommufd": (bench) => {
    bench.ioas(bench.iommufd());
    return [];
  },
  "one with nothing in it": (bench) => {
    bench.persistent();
    return ["iommufd 1"];
  },
  "an address space with nothing in it": (bench) => {
    bench.ioas(bench.persistent());
    return ["iommufd 1", "ioas 1 0"];
  },
  "two files, and what is read only": (bench) => {
    const fd = bench.persistent(), ioas = bench.ioas(fd);
    const one = memory(bench, "one", 2), two = memory(bench, "two", 4);
    assert.equal(bench.map(fd, fixed(ioas, one, 2 * MiB, 0x8000000000)).rc, "ok");
    const readable = { ...fixed(ioas, two, 4 * MiB, 0), flags: FIXED | U.IOMMU_IOAS_MAP_READABLE };
    assert.equal(bench.map(fd, readable).rc, "ok");
    return ["iommufd 1", "ioas 1 3", `area 0 400000 ${RO}`, `area 8000000000 200000 ${RW}`];
  },
  "ids with gaps, and a handle that outlives its mapping": (bench) => {
    const [first, second, third] = [0, 1, 2].map(() => bench.persistent());
    bench.sys.close(second);
    const gone = bench.ioas(third), kept = bench.ioas(third);
    const va = memory(bench, "file", 2);
    assert.equal(bench.map(third, fixed(kept, va, 2 * MiB, 0)).rc, "ok");
    assert.equal(bench.unmap(third, kept, 0, 2 * MiB).rc, "ok");
    assert.equal(bench.destroy(third, gone), "ok");
    bench.ioas(first);
    return ["iommufd 1", "ioas 1 0", "iommufd 3", "ioas 2 2"];
  },
  "one that was marked twice": (bench) => {
    const fd = bench.persistent();
    assert.equal(bench.option(fd, SET, 1n).rc, "ok");
    bench.ioas(fd);
    return ["iommufd 2", "ioas 1 0", "iommufd 2", "ioas 1 0"];
  },
  "one that was marked twice and closed": (bench) => {
    const fd = bench.persistent();
    assert.equal(bench.option(fd, SET, 1n).rc, "ok");
    bench.ioas(fd);
    bench.sys.close(fd);
    // Freed memory that nobody has written to since.
    return ["iommufd 2"];
  },
  "a kexec later: nothing of what came over, picked up or not": (bench) => {
    for (const name of ["one", "two"]) {
      const fd = bench.persistent(), ioas = bench.ioas(fd);
      assert.equal(bench.map(fd, fixed(ioas, memory(bench, name, 2), 2 * MiB, 0)).rc, "ok");
    }
    assert.equal(bench.update("rfc-v1-posted"), "done");
    const file = bench.sys.open("/sys/kernel/iommufd_persisted/1/iommufd", O_RDONLY);
    assert.ok(typeof bench.sys.read(file, 16) !== "number");
    bench.ioas(bench.persistent());
    return ["iommufd 1", "ioas 1 0"];
  },
  "many areas": (bench) => {
    const fd = bench.persistent(), ioas = bench.ioas(fd);
    const va = memory(bench, "file", 2);
    const areas = Array.from({ length: 12 }, (_, i) => {
      const [iova, length] = [i * 0x100000, 0x1000 * (i + 1)];
      assert.equal(bench.map(fd, fixed(ioas, va, length, iova)).rc, "ok");
      return `area ${iova.toString(16)} ${length.toString(16)} ${RW}`;
    });
    return ["iommufd 1", "ioas 1 2", ...areas];
  },
};

Deno.test({
  name: "rfc-v1-posted writes /iommufd as the posted code does through libfdt",
  ignore: !await hasLibfdt(),
}, async (t) => {
  await withPosted(async (posted) => {
    for (const [name, scene] of Object.entries(SCENES)) {
      await t.step(name, async () => {
        const bench = new Bench("rfc-v1-posted");
        const objects = scene(bench);
        assert.equal(tree(bench), (await posted("iommufd", objects)).blob);
      });
    }
  });
});
