import type * as z from "zod/mini";
import { IMAGES, imageWith } from "../kernel/image.ts";
import { findProfile, PROFILES } from "../machine/profile.ts";
import { unknownName } from "../operations/names.ts";
import { OPERATIONS } from "../operations/table.ts";
import type { Names } from "../operations/types.ts";
import { didYouMean, UsageError } from "./errors.ts";
import { reservedComplaint } from "./firmware.ts";
import { ramComplaint } from "./guest_ram.ts";
import { imageComplaint } from "../operations/image_name.ts";
import { pagingComplaint } from "./page_requests.ts";
import { programComplaint } from "./programs.ts";
import { makeMany, TooMany } from "./many.ts";
import { MAX_DEVICES, NIC_PASID_BITS, type Scenario, scenarioSchema } from "./schema.ts";
import { parseYaml, type YamlDocument } from "./yaml.ts";

/** Arguments of each step as the operation wants them, in the order of the steps. */
export interface LoadedScenario {
  readonly scenario: Scenario;
  readonly args: readonly Record<string, unknown>[];
  readonly file: string;
  /** The document as it was written. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** Reads a scenario. Whatever is wrong with it is a {@link UsageError} with its place. */
export function loadScenario(text: string, file: string): LoadedScenario {
  const document = parseYaml(text, file);
  const result = scenarioSchema.safeParse(document.value);
  if (!result.success) throw explain(first(result.error.issues), document, file, []);
  const scenario = result.data;
  if (scenario.steps.length === 0 && scenario.until === undefined) {
    throw new UsageError(
      "steps: found nothing to do, expected at least one",
      file,
      document.placeOf(["steps"]),
    );
  }
  addDefects(scenario, document, file);
  checkMachine(scenario, expanded(scenario, document, file), file);
  const args = scenario.steps.map((_, i) => stepArguments(scenario, i, document, file));
  checkExpectations(scenario, document, file);
  return { scenario, args, file, raw: document.value as Record<string, unknown> };
}

/** Each `count` becomes so many; what is wrong with one of them is wrong where they were written. */
function expanded({ machine }: Scenario, document: YamlDocument, file: string): YamlDocument {
  try {
    const origin = makeMany(machine);
    if (machine.devices.length > MAX_DEVICES) {
      const path = ["machine", "devices"];
      throw new TooMany(`${machine.devices.length} devices: a machine has ${MAX_DEVICES}`, path);
    }
    return { ...document, placeOf: (path, key) => document.placeOf(origin(path), key) };
  } catch (error) {
    if (!(error instanceof TooMany)) throw error;
    throw new UsageError(error.message, file, document.placeOf(error.path));
  }
}

/** `defects` becomes part of the images' names: an image is what it does. */
function addDefects({ kernel }: Scenario, document: YamlDocument, file: string): void {
  kernel.defects.forEach((id, i) => {
    for (const name of [kernel.image, kernel.next ?? kernel.image]) {
      const wrong = imageComplaint(imageWith(name, [id]));
      if (wrong !== undefined) {
        throw new UsageError(wrong, file, document.placeOf(["kernel", "defects", i]));
      }
    }
  });
  kernel.image = imageWith(kernel.image, kernel.defects);
  if (kernel.next !== undefined) kernel.next = imageWith(kernel.next, kernel.defects);
}

/** A misspelt key explains the missing one: it is named first. */
function first(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  return issues.find((i) => i.code === "unrecognized_keys") ?? issues[0];
}

/** The last name on a path; an item of a list goes by the list's name. */
function nameOf(path: readonly PropertyKey[]): string {
  const last = path.findLastIndex((part) => typeof part === "string");
  const index = path.slice(last + 1).map((i) => `[${String(i)}]`).join("");
  return last < 0 ? "the scenario" : String(path[last]) + index;
}

/** The first thing zod did not like, in words a person can act on. */
function explain(
  issue: z.core.$ZodIssue,
  document: YamlDocument,
  file: string,
  prefix: readonly PropertyKey[],
): UsageError {
  const path = [...prefix, ...issue.path];
  const name = nameOf(path);
  const found = valueAt(document.value, path);
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0];
    const known = knownKeys(path);
    const words = known.length > 0 ? `, expected one of ${known.join(", ")}` : "";
    const hint = didYouMean(key, known);
    return new UsageError(
      `unknown key ${quote(key)}${hint === "" ? words : hint}`,
      file,
      document.placeOf([...path, key], true),
    );
  }
  const place = document.placeOf(path);
  const at = found === undefined ? "nothing" : quote(found);
  if (issue.code === "invalid_value") {
    const values = issue.values.map(String);
    const hint = typeof found === "string" ? didYouMean(found, values) : "";
    const many = values.length > 12 ? `one of ${values.slice(0, 12).join(", ")}, …` : oneOf(values);
    return new UsageError(`${name}: found ${at}, expected ${many}${hint}`, file, place);
  }
  if (issue.code === "invalid_union" && issue.discriminator !== undefined) {
    const models = ["nic", "nvme"];
    const hint = typeof found === "string" ? didYouMean(found, models) : "";
    return new UsageError(`${name}: found ${at}, expected ${oneOf(models)}${hint}`, file, place);
  }
  if (issue.code === "invalid_type") {
    const text = found === undefined ? `${name} is missing` : `${name}: found ${at}`;
    const own = issue.message.startsWith("expected") ? issue.message : undefined;
    const wanted = own ?? `expected ${expectedType(issue.expected)}`;
    return new UsageError(`${text}, ${wanted}`, file, place);
  }
  // An image's name explains itself.
  const said = path[0] === "kernel" ? issue.message : `${name}: found ${at}, ${issue.message}`;
  return new UsageError(said, file, place);
}

