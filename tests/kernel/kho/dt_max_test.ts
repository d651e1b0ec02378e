import assert from "node:assert/strict";
import { KiB } from "../../../src/base/units.ts";
import { KEXEC_KHO_ABORT, KEXEC_KHO_DUMP } from "../../../src/kernel/kho/abi.ts";
import * as E from "../../../src/uapi/errno.ts";
import { KernelRig } from "../rig.ts";
import { somePages, subscribe } from "./subscriber.ts";

Deno.test("a tree that does not fit dt_max is refused and rolled back", () => {
  const rig = new KernelRig();
  const told = subscribe(rig, "mine", Array.from({ length: 300 }, () => somePages(rig, 1)));
  const free = rig.kernel.pages.freePages;
  for (const max of [1, 39, 56, 100, 4096]) {
    assert.ok(rig.echo("/sys/kernel/kho/dt_max", String(max)) > 0);
    assert.equal(rig.activate(), -E.EINVAL, `dt_max ${max}`);
    assert.equal(told.at(-1), KEXEC_KHO_ABORT);
    assert.equal(rig.kernel.guestmemfs?.serialised, false);
    assert.equal(rig.kernel.pages.freePages, free);
  }
  assert.ok(rig.echo("/sys/kernel/kho/dt_max", String(16 * KiB)) > 0);
  assert.equal(rig.activate(), 1);
});

/** What is written to dt_max, and what it then is. */
const DT_MAX: { text: string; reads: string }[] = [
  { text: "0x100000", reads: "0x100000\n" },
  { text: "4096\n", reads: "0x1000\n" },
  { text: "010", reads: "0x8\n" },
  { text: "0", reads: "0x0\n" },
  { text: "0xffffffffffffffff", reads: "0xffffffffffffffff\n" },
];

Deno.test("dt_max takes any number of 64 bits, also while a tree stands", () => {
  const rig = new KernelRig();
  const path = "/sys/kernel/kho/dt_max";
  assert.equal(rig.cat(path), "0xa00000\n");
  for (const bad of ["-4096", "x", "", "1.5", "09", "0x", "18446744073709551616"]) {
    assert.equal(rig.echo(path, bad), -E.EINVAL, `"${bad}"`);
  }
  assert.equal(rig.activate(), 1);
  for (const { text, reads } of DT_MAX) {
    assert.equal(rig.echo(path, text), text.length);
    assert.equal(rig.cat(path), reads);
  }
});

Deno.test("a dt_max that no tree can have, or memory has no room for, is EINVAL at activation", () => {
  for (const size of ["0", "1", "62914560", "2147483648", "0xffffffffffffffff"]) {
    const rig = new KernelRig();
    const told = subscribe(rig, "mine");
    rig.echo("/sys/kernel/kho/dt_max", size);
    assert.equal(rig.activate(), -E.EINVAL, size);
    assert.equal(told.at(-1), KEXEC_KHO_ABORT, "everyone is told");
    assert.ok(!told.includes(KEXEC_KHO_DUMP));
    rig.echo("/sys/kernel/kho/dt_max", "65536");
    assert.equal(rig.activate(), 1);
  }
});
