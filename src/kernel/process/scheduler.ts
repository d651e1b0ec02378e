import type { Chooser } from "../../base/choice.ts";
import type { EventQueue } from "../../base/event_queue.ts";
import type { Message, Program, Sys } from "../../uapi/sys.ts";
import type { Dmesg } from "../dmesg.ts";
import { faultPoint } from "../fault_points.ts";
import { Oops } from "../oops.ts";
import { AddressSpace } from "./address_space.ts";
import { Task } from "./task.ts";
import { Credentials, UserTable } from "./user.ts";

/** What a program can die of, and the status it leaves: SIGSEGV, or its guest's triple fault. */
const DEATHS: Readonly<Record<string, number>> = { SegmentationFault: 139, GuestFault: 134 };

interface Running {
  readonly task: Task;
  /** The fault point at which it dies. */
  readonly death: string;
  readonly body: Generator<number, number, void>;
  wakeAt: number;
  /** It runs: it was left in the middle of a call. */
  inside: boolean;
}

/**
 * Runs programs: generators that yield the nanoseconds they want to sleep. A task that is due is
 * run until it yields. Which of several due tasks goes first is an open decision. When the kernel
 * dies ({@link stop}) its programs simply are no more: no finally block runs, no file closes.
 */
export class Scheduler {
  #running: Running[] = [];
  #nextPid = 100;
  #stopped = false;
  readonly users = new UserTable();
  readonly #handler: number;

  constructor(
    readonly queue: EventQueue,
    readonly chooser: Chooser,
    readonly dmesg: Dmesg,
    readonly makeSys: (task: Task) => Sys,
    readonly makeMm: (comm: string) => AddressSpace = () => new AddressSpace(),
    /** A program ended. */
    readonly onExit: () => void = () => {},
  ) {
    this.#handler = queue.register(() => this.#runDue());
  }

  /** A task that runs no program. */
  newTask(comm: string): Task {
    const cred = new Credentials(this.users.get(0));
    return new Task(this.#nextPid++, comm, cred, this.makeMm(comm));
  }

  /** Starts a program; it runs for the first time at once, from the event queue. */
  spawn(comm: string, program: Program): Task {
    return this.#start(this.newTask(comm), program);
  }

  /** One more thread of the process that `task` is of. */
  spawnThread(task: Task, program: Program): Task {
    return this.#start(new Task(this.#nextPid++, task.comm, task.cred, task), program);
  }

  #start(task: Task, program: Program): Task {
    const body = program(this.makeSys(task));
    const death = faultPoint("program", task.comm);
    this.#running.push({ task, death, body, wakeAt: this.queue.now, inside: false });
    this.queue.after(0, this.#handler);
    return task;
  }

  /** Tasks that have not exited, by ascending pid. */
  get tasks(): Task[] {
    return this.#running.map((r) => r.task);
  }

  find(comm: string): Task | undefined {
    for (const { task } of this.#running) if (task.comm === comm) return task;
    return undefined;
  }

  /** Sends a message to a program, which reads it when it next runs. */
  send(task: Task, message: Message): void {
    task.inbox.push(message);
  }

  /** SIGKILL: the program ends where it sleeps, all its threads, and its files close. */
  kill(task: Task): void {
    this.#finishAll(task, 137);
  }

  /** A signal takes all threads of a process. */
  #finishAll(task: Task, status: number): void {
    for (const r of this.#running.filter((x) => x.task.isThreadOf(task))) this.#finish(r, status);
  }

  /**
   * A place in the middle of a call where the kernel may leave the caller for another program:
   * whether it does, and for which of those that are due, is an open decision.
   */
  preempt(): void {
    const due = this.#due();
    if (due.length === 0) return;
    const next = this.chooser.pick("sched:preempt", due.length);
    if (next > 0) this.#run(due[next - 1]);
  }

  /** Programs that want to run now; not those in the middle of it. */
  #due(): Running[] {
    return this.#running.filter((r) => this.#isDue(r));
  }

  #isDue(r: Running): boolean {
    return !r.inside && r.wakeAt <= this.queue.now;
  }

  /** The kernel is gone. */
  stop(): void {
    this.#stopped = true;
    this.#running = [];
  }

  #runDue(): void {
    for (;;) {
      let due = 0;
      for (const r of this.#running) if (this.#isDue(r)) due++;
      if (due === 0 || this.#stopped) return;
      let skipped = this.chooser.pick("sched:next", due - 1);
      const next = this.#running.find((r) => this.#isDue(r) && skipped-- === 0);
      this.#run(next as Running);
    }
  }

  #run(r: Running): void {
    let step: IteratorResult<number, number>;
    if (this.chooser.pick(r.death, 1) === 1) {
      this.dmesg.info(`${r.task.comm}[${r.task.pid}]: killed`);
      this.#finishAll(r.task, 137);
      return;
    }
    r.inside = true;
    try {
      step = r.body.next();
    } catch (error) {
      if (error instanceof Oops) {
        this.#running = this.#running.filter((x) => x !== r);
        this.oops(r.task, error);
        return;
      }
      const status = error instanceof Error ? DEATHS[error.name] : undefined;
      // Anything else is no program's doing but a bug here.
      if (status === undefined) throw error;
      this.dmesg.info(`${r.task.comm}[${r.task.pid}]: ${(error as Error).message}`);
      this.#finishAll(r.task, status);
      return;
    }
    r.inside = false;
    // A program may have jumped into the next kernel: then nobody here runs any more.
    if (this.#stopped) return;
    if (step.done) this.#finish(r, step.value);
    else {
      r.wakeAt = this.queue.now + Math.max(1, step.value);
      this.queue.at(r.wakeAt, this.#handler);
    }
  }

  #finish(r: Running, status: number): void {
    this.#running = this.#running.filter((x) => x !== r);
    this.#exit(r.task, status);
  }

  /** The kernel went wrong in a task's name: it is killed where it stands (SIGKILL). */
  oops(task: Task, error: Oops): void {
    this.dmesg.splat(error.message, `RIP: ${error.at}`, `Comm: ${task.comm} PID: ${task.pid}`);
    this.#exit(task, 137);
  }

  #exit(task: Task, status: number): void {
    try {
      task.exit(status);
    } catch (error) {
      if (!(error instanceof Oops)) throw error;
      this.dmesg.splat(error.message, `RIP: ${error.at}`, "Fixing recursive fault");
    }
    this.onExit();
  }
}