function expectedType(type: string): string {
  const words: Record<string, string> = {
    string: "text",
    number: "a number",
    int: "a whole number",
    boolean: "true or false",
    array: "a list",
    object: "a mapping",
    record: "a mapping",
  };
  return words[type] ?? type;
}

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? values[0] : `one of ${values.join(", ")}`;
}

function quote(value: unknown): string {
  const text = typeof value === "string"
    ? JSON.stringify(value)
    : JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? text.slice(0, 57) + "…" : text;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  return at;
}

/** Keys the schema knows at a path. */
function knownKeys(path: readonly PropertyKey[]): string[] {
  let schema: unknown = scenarioSchema;
  for (const part of path) schema = inner(schema, part);
  const shape = unwrap(schema)?.shape;
  return shape === undefined ? [] : Object.keys(shape);
}

interface AnySchema {
  shape?: Record<string, unknown>;
  def?: { innerType?: unknown; valueType?: unknown; element?: unknown; options?: unknown[] };
}

function unwrap(schema: unknown): AnySchema | undefined {
  let s = schema as AnySchema | undefined;
  while (s?.shape === undefined && s?.def?.innerType !== undefined) {
    s = s.def.innerType as AnySchema;
  }
  if (s?.def?.options !== undefined) return unwrap(s.def.options[0]);
  return s;
}

function inner(schema: unknown, part: PropertyKey): unknown {
  const s = unwrap(schema);
  if (typeof part === "number") return s?.def?.element;
  return s?.shape?.[String(part)] ?? s?.def?.valueType;
}

/** Largest file of guestmemfs in bytes (FACTS 5.2). */
const MAX_FILE = 1024 * 1048576;

