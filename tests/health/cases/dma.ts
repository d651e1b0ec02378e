import { ms } from "../../../src/base/units.ts";
import { PCI_COMMAND } from "../../../src/uapi/pci_regs.ts";
import type { Cases } from "./case.ts";
import { World } from "../world.ts";

/** What devices do, and cannot do. */
export const DMA_CASES: Cases<
  "no-dma-fault" | "no-stray-dma" | "quiet-unless-held" | "no-untranslated-dma"
> = {
  "no-dma-fault": {
    broken: [
      {
        how: "an entry of its page table is cleared while its guest is paused",
        run() {
          const world = new World().updateTo("kexec");
          world.memory.write64(world.leaf("nic0", 0x1000), 0);
          return world.finish();
        },
        subject: "nic0",
        detail: /^read to IOVA 0x[\da-f]+: fault reason 0x06 /,
      },
      {
        how: "its bus mastering is turned off while the next kernel boots",
        run() {
          const world = new World().updateTo("boot");
          world.busMaster("nic1", false);
          return world.finish();
        },
        subject: "nic1",
        detail: /bus mastering is off/,
      },
      {
        how: "its tables lead to where no memory is",
        run() {
          const world = new World();
          world.memory.write64(world.leaf("nic1", 0), 0x40000000 + 0x83);
          world.flushIotlb();
          return world.run(5 * ms);
        },
        subject: "nic1",
        detail: /no memory at the address/,
      },
      {
        how: "the card is reset, so that it does not even try any more",
        run() {
          const world = new World().updateTo("boot");
          world.run(20 * ms).platform.machine.functions[world.fn("nic0")].reset();
          return world.finish();
        },
        subject: "nic0",
        detail: /was stopped with work in hand/,
      },
      {
        how: "the old kernel resets the card on its way out",
        run() {
          const world = new World().updateTo("kexec").run(5 * ms);
          world.platform.machine.functions[world.fn("nic1")].reset();
          return world.finish();
        },
        subject: "nic1",
        detail: /was stopped with work in hand/,
      },
    ],
    unexercised: { what: "a VM that never saw a kexec", run: () => new World().run(50 * ms) },
  },

  "no-stray-dma": {
    broken: [
      {
        how: "an entry of its page table leads into another guest",
        run() {
          const world = new World();
          const other = world.memory.read64(world.leaf("nic1", 0));
          world.memory.write64(world.leaf("nic0", 0), other);
          world.flushIotlb();
          return world.run(5 * ms);
        },
        subject: "nic0",
        detail: /landed in 0x[\da-f]+, vm1's memory/,
      },
      {
        how: "an entry of its page table leads into the kernel",
        run() {
          const world = new World();
          world.memory.write64(world.leaf("nic0", 0), 0x83);
          world.flushIotlb();
          return world.run(5 * ms);
        },
        subject: "nic0",
        detail: /landed in 0x[\da-f]+, nobody's memory/,
      },
      {
        how: "a device does DMA before its guest has any memory",
        run() {
          const world = new World({ cold: true }).boot();
          // The NIC is started by hand, on a domain somebody wrote into the context table.
          const { machine } = world.platform;
          world.command(0);
          world.configWrite("nic0", PCI_COMMAND, 6);
          const bar = (machine.pci.configRead(world.sid("nic0"), 0x10, 4) & ~0xf) >>> 0;
          const register = (at: number, value: number) => machine.bus.write32(bar + at, value);
          register(0x2800, 0x200000);
          register(0x2808, 128);
          register(0x2818, 7);
          register(0x100, 2);
          return world.run(5 * ms);
        },
        subject: "nic0",
        detail: /nobody's memory/,
      },
    ],
    unexercised: {
      what: "a host without VMs",
      run: () => new World({ cold: true }).boot().run(50 * ms),
    },
  },

  "quiet-unless-held": {
    broken: [{
      how: "a device that was not handed over is let loose while the next kernel boots",
      run() {
        const world = new World().updateTo("boot").run(100 * ms);
        const words = world.contextWords("nic0");
        world.memory.write(world.contextEntry("nic2"), words);
        world.busMaster("nic2", true);
        return world.finish();
      },
      subject: "nic2",
      detail: /reached 0x[\da-f]+ before its driver was there/,
    }],
    unexercised: {
      what: "a kexec with nothing but persistent VMs",
      run: () => new World({ vms: ["vm0", "vm1"] }).liveUpdate(),
    },
  },

  "no-untranslated-dma": {
    broken: [{
      how: "translation is turned off",
      run() {
        const world = new World();
        world.command(0);
        return world.run(ms);
      },
      subject: "nic0",
      detail: /reached 0x[\da-f]+ with translation off/,
    }],
    unexercised: {
      what: "a host without VMs",
      run: () => new World({ cold: true }).boot().run(50 * ms),
    },
  },
};
