import assert from "node:assert/strict";
import { EventHash } from "../../../src/base/event_log.ts";
import { SeededChooser } from "../../../src/base/choice.ts";
import { EventQueue } from "../../../src/base/event_queue.ts";
import { Bus } from "../../../src/machine/bus.ts";
import { Nic } from "../../../src/machine/devices/nic.ts";
import { Memory } from "../../../src/machine/memory.ts";
import { AtsPort } from "../../../src/machine/pci/ats_port.ts";
import * as R from "../../../src/uapi/pci_regs.ts";

/** A card with page requests, and offsets of its extended capabilities by id. */
function card(pasidBits: number) {
  const queue = new EventQueue(), memory = new Memory([{ start: 0, size: 0x100000 }]);
  const silent = { done() {}, failed() {}, work() {}, starved() {} };
  const port = new AtsPort(0, 0x100, memory, queue, new EventHash(), silent);
  const options = { interval: 1000, packetBytes: 256, seed: 1, pasidBits, pageRequests: true };
  const nic = new Nic("nic0", port, new Bus(), 0, new SeededChooser(1), options);
  const caps = new Map<number, number>();
  for (let at = R.PCI_CFG_SPACE_SIZE; at !== 0;) {
    const header = nic.configRead(at, 4);
    caps.set(header & 0xffff, at);
    at = header >>> 20;
  }
  const ats = caps.get(R.PCI_EXT_CAP_ID_ATS) ?? -1, pri = caps.get(R.PCI_EXT_CAP_ID_PRI) ?? -1;
  return { port, nic, caps, ats, pri };
}

Deno.test("the capabilities are in the list, with PASID and without", () => {
  const ids = (bits: number) => [...card(bits).caps.keys()];
  assert.deepEqual(ids(20), [0x1b, 0x0f, 0x13]);
  assert.deepEqual(ids(0), [0x0f, 0x13]);
});

Deno.test("both are off until software turns them on, and after a reset", () => {
  const { port, nic, ats, pri } = card(20);
  const on = () => [port.ats, port.pri, port.allocation];
  assert.deepEqual(on(), [false, false, 0]);
  assert.equal(nic.configRead(pri + R.PCI_PRI_MAX_REQ, 4), 32);
  nic.configWrite(pri + R.PCI_PRI_ALLOC_REQ, 4, 100);
  nic.configWrite(pri + R.PCI_PRI_CTRL, 2, R.PCI_PRI_CTRL_ENABLE);
  nic.configWrite(ats + R.PCI_ATS_CTRL, 2, R.PCI_ATS_CTRL_ENABLE);
  assert.deepEqual(on(), [true, true, 32], "no more than it has");
  assert.equal(nic.configRead(pri + R.PCI_PRI_STATUS, 2), 0);
  nic.configWrite(pri + R.PCI_PRI_ALLOC_REQ, 4, 1);
  assert.equal(port.allocation, 32, "not while it is on");
  nic.reset();
  assert.deepEqual(on(), [false, false, 0]);
  assert.equal(nic.configRead(ats + R.PCI_ATS_CTRL, 2), 0);
  assert.equal(nic.configRead(pri + R.PCI_PRI_STATUS, 2), R.PCI_PRI_STATUS_STOPPED);
});

Deno.test("the status tells of answers that were wrong, until it is cleared", () => {
  const { port, nic, pri } = card(0);
  const status = () => nic.configRead(pri + R.PCI_PRI_STATUS, 2);
  nic.configWrite(pri + R.PCI_PRI_CTRL, 2, R.PCI_PRI_CTRL_ENABLE);
  port.respond(-1, 3, 0);
  assert.equal(status(), R.PCI_PRI_STATUS_UPRGI);
  nic.configWrite(pri + R.PCI_PRI_STATUS, 2, R.PCI_PRI_STATUS_UPRGI);
  assert.equal(status(), 0);
  port.respond(-1, 3, 15);
  assert.equal(status() & R.PCI_PRI_STATUS_RF, R.PCI_PRI_STATUS_RF);
  assert.equal(nic.configRead(pri + R.PCI_PRI_CTRL, 2), 0, "it has stopped");
});

Deno.test("turning ATS off makes the device forget", () => {
  const { port, nic, ats } = card(0);
  port.atc.fill(-1, 0, 0x1000, true, 5);
  nic.configWrite(ats + R.PCI_ATS_CTRL, 2, 0);
  assert.deepEqual([...port.atc.entries()], []);
});