/** Ids are unique and refer to something; a device has one owner. */
function checkMachine(scenario: Scenario, document: YamlDocument, file: string): void {
  const { devices, vms } = scenario.machine;
  const seen = new Map<string, string>();
  const fail = (message: string, path: PropertyKey[]) => {
    throw new UsageError(message, file, document.placeOf(path));
  };
  devices.forEach((d, i) => {
    if (seen.has(d.id)) fail(`there are two ${d.id}`, ["machine", "devices", i, "id"]);
    if (seen.has(d.bdf)) {
      fail(`${seen.get(d.bdf)} is at ${d.bdf}`, ["machine", "devices", i, "bdf"]);
    }
    seen.set(d.id, d.id).set(d.bdf, d.id);
  });
  const addresses = new Set(devices.map((d) => d.bdf));
  devices.forEach((d, i) => {
    // A bus is scanned for function 0 of each device first; without it the others stay unseen.
    const zero = d.bdf.replace(/[0-7]$/, "0");
    if (!addresses.has(zero)) {
      fail(`there is no ${zero}, so nothing would find ${d.bdf}`, ["machine", "devices", i, "bdf"]);
    }
  });
  const profile = findProfile(scenario.machine.profile);
  const pasids = profile?.vtd?.scalable === true && profile.vtd.pasidBits >= NIC_PASID_BITS;
  devices.forEach((d, i) => {
    if (d.model !== "nic" || d.pasid === undefined || pasids) return;
    const able = PROFILES.filter((p) => p.vtd?.scalable).map((p) => p.name);
    fail(`${profile?.name} has no PASIDs, ${oneOf(able)} has`, ["machine", "devices", i, "pasid"]);
  });
  const reserved = reservedComplaint(scenario.machine);
  if (reserved !== undefined) {
    fail(reserved.message, ["machine", "devices", reserved.device, "rmrr"]);
  }
  devices.forEach((d, i) => {
    const at = ["machine", "devices", i];
    if (d.model === "bmc" && d.rmrr === undefined) fail(`${d.id} works in its rmrr`, at);
    if (d.model === "nic" && d.aliased && profile?.vtd === undefined) {
      fail("only the driver of VT-d knows of other source ids", [...at, "aliased"]);
    }
  });
  const driven = programComplaint(scenario);
  if (driven !== undefined) fail(driven.message, ["machine", "vms", driven.vm, driven.key]);
  const paging = pagingComplaint(scenario);
  if (paging !== undefined) fail(paging.message, [...paging.path]);
  const owners = new Map<string, string>();
  const byId = new Map(devices.map((d) => [d.id, d]));
  let guests = 0;
  vms.forEach((vm, i) => {
    if (vms.findIndex((v) => v.id === vm.id) !== i) {
      fail(`there are two ${vm.id}`, ["machine", "vms", i, "id"]);
    }
    if (vm.persistent) guests += (vm.backing === "memfd" ? 0 : vm.memory) + 2 * 1048576;
    if (vm.persistent && vm.program === "paravisor" && vm.memory > MAX_FILE) {
      const path = ["machine", "vms", i, "memory"];
      fail("a guestmemfs file ends at 1GiB: so does the guest of a paravisor", path);
    }
    if (vm.dma === "guestmemfs") guests += 2 * 1048576;
    vm.devices.forEach((device, j) => {
      const path = ["machine", "vms", i, "devices", j];
      if (!byId.has(device)) {
        fail(`there is no device ${device}${didYouMean(device, [...byId.keys()])}`, path);
      }
      if (owners.has(device)) fail(`${device} belongs to ${owners.get(device)} already`, path);
      owners.set(device, vm.id);
    });
  });
  vms.forEach((vm, i) => {
    const models = vm.devices.map((id) => byId.get(id)?.model);
    const wrong = ramComplaint(vm, models);
    if (wrong !== undefined) fail(wrong.message, ["machine", "vms", i, wrong.key]);
  });
  const { memory, guestmemfs, kho_scratch } = scenario.machine;
  if (guests > guestmemfs) {
    fail(
      `guestmemfs of ${guestmemfs / 1048576}MiB is too small: the persistent VMs and the files ` +
        `they leave at an update take ${guests / 1048576}MiB`,
      ["machine", "guestmemfs"],
    );
  }
  if (guestmemfs + kho_scratch + 32 * 1048576 > memory) {
    fail(
      `memory of ${memory / 1048576}MiB is too small for guestmemfs, kho_scratch and a kernel`,
      ["machine", "memory"],
    );
  }
}

function stepArguments(
  scenario: Scenario,
  index: number,
  document: YamlDocument,
  file: string,
): Record<string, unknown> {
  const step = scenario.steps[index];
  const operation = OPERATIONS.get(step.do);
  if (operation === undefined) throw new UsageError(`no operation ${step.do}`, file);
  const prefix = ["steps", index, "with"];
  const result = operation.args.safeParse(step.with);
  if (!result.success) {
    const issue = first(result.error.issues);
    if (issue.code === "unrecognized_keys") {
      const known = Object.keys(operation.args.shape);
      const key = issue.keys[0];
      const hint = didYouMean(key, known) ||
        (known.length > 0
          ? `, ${step.do} takes ${known.join(", ")}`
          : `, ${step.do} takes nothing`);
      throw new UsageError(
        `unknown argument ${quote(key)}${hint}`,
        file,
        document.placeOf([...prefix, key], true),
      );
    }
    throw explain(issue, document, file, prefix);
  }
  const known: Names = {
    vms: scenario.machine.vms.map((v) => v.id),
    devices: scenario.machine.devices.map((d) => d.id),
    images: IMAGES.map((i) => i.name),
  };
  const unknown = unknownName(operation, result.data, known);
  if (unknown !== undefined) {
    throw new UsageError(unknown.message, file, document.placeOf([...prefix, unknown.argument]));
  }
  return result.data;
}

function checkExpectations(scenario: Scenario, document: YamlDocument, file: string): void {
  const ids = scenario.machine.devices.map((d) => d.id);
  for (const [device, e] of Object.entries(scenario.expect.devices)) {
    const path = ["expect", "devices", device];
    if (!ids.includes(device)) {
      const text = `there is no device ${quote(device)}${didYouMean(device, ids)}`;
      throw new UsageError(text, file, document.placeOf(path, true));
    }
    const model = scenario.machine.devices.find((d) => d.id === device)?.model;
    if (e.max_gap_intervals !== undefined && model !== "nic") {
      const text = `${device} is no NIC: it has no packet interval`;
      throw new UsageError(text, file, document.placeOf([...path, "max_gap_intervals"]));
    }
  }
}
