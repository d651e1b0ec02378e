import assert from "node:assert/strict";
import { ms, PAGE_SIZE } from "../../../src/base/units.ts";
import { OpenFile } from "../../../src/kernel/fs/vfs.ts";
import { nullDereference } from "../../../src/kernel/oops.ts";
import * as S from "../../../src/uapi/sys.ts";
import { KernelRig } from "../rig.ts";

const RW = S.PROT_READ | S.PROT_WRITE, ANON = S.MAP_PRIVATE | S.MAP_ANONYMOUS;

function* nap(times: number): Generator<number, number, void> {
  for (let i = 0; i < times; i++) yield ms;
  return 0;
}

Deno.test("threads share memory and descriptors, and the last one to end closes them", () => {
  const rig = new KernelRig();
  const log: string[] = [];
  class Witness extends OpenFile {
    protected override release(): void {
      log.push("closed");
    }
  }
  const seen: number[] = [];
  const task = rig.kernel.spawn("p", function* (sys) {
    const fd = task.installFd(new Witness());
    const at = sys.mmap(PAGE_SIZE, RW, ANON, -1, 0);
    sys.clone(function* (thread) {
      thread.store32(at, 7);
      yield* nap(3);
      seen.push(thread.load32(at), thread.pid - sys.pid);
      log.push(task.file(fd) === undefined ? "gone" : "still open");
      return 0;
    });
    yield ms;
    seen.push(sys.load32(at));
    return 0;
  });
  rig.run(20 * ms);
  assert.deepEqual(seen, [7, 7, 1]);
  assert.deepEqual(log, ["still open", "closed"]);
});

Deno.test("SIGKILL is for all threads, an oops for the one that is in the kernel", () => {
  const rig = new KernelRig();
  const alive: string[] = [];
  const task = rig.kernel.spawn("p", function* (sys) {
    sys.clone(function* () {
      yield ms;
      return nullDereference("somewhere");
    });
    for (;;) {
      alive.push("first");
      yield ms;
    }
  });
  rig.run(5 * ms);
  const before = alive.length;
  assert.ok(before >= 4);
  assert.equal(rig.kernel.scheduler.tasks.length, 1);
  rig.kernel.scheduler.kill(task);
  rig.run(5 * ms);
  assert.equal(alive.length, before);
});

Deno.test("in the middle of a call another program that is due may run, or none, as it is chosen", () => {
  const orders = new Set<string>();
  for (let seed = 1; seed <= 8; seed++) {
    const rig = new KernelRig({ seed });
    const log: string[] = [];
    const { scheduler } = rig.kernel;
    rig.kernel.spawn("a", function* () {
      yield ms;
      log.push("a in");
      scheduler.preempt();
      log.push("a out");
      yield ms;
      return 0;
    });
    rig.kernel.spawn("b", function* () {
      yield ms;
      log.push("b");
      return 0;
    });
    rig.run(5 * ms);
    orders.add(log.join(", "));
  }
  assert.deepEqual([...orders].sort(), [
    "a in, a out, b",
    "a in, b, a out",
    "b, a in, a out",
  ]);
});

Deno.test("a program that was left in the middle of a call is not run again before it comes back", () => {
  const rig = new KernelRig({ seed: 3 });
  let depth = 0, deepest = 0;
  const { scheduler } = rig.kernel;
  const body = function* (): Generator<number, number, void> {
    for (let i = 0; i < 30; i++) {
      depth++;
      deepest = Math.max(deepest, depth);
      scheduler.preempt();
      depth--;
      yield ms;
    }
    return 0;
  };
  for (const name of ["a", "b", "c"]) rig.kernel.spawn(name, body);
  rig.run(50 * ms);
  assert.equal(deepest, 3);
  assert.equal(scheduler.tasks.length, 0);
});
