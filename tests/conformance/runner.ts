import assert from "node:assert/strict";
import { load } from "js-yaml";
import { errnoName } from "../../src/uapi/errno.ts";
import { LINUX_REBOOT_CMD_KEXEC } from "../../src/uapi/sys.ts";
import { type Answer, perform, SYSCALL_VERBS } from "./calls.ts";
import { Descriptors } from "./labels.ts";
import { Stage } from "./stage.ts";
import { evaluate, type Names } from "./values.ts";

export type Call = Readonly<Record<string, unknown>>;

export interface Vector {
  readonly name: string;
  readonly facts: string;
  readonly image?: string;
  readonly machine?: Readonly<Record<string, unknown>>;
  readonly cmdline?: string;
  readonly setup?: string | readonly string[];
  readonly calls: readonly Call[];
}

export interface VectorFile {
  readonly setups?: Readonly<Record<string, readonly Call[]>>;
  readonly vectors: readonly Vector[];
}

export function parseVectors(text: string): VectorFile {
  return load(text) as VectorFile;
}

/** The vector files of a folder, by name, in order. */
export function vectorFiles(folder: URL): Map<string, VectorFile> {
  const names = [...Deno.readDirSync(folder)].map((e) => e.name)
    .filter((n) => n.endsWith(".yaml") && n !== "required.yaml").sort();
  return new Map(names.map((n) => [n, parseVectors(Deno.readTextFileSync(new URL(n, folder)))]));
}

/** One thing a vector showed: a call answered with an errno, or succeeded ("0"). */
export interface Shown {
  readonly call: string;
  readonly errno: string;
  /** Structure fields of an ioctl, or the `flags` list of another call, as they were given. */
  readonly given: Readonly<Record<string, bigint | readonly string[]>>;
}

/** Verbs that are no system call of a process: steps of whoever plays the vector. */
const STEPS = ["kexec", "reboot", "exit", "fault", "dmesg", "has", "lacks", "pass"];

/** The verb of a call: `ioctl`, `open` … */
export function verbOf(call: Call): string {
  const found = [...STEPS, ...SYSCALL_VERBS].filter((v) => v in call);
  // `load: IMAGE` of `kexec_file_load` and such do not exist: one verb to a call, and no more.
  assert.equal(found.length, 1, `one verb is wanted in ${JSON.stringify(call)}`);
  return found[0];
}

/** Plays a vector on a machine of its own. Throws where an answer is not what it must be. */
export function play(file: VectorFile, vector: Vector): Shown[] {
  const player = new Player(vector);
  for (const setup of vector.setup === undefined ? [] : [vector.setup].flat()) {
    const calls = file.setups?.[setup];
    assert.ok(calls !== undefined, `${vector.name}: no setup ${setup}`);
    calls.forEach((call, i) => player.step(call, `setup ${setup}, call ${i + 1}`));
  }
  return vector.calls.flatMap((call, i) => player.step(call, `call ${i + 1}`));
}

const said = (rc: number | "SIGNAL") => rc === "SIGNAL" ? rc : rc < 0 ? errnoName(rc) : "0";

class Player {
  readonly #stage: Stage;
  readonly #names: Names = new Map();
  readonly #descriptors = new Descriptors();

  constructor(vector: Vector) {
    this.#stage = new Stage(vector);
  }

  step(call: Call, where: string): Shown[] {
    const verb = verbOf(call);
    if (STEPS.includes(verb)) return this.#step(verb, call, where);
    const number = (value: unknown) => evaluate(value, this.#names);
    const name = this.#descriptors.nameOf(call, verb, number);
    const sys = this.#stage.process(String(call.as ?? "main"));
    const answer = perform(sys, verb, call, this.#names);
    this.#judge(call, `${where} ${name}`, said(answer.rc));
    this.#compare(call, where, answer);
    const rc = answer.rc === "SIGNAL" ? -1 : answer.rc;
    if (rc >= 0) this.#descriptors.done(call, verb, rc, answer.fields, number);
    this.#save(call, where, rc, answer);
    return [{ call: name, errno: said(answer.rc), given: this.#given(call) }];
  }

  #judge(call: Call, where: string, got: string): void {
    const expected = String(call.errno ?? "0");
    assert.equal(got, expected, `${where}: ${got}, expected ${expected}`);
  }

  #compare(call: Call, where: string, { fields }: Answer): void {
    for (const [field, value] of Object.entries(call.out ?? {})) {
      const found = fields[field];
      assert.notEqual(found, undefined, `${where}: the reply has no ${field}`);
      if (typeof found === "bigint") {
        assert.equal(found, BigInt.asUintN(64, evaluate(value, this.#names)), `${where}: ${field}`);
      } else assert.deepEqual(found, value, `${where}: ${field}`);
    }
  }

  #save(call: Call, where: string, rc: number, { fields }: Answer): void {
    if (typeof call.save === "string") this.#names.set(call.save, BigInt(rc));
    else {
      for (const [name, field] of Object.entries(call.save ?? {})) {
        const value = fields[String(field)];
        assert.ok(value !== undefined, `${where}: nothing to save as ${name}`);
        this.#names.set(name, typeof value === "bigint" ? value : BigInt(String(value).trim()));
      }
    }
  }

  #given(call: Call): Shown["given"] {
    if (Array.isArray(call.flags)) return { flags: call.flags as string[] };
    const fields = Object.entries(call.in ?? {});
    return Object.fromEntries(
      fields.map(([k, v]) => [k, BigInt.asUintN(64, evaluate(v, this.#names))]),
    );
  }

  /** Steps that are no system call; what they show, where they stand for some. */
  #step(verb: string, call: Call, where: string): Shown[] {
    const stage = this.#stage;
    const as = String(call.as ?? "main");
    const value = String(call[verb]);
    const shown = (name: string, rc: number) => ({ call: name, errno: said(rc), given: {} });
    switch (verb) {
      case "kexec": {
        const { load, reboot } = stage.kexec(as, value);
        this.#judge(call, `${where} kexec`, said(reboot ?? load));
        this.#descriptors.clear();
        return [
          shown("kexec_file_load", load),
          ...(reboot === undefined ? [] : [shown("reboot", reboot)]),
        ];
      }
      case "reboot": {
        const command = value === "LINUX_REBOOT_CMD_KEXEC" ? LINUX_REBOOT_CMD_KEXEC : Number(value);
        const rc = stage.reboot(as, command);
        this.#judge(call, `${where} reboot`, said(rc));
        if (rc === 0) this.#descriptors.clear();
        return [shown("reboot", rc)];
      }
      case "exit":
        stage.exit(value);
        return [];
      case "pass": {
        const fd = stage.pass(as, Number(evaluate(call.pass, this.#names)), String(call.to));
        this.#names.set(String(call.save), BigInt(fd));
        return [];
      }
      case "fault":
        stage.arm(value, Number(call.nth ?? 1));
        return [];
      case "dmesg":
        assert.ok(
          stage.dmesg.some((line) => line.includes(value)),
          `${where}: no log line ${value}`,
        );
        return [];
      default:
        assert.equal(stage.has(value), verb === "has", `${where}: ${verb} ${value}`);
        return [];
    }
  }
}
