import assert from "node:assert/strict";
import { load } from "js-yaml";
import { errnoName } from "../../src/uapi/errno.ts";
import type { Sys } from "../../src/uapi/sys.ts";
import { perform } from "./calls.ts";
import { evaluate, type Names } from "./values.ts";

type Call = Record<string, unknown>;

export interface Vector {
  readonly name: string;
  readonly facts: string;
  readonly image?: string;
  readonly machine?: Readonly<Record<string, unknown>>;
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

/** One thing a vector showed: a call answered with an errno, or succeeded ("0"). */
export interface Shown {
  readonly call: string;
  readonly errno: string;
}

/** Where a vector's calls go: a system call interface for each process it names. */
export type Processes = (name: string) => Sys;

const VERBS = [
  "open",
  "close",
  "unlink",
  "memfd_create",
  "ftruncate",
  "read",
  "write",
  "readdir",
  "mmap",
  "munmap",
  "ioctl",
  "kexec_file_load",
  "store",
  "load",
];

/** Name of what is called: the ioctl's, or the verb's. */
export function callName(call: Call): string {
  const verb = VERBS.find((v) => v in call) ?? "?";
  return verb === "ioctl" ? String(call.ioctl) : verb;
}

/** Plays a vector. Throws where an answer is not what it must be; else what it showed. */
export function play(file: VectorFile, vector: Vector, processes: Processes): Shown[] {
  const names: Names = new Map();
  const setups = vector.setup === undefined ? [] : [vector.setup].flat();
  for (const setup of setups) {
    const calls = file.setups?.[setup];
    assert.ok(calls !== undefined, `${vector.name}: no setup ${setup}`);
    calls.forEach((call, i) => step(call, `setup ${setup}, call ${i + 1}`, names, processes));
  }
  return vector.calls.map((call, i) => step(call, `call ${i + 1}`, names, processes));
}

function step(call: Call, where: string, names: Names, processes: Processes): Shown {
  const sys = processes(String(call.as ?? "main"));
  const { rc, fields } = perform(sys, call, names);
  const got = rc < 0 ? errnoName(rc) : "0";
  const expected = String(call.errno ?? "0");
  assert.equal(got, expected, `${where} ${callName(call)}: ${got}, expected ${expected}`);
  for (const [field, value] of Object.entries(call.out ?? {})) {
    const found = fields[field];
    assert.notEqual(found, undefined, `${where}: the reply has no ${field}`);
    if (typeof found === "bigint") {
      assert.equal(found, BigInt.asUintN(64, evaluate(value, names)), `${where}: ${field}`);
    } else assert.deepEqual(found, value, `${where}: ${field}`);
  }
  if (typeof call.save === "string") names.set(call.save, BigInt(rc));
  else {
    for (const [name, field] of Object.entries(call.save ?? {})) {
      const value = fields[String(field)];
      assert.ok(value !== undefined, `${where}: nothing to save as ${name}`);
      names.set(name, typeof value === "bigint" ? value : BigInt(String(value).trim()));
    }
  }
  return { call: callName(call), errno: got };
}
