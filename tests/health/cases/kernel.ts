import assert from "node:assert/strict";
import { sysfsFile } from "../../../src/kernel/fs/sysfs.ts";
import { HeapArray } from "../../../src/kernel/mm/kasan.ts";
import { nullDereference } from "../../../src/kernel/oops.ts";
import { O_RDONLY, TaskKilled } from "../../../src/uapi/sys.ts";
import type { Cases } from "./case.ts";
import { World } from "../world.ts";

/** What a kernel says of itself. */
export const KERNEL_CASES: Cases<"no-splat"> = {
  "no-splat": {
    broken: [
      {
        how: "an array on the heap is written beyond its end",
        run() {
          const world = new World({ vms: [] });
          HeapArray.alloc(world.platform.kernel, "array", 16)!.store64(16, 1, "overrun");
          return world;
        },
        subject: "rfc-v1",
        detail: /^BUG: KASAN: slab-out-of-bounds in overrun$/,
      },
      {
        how: "a file is read whose handler goes through a NULL pointer",
        run() {
          const world = new World({ vms: [] });
          const { vfs } = world.platform.kernel;
          vfs.mkdirs("/sys").add("bad", sysfsFile({ show: () => nullDereference("bad_show", 8) }));
          const sys = world.platform.shell();
          const fd = sys.open("/sys/bad", O_RDONLY);
          assert.throws(() => sys.read(fd, 10), TaskKilled);
          return world;
        },
        subject: "rfc-v1",
        detail: /^BUG: kernel NULL pointer dereference, address: 0x8$/,
      },
      {
        how: "it panics",
        run() {
          const world = new World({ vms: [] });
          world.platform.kernel.panic("enough");
          return world;
        },
        subject: "rfc-v1",
        detail: /^Kernel panic - not syncing: enough$/,
      },
    ],
    unexercised: {
      what: "a kernel that has not come up",
      run: () => new World({ cold: true }),
    },
  },
};
