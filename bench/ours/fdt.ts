/** The counterpart of c/fdt.c: the flattened device trees the kernels hand each other. */
import { type Fdt, FdtWriter, openFdt } from "../../src/fdt/mod.ts";
import { type Benchmark, mix, timed } from "./side.ts";

const LOOKUPS = 100;
const MAX_BLOB = 64 << 20;
const NAMES = ["compatible", "id", "size", "mem"];

/** `divisor`: all sizes are divided by it. */
export function fdt(divisor: number): Record<string, Benchmark> {
  const few = Math.floor(1000 / divisor), many = Math.floor(100_000 / divisor);
  return {
    "fdt-write-1k": write(few, false, 20),
    "fdt-write-100k": write(many, false, 1),
    "fdt-write-1k-unique": write(few, true, 5),
    "fdt-write-3k-unique": write(3 * few, true, 1),
    "fdt-read-1k": read(few, 20, everyProperty),
    "fdt-read-100k": read(many, 1, everyProperty),
    "fdt-pass-1k": read(few, 20, onePass),
    "fdt-pass-100k": read(many, 1, onePass),
    "fdt-path-1k": read(few, 20, lookUp(few)),
    "fdt-path-100k": read(many, 1, lookUp(many)),
  };
}

function writeTree(nodes: number, unique: boolean): Uint8Array {
  const writer = new FdtWriter(MAX_BLOB);
  const type = new TextEncoder().encode("node-v1\0");
  const words = new Uint32Array(4), mem = new Uint8Array(words.buffer);
  let names = NAMES;
  writer.beginNode("");
  for (let node = 0; node < nodes; node++) {
    if (unique) names = NAMES.map((_, i) => `p${i}-of-${node.toString(16)}`);
    for (let i = 0; i < 4; i++) words[i] = node + i;
    writer.beginNode(`node@${node.toString(16)}`);
    writer.property(names[0], type);
    writer.propU32(names[1], node);
    writer.propU64(names[2], node * 4096);
    writer.property(names[3], mem);
    writer.endNode();
  }
  writer.endNode();
  return writer.finish();
}

function write(nodes: number, unique: boolean, times: number): Benchmark {
  return () => {
    const blob = timed(() => {
      for (let i = 1; i < times; i++) writeTree(nodes, unique);
      return writeTree(nodes, unique);
    });
    const words = new Uint32Array(blob.buffer, 0, blob.length >>> 2);
    return words.reduce(mix, blob.length);
  };
}

function read(nodes: number, times: number, how: (fdt: Fdt, sum: number) => number): Benchmark {
  // Written once: what writing leaves to the garbage collector would be paid while reading.
  let blob: Uint8Array | undefined;
  return () => {
    const tree = blob ??= writeTree(nodes, false);
    return timed(() => {
      let sum = 0;
      for (let i = 0; i < times; i++) sum = how(openFdt(tree), sum);
      return sum;
    });
  };
}

/** Each property of each node, by its name. */
function everyProperty(fdt: Fdt, sum: number): number {
  for (let node = fdt.firstSubnode(fdt.root); node >= 0; node = fdt.nextSubnode(node)) {
    for (let i = 0; i < 4; i++) sum = mix(sum, fdt.propU32(fdt.findProp(node, NAMES[i])));
  }
  return sum;
}

/** The same, taken as they come. */
function onePass(fdt: Fdt, sum: number): number {
  for (let node = fdt.firstSubnode(fdt.root); node >= 0; node = fdt.nextSubnode(node)) {
    for (let prop = fdt.firstProp(node); prop >= 0; prop = fdt.nextProp(prop)) {
      sum = mix(sum, fdt.propU32(prop));
    }
  }
  return sum;
}

function lookUp(nodes: number): (fdt: Fdt, sum: number) => number {
  return (fdt, sum) => {
    for (let n = 0; n < LOOKUPS; n++) {
      const node = Math.floor(n * nodes / LOOKUPS);
      sum = mix(sum, fdt.path(`/node@${node.toString(16)}`));
    }
    return sum;
  };
}
