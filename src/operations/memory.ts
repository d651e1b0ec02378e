import { z } from "zod";
import { O_WRONLY } from "../uapi/sys.ts";
import { answered, operation } from "./types.ts";

export const MEMORY_OPERATIONS = [
  operation({
    name: "memory.compact",
    summary: "compact memory (write 1 to /proc/sys/vm/compact_memory): unpinned pages move",
    args: z.strictObject({}),
    // deno-lint-ignore require-yield
    *run({ platform }) {
      const sys = platform.shell();
      const fd = sys.open("/proc/sys/vm/compact_memory", O_WRONLY);
      return answered(fd < 0 ? fd : sys.write(fd, new TextEncoder().encode("1")));
    },
  }),
];
