import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import * as E from "../../../src/uapi/errno.ts";
import { O_RDWR } from "../../../src/uapi/sys.ts";
import * as V from "../../../src/uapi/vfio.ts";
import { KernelRig, NIC, type RigOptions } from "../rig.ts";

/** What BIND and, through the group, GET_DEVICE_FD answer on a machine. */
function refusals(options: RigOptions): { bind: number; group: number; rig: KernelRig } {
  const rig = new KernelRig(options);
  const { sys } = rig;
  const iommufd = sys.open("/dev/iommu", O_RDWR);
  const cdev = sys.open("/dev/vfio/devices/vfio0", O_RDWR);
  const request = V.vfio_device_bind_iommufd.encode({ argsz: 24, iommufd });
  const bind = sys.ioctl(cdev, V.VFIO_DEVICE_BIND_IOMMUFD, request);
  sys.close(cdev);
  const group = sys.open("/dev/vfio/0", O_RDWR);
  sys.ioctl(group, V.VFIO_GROUP_SET_CONTAINER, V.vfio_group_container.encode({ fd: iommufd }));
  const name = new TextEncoder().encode(`${NIC}\0`);
  const fd = sys.ioctl(group, V.VFIO_GROUP_GET_DEVICE_FD, name);
  assert.equal(rig.dev().group?.owned, bind >= 0 || fd >= 0);
  return { bind, group: fd, rig };
}

const base = "guestmemfs=16M kho_scratch=4M vfio-pci.ids=8086:10c9";
const UNSAFE = `${base} iommufd.allow_unsafe_interrupts`;

/** Machines and parameters, and whether a device can be had there. */
const MSI: { profile: string; cmdline: string; want: number }[] = [
  { profile: "intel-legacy", cmdline: base, want: -E.EPERM },
  { profile: "intel-scalable", cmdline: `${UNSAFE}=0`, want: -E.EPERM },
  { profile: "amd", cmdline: `${UNSAFE}=n`, want: -E.EPERM },
  { profile: "intel-legacy", cmdline: `${UNSAFE}=1`, want: 0 },
  { profile: "amd", cmdline: `${UNSAFE}=Y`, want: 0 },
  { profile: "arm-smmuv3-bbml2", cmdline: base, want: 0 },
];

for (const { profile, cmdline, want } of MSI) {
  const how = want === 0 ? "can be bound" : "cannot be bound";
  Deno.test(`${profile}, ${cmdline.slice(base.length)}: a device ${how} (FACTS 1.5, isolated MSI)`, () => {
    const { bind, group, rig } = refusals({ profile, cmdline });
    assert.deepEqual([bind, Math.min(group, 0)], [want, want]);
    const said = rig.log.some((line) => line.includes("MSI interrupts are not secure"));
    assert.equal(said, want < 0);
  });
}

Deno.test("behind an IOMMU that is not coherent no device can be bound (FACTS 1.5)", () => {
  const options = { profile: "arm-smmuv3-bbml0", cmdline: base };
  const { bind, group } = refusals({ ...options, smmu: { coherent: false } });
  assert.deepEqual([bind, group], [-E.EINVAL, -E.EINVAL]);
});

Deno.test("a device that firmware wants mapped 1:1 cannot be bound (FACTS 1.5)", () => {
  const { bind, group, rig } = refusals({
    cmdline: `${UNSAFE}=1`,
    devices: [{
      id: "nic0",
      bdf: "3a:00.0",
      model: "nic",
      interval: 200_000,
      packetBytes: 256,
      rmrr: { base: 32 * MiB, size: 4096 },
    }],
  });
  assert.deepEqual([bind, group], [-E.EINVAL, -E.EINVAL]);
  assert.ok(rig.log.some((line) => line.includes("1:1 IOMMU mapping")));
});
