import assert from "node:assert/strict";
import { ms } from "../../src/base/units.ts";
import { HEALTH_WORDS, type HealthWord, healthWord } from "../../src/health/words.ts";
import { PCI_COMMAND } from "../../src/uapi/pci_regs.ts";
import { World } from "./world.ts";

/** The word for a device, as a snapshot has it. */
function word(world: World, device: string): HealthWord {
  const port = world.platform.machine.functions[world.fn(device)].port;
  const dev = world.platform.kernel.pci.devices.find((d) => d.sid === port.sid);
  const blocked = !port.busMaster || dev?.group?.domain.type === "blocking";
  return healthWord(world.meter(device), world.platform.now, blocked);
}

/** A situation for each word. */
const SITUATIONS: Record<HealthWord, () => HealthWord> = {
  stray() {
    const world = new World();
    world.memory.write64(world.leaf("nic0", 0), world.memory.read64(world.leaf("nic1", 0)));
    world.flushIotlb();
    return word(world.run(5 * ms), "nic0");
  },
  faulting() {
    const world = new World();
    world.memory.write64(world.leaf("nic0", 0), 0);
    world.flushIotlb();
    return word(world.run(5 * ms), "nic0");
  },
  blocked() {
    const world = new World();
    world.configWrite("nic0", PCI_COMMAND, 2);
    return word(world.run(5 * ms), "nic0");
  },
  late() {
    // A card whose wire is quiet for longer than anybody would wait.
    const world = new World().run(5 * ms);
    return healthWord(world.meter("nic0"), world.platform.now + 30 * ms, false);
  },
  starved() {
    const world = new World({ vms: ["vm0"] });
    const { kernel } = world.platform;
    kernel.scheduler.send(kernel.scheduler.find("vm0")!, "pause");
    return word(world.run(600 * ms), "nic0");
  },
  idle() {
    const world = new World({ vms: ["vm0"] });
    const { kernel } = world.platform;
    kernel.scheduler.send(kernel.scheduler.find("vm0")!, "pause");
    return word(world.run(50 * ms), "nvme0");
  },
  off: () => word(new World({ vms: ["vm0"] }), "nic1"),
  healthy: () => word(new World(), "nic0"),
};

for (const [expected, situation] of Object.entries(SITUATIONS)) {
  Deno.test(`${expected}: ${HEALTH_WORDS[expected as HealthWord]}`, () => {
    assert.equal(situation(), expected);
  });
}

Deno.test("faulting wears off, stray does not", () => {
  const world = new World();
  const leaf = world.leaf("nic0", 0), entry = world.memory.read64(leaf);
  world.memory.write64(leaf, 0);
  world.flushIotlb();
  world.run(5 * ms);
  world.memory.write64(leaf, entry);
  assert.equal(word(world.run(50 * ms), "nic0"), "faulting");
  assert.equal(word(world.run(60 * ms), "nic0"), "healthy");
  world.memory.write64(leaf, world.memory.read64(world.leaf("nic1", 0)));
  world.flushIotlb();
  world.run(5 * ms);
  world.memory.write64(leaf, entry);
  assert.equal(word(world.run(500 * ms), "nic0"), "stray");
});

Deno.test("a device whose VM was stopped is off", () => {
  const world = new World().stopVm("vm1").run(50 * ms);
  assert.equal(word(world, "nic1"), "off");
});
