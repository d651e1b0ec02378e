import assert from "node:assert/strict";
import { DMA_BUS_MASTER_OFF, type Remapper, Route } from "../../../src/machine/dma_port.ts";
import { NIC_DEVICE, NIC_DEVICE_ALIASED } from "../../../src/uapi/nic_regs.ts";
import { PCI_DEVICE_ID } from "../../../src/uapi/pci_regs.ts";
import { Rig, setCommand } from "./rig.ts";

/** Where firmware wants the heartbeat. */
const BASE = 0x300000;

Deno.test("firmware's controller beats before anybody has touched it, at its physical address", () => {
  const rig = new Rig();
  const bmc = rig.bmc({ interval: 1000, base: BASE });
  assert.equal(rig.observer.busy(bmc.port.fn), true);
  rig.run(5500);
  assert.equal(bmc.beats, 5);
  assert.equal(rig.load32(BASE), 5);
});

Deno.test("a beat that does not get there is no beat, and the next one comes all the same", () => {
  const rig = new Rig();
  const bmc = rig.bmc({ interval: 1000, base: BASE });
  setCommand(bmc, false);
  rig.run(2000);
  assert.equal(bmc.beats, 0);
  assert.deepEqual(rig.observer.failures[0], {
    write: true,
    address: BASE,
    code: DMA_BUS_MASTER_OFF,
  });
  setCommand(bmc, true);
  rig.run(1000);
  assert.equal(rig.load32(BASE), 1);
});

Deno.test("an aliased card asks as function 1 of its slot, and says so by its device id", () => {
  const rig = new Rig();
  const { nic } = rig.nic({ aliased: true });
  const asked: number[] = [];
  const remapper: Remapper = {
    route: Route.translated,
    translate(sid) {
      asked.push(sid);
      return 1;
    },
  };
  nic.port.remapper = remapper;
  nic.port.access(0, 0x1000, 4, true);
  assert.deepEqual(asked, [nic.port.sid | 1]);
  assert.equal(nic.configRead(PCI_DEVICE_ID, 2), NIC_DEVICE_ALIASED);
  const plain = rig.nic().nic;
  assert.equal(plain.port.requester, plain.port.sid);
  assert.equal(plain.configRead(PCI_DEVICE_ID, 2), NIC_DEVICE);
});
