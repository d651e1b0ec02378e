import assert from "node:assert/strict";
import { ms, PAGE_SIZE } from "../../../src/base/units.ts";
import { OpenFile } from "../../../src/kernel/fs/vfs.ts";
import type { Task } from "../../../src/kernel/process/task.ts";
import {
  LINUX_REBOOT_CMD_KEXEC,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  type Sys,
} from "../../../src/uapi/sys.ts";
import * as E from "../../../src/uapi/errno.ts";
import { KernelRig } from "../rig.ts";

const RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS;

/** Tells when it is released. */
class Witness extends OpenFile {
  constructor(readonly name: string, readonly log: string[]) {
    super();
  }
  protected override release(): void {
    this.log.push(`${this.name} closed`);
  }
}

function* sleeper(sys: Sys, naps: number[], log: string[]): Generator<number, number, void> {
  for (const nap of naps) {
    log.push(`${sys.comm} ${sys.now() / ms}`);
    yield nap * ms;
  }
  log.push(`${sys.comm} ${sys.now() / ms} ends`);
  return naps.length;
}

/** A rig whose clock reads 0 ms when its programs start. */
function start() {
  const rig = new KernelRig();
  const log: string[] = [];
  const zero = rig.kernel.uptime / ms;
  const at = () => log.map((l) => l.replace(/ (\d+)/, (_, t) => ` ${Number(t) - zero}`));
  return { rig, kernel: rig.kernel, log, at };
}

Deno.test("programs wake in the order of their sleep, whoever was started first", () => {
  const { rig, kernel, log, at } = start();
  kernel.spawn("slow", (sys) => sleeper(sys, [30, 30], log));
  kernel.spawn("fast", (sys) => sleeper(sys, [20, 20, 5], log));
  rig.run(100 * ms);
  assert.deepEqual(at().filter((l) => !l.includes(" 0")), [
    "fast 20",
    "slow 30",
    "fast 40",
    "fast 45 ends",
    "slow 60 ends",
  ]);
});

Deno.test("which of two programs due at one time goes first is an open decision", () => {
  const orders = new Set<string>();
  for (let seed = 1; seed <= 12; seed++) {
    const rig = new KernelRig({ seed });
    const log: string[] = [];
    for (const name of ["a", "b"]) rig.kernel.spawn(name, (sys) => sleeper(sys, [], log));
    rig.run(ms);
    orders.add(log.map((l) => l[0]).join(""));
  }
  assert.deepEqual([...orders].sort(), ["ab", "ba"]);
});

Deno.test("a program that never sleeps still lets time go on", () => {
  const { rig, kernel } = start();
  let turns = 0;
  kernel.spawn("busy", function* () {
    while (turns < 1000) {
      turns++;
      yield 0;
    }
    return 0;
  });
  rig.run(500);
  assert.ok(turns >= 500 && turns <= 502, `${turns} turns in 500 ns`);
});

Deno.test("a program that ends leaves its status, and its files and memory go", () => {
  const { rig, kernel, log } = start();
  const free = kernel.pages.freePages;
  const task = kernel.spawn("vmm", function* (sys) {
    const address = sys.mmap(8 * PAGE_SIZE, RW, ANON, -1, 0);
    for (let i = 0; i < 8; i++) sys.store32(address + i * PAGE_SIZE, 1);
    yield ms;
    return 3;
  });
  task.installFd(new Witness("first", log));
  task.installFd(new Witness("second", log));
  rig.run(0);
  assert.deepEqual([task.exitStatus, kernel.pages.freePages], [undefined, free - 8]);
  rig.run(2 * ms);
  assert.deepEqual([task.exitStatus, kernel.pages.freePages], [3, free]);
  assert.deepEqual(log, ["first closed", "second closed"]);
  assert.deepEqual(kernel.scheduler.tasks, []);
  assert.equal(kernel.scheduler.find("vmm"), undefined);
});

Deno.test("SIGKILL closes a program's files where it sleeps and runs nothing more of it", () => {
  const { rig, kernel, log } = start();
  const task = kernel.spawn("vmm", function* () {
    try {
      yield ms;
      log.push("woke up");
    } finally {
      log.push("finally");
    }
    return 0;
  });
  task.installFd(new Witness("file", log));
  rig.run(0);
  kernel.scheduler.kill(task);
  assert.deepEqual(log, ["file closed"]);
  assert.equal(task.exitStatus, 137);
  rig.run(10 * ms);
  kernel.scheduler.kill(task);
  assert.deepEqual(log, ["file closed"]);
});

