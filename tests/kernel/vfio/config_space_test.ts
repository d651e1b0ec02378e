import assert from "node:assert/strict";
import fc from "fast-check";
import * as R from "../../../src/uapi/pci_regs.ts";
import { NIC_BAR_SIZE } from "../../../src/uapi/nic_regs.ts";
import * as V from "../../../src/uapi/vfio.ts";
import { Bench } from "../bench.ts";

const CONFIG = V.regionOffset(V.VFIO_PCI_CONFIG_REGION_INDEX);
/** Where the model has its capabilities. */
const EXP = 0x40, MSI = 0x80;

/** A bound device, its configuration space by words, and the hardware behind it. */
function bound(profile = "intel-legacy", o: ConstructorParameters<typeof Bench>[1] = {}) {
  const bench = new Bench("rfc-v1", { profile, ...o });
  const { cdev } = bench.bound(bench.iommufd());
  const { sys } = bench;
  const read = (at: number, size = 4) => {
    const bytes = sys.pread(cdev, size, CONFIG + at);
    assert.ok(typeof bytes !== "number", `read at ${at}: ${bytes}`);
    return bytes.reduceRight((v, b) => v * 256 + b, 0);
  };
  const write = (at: number, value: number, size = 4) => {
    const bytes = Uint8Array.from({ length: size }, (_, i) => value >>> (8 * i));
    assert.equal(sys.pwrite(cdev, bytes, CONFIG + at), size);
  };
  return { bench, cdev, read, write, device: bench.platform.machine.functions[0] };
}

Deno.test("a BAR is sized by writing ones and keeps the user's address, which the device never sees", () => {
  const { read, write, device } = bound();
  const real = [0, 4].map((at) => device.configRead(R.PCI_BASE_ADDRESS_0 + at, 4));
  assert.deepEqual([0, 4].map((at) => read(R.PCI_BASE_ADDRESS_0 + at)), real, "at first");
  for (const at of [0x10, 0x14]) write(at, 0xffffffff);
  assert.equal(read(0x10), ((~(NIC_BAR_SIZE - 1)) | 4) >>> 0);
  assert.equal(read(0x14), 0xffffffff);
  write(0x10, 0x12345678);
  write(0x14, 0x9a);
  assert.deepEqual([read(0x10), read(0x14)], [0x12340004, 0x9a]);
  assert.deepEqual([0, 4].map((at) => device.configRead(R.PCI_BASE_ADDRESS_0 + at, 4)), real);
});

Deno.test("BARs that are not there, and the ROM, stay empty", () => {
  const { read, write } = bound();
  for (const at of [0x18, 0x1c, 0x20, 0x24, R.PCI_ROM_ADDRESS]) {
    write(at, 0xffffffff);
    assert.equal(read(at), 0, `at ${at}`);
  }
});

Deno.test("ids, class and capability list cannot be written", () => {
  const { read, write } = bound();
  for (const at of [R.PCI_VENDOR_ID, R.PCI_CLASS_REVISION, R.PCI_CAPABILITY_LIST, EXP, EXP + 4]) {
    const before = read(at);
    write(at, ~before);
    assert.equal(read(at), before, `at ${at}`);
  }
});

Deno.test("bus master and memory decoding reach the device, whichever byte is written", () => {
  const { write, device } = bound();
  const command = () => device.configRead(R.PCI_COMMAND, 2);
  write(R.PCI_COMMAND, R.PCI_COMMAND_MASTER | R.PCI_COMMAND_MEMORY, 1);
  assert.deepEqual([command(), device.port.busMaster], [6, true]);
  write(R.PCI_COMMAND + 1, 0, 1);
  assert.equal(command(), 6);
  write(R.PCI_COMMAND, 0, 4);
  assert.deepEqual([command(), device.port.busMaster], [0, false]);
});

