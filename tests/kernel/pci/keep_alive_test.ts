import assert from "node:assert/strict";
import * as R from "../../../src/uapi/pci_regs.ts";
import { KernelRig, NIC, NVME } from "../rig.ts";

const MASTER = R.PCI_COMMAND_MASTER;
const NVME0_ON = "nvme nvme0: pci function 0000:3b:00.0";

/** A machine without IOMMUs and a kernel that has its own driver for disks. */
function withNative(more = "") {
  const cmdline = `guestmemfs=16M kho_scratch=4M modules-load=nvme ${more}`;
  return new KernelRig({ profile: "pc-no-iommu", cmdline });
}

const at = (rig: KernelRig) => rig.machine.functions[1];
const says = (rig: KernelRig, text: string) => rig.log.filter((l) => l.includes(text)).length;

Deno.test("a driver takes the devices it fits, and an administrator may give them to another", () => {
  const rig = withNative("vfio.enable_unsafe_noiommu_mode=1");
  assert.equal(rig.dev(NVME).driver, "nvme");
  assert.equal(says(rig, NVME0_ON), 1);
  assert.equal(at(rig).port.busMaster, true);
  const driver = (name: string) => `/sys/bus/pci/drivers/${name}`;
  assert.equal(rig.echo(`${driver("nvme")}/unbind`, NVME), NVME.length);
  assert.equal(at(rig).port.busMaster, false);
  assert.equal(rig.dev(NVME).driver, undefined);
  assert.ok(rig.echo(`${driver("nvme")}/unbind`, NVME) < 0, "it has it no more");
  assert.ok(rig.echo(`${driver("nvme")}/bind`, NIC) < 0, "it is no disk");
  // The override says who alone may have it.
  const override = `/sys/bus/pci/devices/${NVME}/driver_override`;
  assert.equal(rig.cat(override), "(null)\n");
  assert.ok(rig.echo(override, "vfio-pci") >= 0);
  assert.equal(rig.cat(override), "vfio-pci\n");
  assert.ok(rig.echo(`${driver("nvme")}/bind`, NVME) < 0);
  assert.ok(rig.echo("/sys/bus/pci/drivers_probe", NVME) >= 0);
  assert.equal(rig.dev(NVME).driver, "vfio-pci");
});

Deno.test("the native driver starts its disk over in every kernel; nothing of it is kept", () => {
  const rig = withNative();
  const { resets } = at(rig);
  rig.liveUpdate();
  assert.equal(says(rig, NVME0_ON), 1);
  assert.equal(says(rig, "left alone"), 0);
  assert.ok(at(rig).resets >= resets);
  assert.equal(at(rig).port.busMaster, true);
});

/** A device with another id answers in the disk's place, as it stands. */
function changeId(rig: KernelRig): void {
  const fn = at(rig), read = fn.configRead.bind(fn);
  fn.configRead = (offset, size) => offset === R.PCI_DEVICE_ID ? 0x1234 : read(offset, size);
}

/** What the previous kernel wrote of a device, and what the next one makes of it. */
const HANDED: { name: string; change: (rig: KernelRig) => void; said: string; kept: boolean }[] = [
  { name: "as it was", change: () => {}, said: "left alone", kept: true },
  {
    name: "another device is in its slot",
    change: (rig) => changeId(rig),
    said: "is not there any more",
    kept: false,
  },
];

Deno.test("a device is kept by segment, address and ids (FACTS 9 R25)", async (t) => {
  for (const { name, change, said, kept } of HANDED) {
    await t.step(name, () => {
      const rig = new KernelRig({ profile: "pc-no-iommu" });
      const dev = rig.dev(NVME);
      dev.setCommand(MASTER, 0);
      dev.keep = true;
      const { resets } = at(rig);
      rig.liveUpdate("rfc-v1", () => change(rig));
      assert.equal(says(rig, said), 1);
      assert.deepEqual([at(rig).port.busMaster, at(rig).resets], [kept, resets]);
      assert.equal(rig.dev(NVME).incoming, kept);
      if (!kept) assert.equal(says(rig, "nobody handed it over: stopped"), 1);
      // Nobody came for it: it goes on to the next kernel all the same.
      rig.liveUpdate();
      assert.equal(at(rig).port.busMaster, kept);
    });
  }
});

Deno.test("a device that is not told of is stopped before the jump; one that runs on, after it", () => {
  const rig = new KernelRig({ profile: "pc-no-iommu" });
  for (const name of [NIC, NVME]) rig.dev(name).setCommand(MASTER, 0);
  rig.dev(NVME).keep = true;
  const masters = () => rig.machine.functions.map((f) => f.port.busMaster);
  rig.liveUpdate("rfc-v1", () => assert.deepEqual(masters(), [false, true]));
  // Without KHO nothing is kept at all.
  rig.load();
  rig.jump(() => assert.deepEqual(masters(), [false, false]));
  assert.deepEqual(masters(), [false, false]);
});
