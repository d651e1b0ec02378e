import * as z from "zod/mini";
import { EBUSY, EIO, ENODEV } from "../uapi/errno.ts";
import type { Script } from "../platform/director.ts";
import type { Snapshot } from "../platform/snapshot.ts";
import { LIMIT_PAGES } from "../userspace/vmm/serve.ts";
import { parseSize } from "./values.ts";
import { whenUp } from "./when.ts";
import { OK, operation, type Outcome, type Session } from "./types.ts";

const vm = () => z.strictObject({ vm: z.string().with(z.describe("id of a VM")) });
const refers = { vm: "vms" } as const;

const lives = (status: string) => !["off", "exited"].includes(status);

/** Programs run, and one of them is a VMM. */
function someVmRuns(s: Snapshot): string | null {
  return whenUp(s) ?? (s.vms.some((v) => lives(v.status)) ? null : "no VM runs");
}

function someVmIsOff(s: Snapshot): string | null {
  if (s.vms.length === 0) return "there is no VM";
  return s.vms.some((v) => !lives(v.status)) ? null : "every VM runs";
}

function* withTask(
  { platform }: Session,
  id: string,
  message: string,
  until: readonly string[],
): Script<Outcome> {
  const task = platform.kernel.scheduler.find(id);
  if (task === undefined) return { errno: ENODEV, detail: `${id} does not run` };
  task.status = "";
  platform.kernel.scheduler.send(task, message);
  yield () => [...until, "refused", "failed", "exited"].includes(platform.statusOf(id));
  const status = platform.statusOf(id);
  if (until.includes(status)) return OK;
  return { errno: status === "refused" ? EBUSY : ENODEV, detail: `${id} ${status}` };
}

export const VM_OPERATIONS = [
  operation({
    name: "vm.start",
    summary: "start a VM, or all of them",
    args: () =>
      z.strictObject({
        vm: z.optional(z.string()).with(z.describe("id of a VM; all when left out")),
      }),
    refers,
    unavailable: someVmIsOff,
    *run(session, { vm: id }) {
      const { platform } = session;
      yield () => platform.settled;
      if (platform.kernel.panicked !== undefined) return { errno: EIO, detail: "no kernel runs" };
      const vms = platform.spec.vms.filter((v) =>
        (id === undefined || v.id === id) && !platform.runs(v.id)
      );
      if (vms.length === 0) return { errno: EBUSY, detail: `${id ?? "every VM"} runs already` };
      for (const v of vms) platform.startVm(v);
      const states = ["running", "restored", "failed", "exited"];
      yield () => vms.every((v) => states.includes(platform.statusOf(v.id)));
      // One that found what another left behind waits for the word to go on.
      for (const v of vms) {
        if (platform.statusOf(v.id) !== "restored") continue;
        yield* withTask(session, v.id, "resume", ["running"]);
        yield* withTask(session, v.id, "forget", ["running"]);
      }
      const failed = vms.find((v) => platform.statusOf(v.id) !== "running");
      return failed ? { errno: ENODEV, detail: `${failed.id} did not start` } : OK;
    },
  }),
  operation({
    name: "vm.stop",
    summary: "shut a VM down: its VMM exits and closes everything",
    args: vm,
    refers,
    destroys: "the guest and what it has in memory",
    unavailable: someVmRuns,
    *run(session, { vm: id }) {
      const outcome = yield* withTask(session, id, "quit", ["exited"]);
      session.platform.forgetVm(id);
      return outcome;
    },
  }),
  operation({
    name: "vm.kill",
    summary: "kill a VMM (SIGKILL): descriptors close, nothing is saved",
    args: vm,
    refers,
    destroys: "the guest and what it has in memory",
    unavailable: someVmRuns,
    // deno-lint-ignore require-yield
    *run({ platform }, { vm: id }) {
      const task = platform.kernel.scheduler.find(id);
      if (task === undefined) return { errno: ENODEV, detail: `${id} does not run` };
      platform.kernel.scheduler.kill(task);
      platform.forgetVm(id);
      return OK;
    },
  }),
  operation({
    name: "vm.unmap",
    summary: "let a VMM unmap all guest memory from its IOAS; its devices can reach nothing then",
    args: vm,
    refers,
    destroys: "every DMA of its devices from then on",
    unavailable: someVmRuns,
    *run(session, { vm: id }) {
      const { health } = session.platform;
      health.suspend(id, true);
      const outcome = yield* withTask(session, id, "unmap", ["unmapped"]);
      if (outcome.errno !== 0) health.suspend(id, false);
      return outcome;
    },
  }),
  operation({
    name: "vm.map",
    summary: "let a VMM map its guest memory again after vm.unmap, and run on",
    args: vm,
    refers,
    unavailable: someVmRuns,
    *run(session, { vm: id }) {
      const outcome = yield* withTask(session, id, "map", ["running"]);
      if (outcome.errno === 0) session.platform.health.promise(id, true);
      return outcome;
    },
  }),
  operation({
    name: "vm.crash",
    summary: "let a VMM crash (SIGSEGV): it was meant to run on, and nobody stopped it",
    args: vm,
    refers,
    destroys: "the guest, and its devices' DMA",
    unavailable: someVmRuns,
    *run(session, { vm: id }) {
      return yield* withTask(session, id, "crash", ["exited"]);
    },
  }),
  operation({
    name: "vm.pages",
    summary: "let a VMM limit the pages in its devices' tables: what is mapped is joined or split",
    args: () =>
      z.extend(vm(), {
        largest: z.enum(["4KiB", "2MiB", "1GiB"]).with(z.describe("the largest page from then on")),
      }),
    refers,
    unavailable: someVmRuns,
    *run(session, { vm: id, largest }) {
      const message = `${LIMIT_PAGES}${parseSize(largest)}`;
      return yield* withTask(session, id, message, ["running"]);
    },
  }),
];