Deno.test("the user's INTx bit is its own, and masks at the device", () => {
  const { read, write, device } = bound();
  const off = () => device.configRead(R.PCI_COMMAND, 2) & R.PCI_COMMAND_INTX_DISABLE;
  write(R.PCI_COMMAND, R.PCI_COMMAND_INTX_DISABLE | R.PCI_COMMAND_MEMORY, 2);
  assert.deepEqual([read(R.PCI_COMMAND, 2), off()], [0x402, 0x400]);
  write(R.PCI_COMMAND, R.PCI_COMMAND_MEMORY, 2);
  assert.deepEqual([read(R.PCI_COMMAND, 2), off()], [2, 0]);
});

Deno.test("a user may reset its function by device control: registers go, its command and BARs stay", () => {
  const { read, write, device } = bound();
  write(R.PCI_COMMAND, 6, 2);
  write(0x10, 0xabcc0000);
  assert.equal(device.resets, 1);
  write(EXP + R.PCI_EXP_DEVCTL, R.PCI_EXP_DEVCTL_BCR_FLR, 2);
  assert.equal(device.resets, 2);
  assert.equal(read(EXP + R.PCI_EXP_DEVCTL, 2) & R.PCI_EXP_DEVCTL_BCR_FLR, 0);
  assert.deepEqual([read(R.PCI_COMMAND, 2), read(0x10)], [6, 0xabcc0004]);
  assert.deepEqual([device.port.busMaster, device.memoryEnabled], [true, true]);
});

Deno.test("MSI shows, but is switched on by SET_IRQS alone", () => {
  const { read, write, device } = bound();
  assert.equal(read(MSI, 1), R.PCI_CAP_ID_MSI);
  write(MSI + R.PCI_MSI_FLAGS, R.PCI_MSI_FLAGS_ENABLE | R.PCI_MSI_FLAGS_QSIZE, 2);
  assert.equal(read(MSI + R.PCI_MSI_FLAGS, 2), R.PCI_MSI_FLAGS_64BIT);
  assert.equal(device.configRead(MSI + R.PCI_MSI_FLAGS, 2), R.PCI_MSI_FLAGS_64BIT);
  write(MSI + R.PCI_MSI_ADDRESS_LO, 0xfee01000);
  assert.equal(read(MSI + R.PCI_MSI_ADDRESS_LO), 0xfee01000);
  assert.equal(device.configRead(MSI + R.PCI_MSI_ADDRESS_LO, 4), 0, "the kernel's own affair");
});

Deno.test("the last close leaves configuration space as the first open found it", () => {
  const { bench, cdev, write, device } = bound();
  const all = () => Array.from({ length: 1024 }, (_, i) => device.configRead(4 * i, 4));
  const before = all();
  for (let at = 0; at < 4096; at += 4) write(at, 0xffffffff);
  bench.sys.close(cdev);
  const command = R.PCI_COMMAND / 4;
  assert.deepEqual(all().toSpliced(command, 1), before.toSpliced(command, 1));
  assert.equal(device.port.busMaster, false);
});

Deno.test("who keeps translations and asks for pages is not for the user to say", () => {
  for (const pasidBits of [0, 15]) {
    const { write, device } = bound("intel-scalable", { pageRequests: true, pasidBits });
    const first = pasidBits === 0 ? 0x100 : 0x110;
    const all = () => Array.from({ length: 8 }, (_, i) => device.configRead(first + i * 4, 4));
    const before = all();
    for (let at = 0; at < 0x20; at += 2) write(first + at, 0xffff, 2);
    assert.deepEqual(all(), before);
  }
});

Deno.test("however a range is cut into accesses, it reads and writes the same", () => {
  const one = bound(), other = bound();
  // The command and device control registers act, so they are left out here.
  const at = fc.integer({ min: 0x0c, max: 0x3f });
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(at, bytes, (at, bytes) => {
      const length = Math.min(bytes.length, 0x40 - at);
      const data = bytes.slice(0, length);
      assert.equal(one.bench.sys.pwrite(one.cdev, data, CONFIG + at), length);
      data.forEach((byte, i) => other.write(at + i, byte, 1));
      const whole = one.bench.sys.pread(one.cdev, 64, CONFIG);
      const single = Uint8Array.from({ length: 64 }, (_, i) => other.read(i, 1));
      assert.deepEqual(whole, single);
    }),
  );
});