Deno.test("a segmentation fault kills the program that made it, says so, and nobody else", () => {
  const { rig, kernel, log } = start();
  const bad = kernel.spawn("bad", function* (sys) {
    yield ms;
    sys.store32(0x1000, 1);
    return 0;
  });
  bad.installFd(new Witness("file", log));
  kernel.spawn("good", (sys) => sleeper(sys, [5], log));
  rig.run(10 * ms);
  assert.equal(bad.exitStatus, 139);
  assert.ok(rig.log.includes(`bad[${bad.pid}]: segmentation fault at 0x1000`));
  assert.ok(log.includes("file closed") && log.at(-1)?.endsWith("ends"));
});

Deno.test("any other error in a program is a bug and is not swallowed", () => {
  const { rig, kernel } = start();
  kernel.spawn("bad", function* () {
    yield ms;
    throw new TypeError("a mistake in the program");
  });
  assert.throws(() => rig.run(2 * ms), TypeError);
});

Deno.test("writing to memory mapped for reading is a segmentation fault too", () => {
  const { kernel } = start();
  const sys = kernel.shell();
  const address = sys.mmap(PAGE_SIZE, PROT_READ, ANON, -1, 0);
  assert.equal(sys.load32(address), 0);
  assert.throws(() => sys.store32(address, 1), /segmentation fault/);
  assert.throws(() => sys.copyOut(address, new Uint8Array(4)), /segmentation fault/);
});

Deno.test("a kexec drops programs: no finally block runs, no file closes, no memory is freed", () => {
  const { rig, kernel, log } = start();
  const task = kernel.spawn("vmm", function* () {
    try {
      for (;;) yield ms;
    } finally {
      log.push("finally");
    }
  });
  task.installFd(new Witness("file", log));
  rig.run(5 * ms);
  assert.equal(rig.load(), 0);
  rig.jump();
  rig.run(50 * ms);
  assert.deepEqual(log, []);
  assert.equal(task.exitStatus, undefined);
  assert.deepEqual(rig.kernel.scheduler.tasks, []);
});

Deno.test("programs run on until the jump, and not one step after it", () => {
  const { rig, kernel } = start();
  let last = 0;
  kernel.spawn("vmm", function* (sys) {
    for (;;) {
      last = rig.machine.queue.now;
      assert.equal(sys.pid >= 100, true);
      yield ms;
    }
  });
  rig.load();
  let jumped = 0;
  const asked = rig.machine.queue.now;
  rig.jump(() => jumped = rig.machine.queue.now);
  rig.run(50 * ms);
  const { shutdown, jump } = rig.machine.profile.timing;
  assert.equal(jumped - asked, shutdown + jump);
  assert.ok(last > jumped - 2 * ms && last <= jumped);
});

Deno.test("a program can ask for the kexec itself and simply does not come back", () => {
  const { rig, kernel, log } = start();
  kernel.spawn("vmm", function* (sys) {
    sys.kexecFileLoad("rfc-v1", 0);
    log.push(`reboot ${sys.reboot(LINUX_REBOOT_CMD_KEXEC)}`);
    yield 1000 * ms;
    log.push("came back");
    return 0;
  });
  rig.run(2000 * ms);
  assert.deepEqual(log, ["reboot 0"]);
});

Deno.test("messages arrive in order, each once", () => {
  const { rig, kernel, log } = start();
  const task = kernel.spawn("vmm", function* (sys) {
    for (;;) {
      for (let m; (m = sys.receive()) !== undefined;) log.push(m);
      yield ms;
    }
  });
  rig.run(ms / 2);
  for (const m of ["prepare", "pause"]) kernel.scheduler.send(task, m);
  rig.run(3 * ms);
  assert.deepEqual(log, ["prepare", "pause"]);
});

Deno.test("descriptors are the lowest free ones from 3", () => {
  const { rig, log } = start();
  const task: Task = rig.sys.task;
  const open = () => task.installFd(new Witness("f", log));
  assert.deepEqual([open(), open(), open()], [3, 4, 5]);
  assert.equal(task.close(4), 0);
  assert.equal(task.close(4), -E.EBADF);
  assert.deepEqual([open(), open()], [4, 6]);
  assert.deepEqual(task.fds.map(([fd]) => fd), [3, 4, 5, 6]);
});

