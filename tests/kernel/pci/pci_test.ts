import assert from "node:assert/strict";
import { GiB } from "../../../src/base/units.ts";
import { PciCore, type PciDev } from "../../../src/kernel/pci/pci.ts";
import * as R from "../../../src/uapi/pci_regs.ts";
import { KernelRig, NIC, NIC_SID, NVME } from "../rig.ts";

const MASTER = R.PCI_COMMAND_MASTER, MEMORY = R.PCI_COMMAND_MEMORY;

Deno.test("the bus scan finds every function, by what configuration space says", () => {
  const rig = new KernelRig();
  const found = rig.kernel.pci.devices.map((d) => [d.name, d.classCode]);
  assert.deepEqual(found, [
    [NIC, R.PCI_CLASS_NETWORK_ETHERNET],
    [NVME, R.PCI_CLASS_STORAGE_NVME],
  ]);
  assert.ok(
    rig.log.some((l) => /^pci 0000:3a:00\.0: \[8086:10c9\] type 00 class 0x020000$/.test(l)),
  );
});

Deno.test("functions beside function 0 are found, and devices behind empty slots", () => {
  const device = { model: "nvme", latency: 1000 } as const;
  const rig = new KernelRig({
    devices: ["01:00.0", "01:00.5", "01:1f.0", "c0:02.0"].map((bdf, i) => ({
      id: `d${i}`,
      bdf,
      ...device,
    })),
  });
  assert.deepEqual(rig.kernel.pci.devices.map((d) => d.name), [
    "0000:01:00.0",
    "0000:01:00.5",
    "0000:01:1f.0",
    "0000:c0:02.0",
  ]);
});

Deno.test("sizing a BAR changes neither its place nor bus mastering", () => {
  const rig = new KernelRig();
  const dev = rig.dev();
  const { bar0 } = dev;
  const fn = rig.machine.functions[0];
  assert.equal(dev.bar0Size, fn.identity.bar0Size);
  assert.ok(bar0 >= 3 * GiB);
  dev.setCommand(MASTER | MEMORY, 0);
  const changes: boolean[] = [];
  Object.defineProperty(fn.port, "busMaster", {
    get: () => true,
    set: (on: boolean) => changes.push(on),
  });
  // The next kernel's scan, with the device at work.
  const again = new PciCore(rig.kernel);
  again.scan();
  assert.deepEqual(changes, []);
  assert.equal(again.devices[0].bar0Size, dev.bar0Size);
  assert.equal(dev.bar0, bar0);
  assert.equal(dev.read(R.PCI_COMMAND, 2), MASTER | MEMORY);
  // Registers answer where they did before.
  assert.notEqual(rig.machine.bus.read32(bar0 + 8), 0xffffffff);
});

Deno.test("a function-level reset clears the device, and puts its command and BAR back", () => {
  // FACTS 2.4: the config state is saved and restored around the reset.
  const rig = new KernelRig();
  const dev = rig.dev();
  const before = dev.bar0;
  dev.setCommand(MEMORY | MASTER, 0);
  const fn = rig.machine.functions[0];
  const resets = fn.resets;
  dev.tryReset();
  assert.equal(fn.resets, resets + 1);
  assert.equal(dev.bar0, before);
  assert.equal(dev.read(R.PCI_COMMAND, 2), MEMORY | MASTER);
});

Deno.test("shutdown takes bus mastering from every device that is not handed over", () => {
  // FACTS 2.4: BME off so that a stray DMA cannot hit the next kernel.
  const rig = new KernelRig();
  rig.persistentDevice(NIC);
  for (const name of [NIC, NVME]) rig.dev(name).setCommand(MASTER, 0);
  assert.ok(rig.activate() >= 0);
  rig.load();
  rig.jump(() => {
    const master = rig.machine.functions.map((f) => f.port.busMaster);
    assert.deepEqual(master, [true, false]);
  });
  assert.deepEqual(rig.kernel.pci.devices.map((d) => d.busMaster), [true, false]);
});

Deno.test("without a standing dump no device is handed over, persistent or not", () => {
  const rig = new KernelRig();
  rig.persistentDevice(NIC);
  rig.dev().setCommand(MASTER, 0);
  assert.ok(rig.load() >= 0);
  rig.jump(() => assert.equal(rig.machine.functions[0].port.busMaster, false));
});

Deno.test("a driver gets the devices it matches, the first that probes keeps them", () => {
  const { kernel } = new KernelRig();
  const probed: string[] = [];
  const driver = (name: string, rc: number) => ({
    name,
    matches: (d: PciDev) => d.sid === NIC_SID,
    probe: (d: PciDev) => (probed.push(`${name} ${d.name}`), rc),
  });
  kernel.pci.registerDriver(driver("broken", -19));
  assert.equal(kernel.pci.find(NIC)?.driver, undefined);
  kernel.pci.registerDriver(driver("nic", 0));
  kernel.pci.registerDriver(driver("late", 0));
  assert.equal(kernel.pci.find(NIC)?.driver, "nic");
  assert.ok(!probed.includes(`late ${NIC}`));
  assert.ok(probed.every((p) => p.endsWith(NIC)));
});

Deno.test("a bound driver's shutdown runs while its device can still do DMA", () => {
  const rig = new KernelRig();
  const seen: boolean[] = [];
  rig.kernel.pci.registerDriver({
    name: "nic",
    matches: (d) => d.sid === NIC_SID,
    probe: () => 0,
    shutdown: (d) => seen.push(d.busMaster),
  });
  rig.dev().setCommand(MASTER, 0);
  rig.kernel.pci.shutdown();
  assert.deepEqual(seen, [true]);
  assert.equal(rig.dev().busMaster, false);
});