Deno.test("a mapping keeps its file open after the descriptor is closed", () => {
  const { rig, log } = start();
  const { task } = rig.sys;
  const file = new Witness("file", log);
  const fd = task.installFd(file);
  const address = task.mm.map(PAGE_SIZE, true, { kind: "shmem", file, pageAt: () => 9 }, 0);
  task.close(fd);
  assert.deepEqual(log, []);
  assert.equal(task.mm.unmap(address, PAGE_SIZE), 1);
  assert.deepEqual(log, ["file closed"]);
});

Deno.test("a part of a mapping can go, or give way to another mapping", () => {
  const { rig, log } = start();
  const { sys } = rig;
  const at = sys.mmap(4 * PAGE_SIZE, RW, ANON, -1, 0);
  for (let i = 0; i < 4; i++) sys.store32(at + i * PAGE_SIZE, 10 + i);
  const free = rig.kernel.pages.freePages;
  assert.equal(sys.munmap(at + PAGE_SIZE, PAGE_SIZE), 0);
  assert.equal(rig.kernel.pages.freePages, free + 1);
  assert.throws(() => sys.load32(at + PAGE_SIZE), /segmentation fault/);
  assert.deepEqual([0, 2, 3].map((i) => sys.load32(at + i * PAGE_SIZE)), [10, 12, 13]);
  const file: OpenFile = new Witness("file", log);
  file.mmap = () => ({ kind: "shmem", file, pageAt: () => 9 });
  const fd = sys.task.installFd(file);
  assert.equal(sys.mmap(3 * PAGE_SIZE, RW, MAP_FIXED, fd, 0, at), at);
  assert.deepEqual(
    sys.task.mm.vmas.map((v) => [v.start - at, v.end - at].map((n) => n / PAGE_SIZE)),
    [
      [3, 4],
      [0, 3],
    ],
  );
  assert.equal(sys.load32(at + 3 * PAGE_SIZE), 13);
  sys.close(fd);
  sys.munmap(at + PAGE_SIZE, PAGE_SIZE);
  sys.munmap(at, PAGE_SIZE);
  assert.deepEqual(log, []);
  sys.munmap(at, 4 * PAGE_SIZE);
  assert.deepEqual(log, ["file closed"]);
  assert.equal(sys.mmap(PAGE_SIZE, RW, ANON | MAP_FIXED, -1, 0, at + 1), -E.EINVAL);
  assert.equal(sys.mmap(PAGE_SIZE, RW, ANON | MAP_FIXED, -1, 0, 0), -E.EINVAL);
});

Deno.test("mappings do not touch each other; what lies between them is not mapped", () => {
  const { rig } = start();
  const sys = rig.sys;
  const spans = [1, PAGE_SIZE, 3 * PAGE_SIZE + 1].map((length) => ({
    at: sys.mmap(length, RW, ANON, -1, 0),
    pages: Math.ceil(length / PAGE_SIZE),
  }));
  for (const { at, pages } of spans) {
    const last = at + pages * PAGE_SIZE - 4;
    sys.store32(last, 5);
    assert.equal(sys.load32(last), 5);
    assert.throws(() => sys.load32(at + pages * PAGE_SIZE), /segmentation fault/);
    assert.throws(() => sys.load32(at - 4), /segmentation fault/);
  }
  const bytes = new Uint8Array(3 * PAGE_SIZE).map((_, i) => i % 251);
  sys.copyOut(spans[2].at + 100, bytes);
  assert.deepEqual(sys.copyIn(spans[2].at + 100, bytes.length), bytes);
});

Deno.test("anonymous memory is zero at first, even where another process wrote before", () => {
  const { rig } = start();
  const first = rig.sys;
  const a = first.mmap(PAGE_SIZE, RW, ANON, -1, 0);
  first.store32(a, 0x5ec4e7);
  const pfn = first.task.mm.translate(a);
  first.task.exit(0);
  const second = rig.sys;
  const b = second.mmap(PAGE_SIZE, RW, ANON, -1, 0);
  assert.equal(second.load32(b), 0);
  assert.equal(second.task.mm.translate(b), pfn);
});

Deno.test("memory that cannot be had is a fault of the program, not of the emulator", () => {
  const { rig } = start();
  const sys = rig.sys;
  const at = sys.mmap(PAGE_SIZE, RW, ANON, -1, 0);
  rig.chooser.arm("fault:alloc_page");
  assert.throws(() => sys.store32(at, 1), /segmentation fault/);
  sys.store32(at, 1);
  assert.equal(sys.load32(at), 1);
});
