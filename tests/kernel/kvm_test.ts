import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../src/base/units.ts";
import { GuestFault } from "../../src/machine/guest_memory.ts";
import * as K from "../../src/uapi/kvm.ts";
import { O_RDWR } from "../../src/uapi/sys.ts";
import { Bench } from "./bench.ts";
import { said } from "./requests.ts";

function makeVm() {
  const bench = new Bench();
  const { sys } = bench;
  const vm = sys.ioctlValue(sys.open("/dev/kvm", O_RDWR), K.KVM_CREATE_VM, 0);
  const cpu = sys.vcpu(sys.ioctlValue(vm, K.KVM_CREATE_VCPU, 0));
  const slot = (slot: number, gpa: number, size: number, va: number, flags = 0) =>
    said(sys.ioctl(
      vm,
      K.KVM_SET_USER_MEMORY_REGION,
      K.kvm_userspace_memory_region.encode({
        slot,
        flags,
        guest_phys_addr: BigInt(gpa),
        memory_size: BigInt(size),
        userspace_addr: BigInt(va),
      }),
    ));
  return { bench, sys, vm, cpu, slot };
}

/** Slots on top of one of four pages at 0x4000. */
const SLOTS: {
  name: string;
  slot?: number;
  gpa?: number;
  size?: number;
  va?: number;
  want: string;
}[] = [
  { name: "another slot elsewhere", want: "ok" },
  { name: "it begins inside a page", gpa: 0x10800, want: "EINVAL" },
  { name: "it ends inside a page", size: 0x1800, want: "EINVAL" },
  { name: "its memory begins inside a page", va: 0x800, want: "EINVAL" },
  { name: "the memory is too short", size: 0x3000, want: "EFAULT" },
  { name: "no memory there", va: -0x7e0000000000, want: "EFAULT" },
  { name: "it touches the other from below", gpa: 0x2000, want: "ok" },
  { name: "it touches the other from above", gpa: 0x8000, want: "ok" },
  { name: "it runs into the other", gpa: 0x3000, want: "EEXIST" },
  { name: "it begins in the other", gpa: 0x7000, want: "EEXIST" },
  { name: "a slot that exists is not moved without being removed", slot: 0, want: "EINVAL" },
  { name: "removing a slot that is not there", size: 0, want: "EINVAL" },
];

Deno.test("memory slots are page aligned, backed, and do not overlap (KVM_SET_USER_MEMORY_REGION)", async (t) => {
  for (const { name, slot = 1, gpa = 0x10000, size = 0x2000, va = 0, want } of SLOTS) {
    await t.step(`${name}: ${want}`, () => {
      const vm = makeVm();
      assert.equal(vm.slot(0, 0x4000, 0x4000, vm.bench.anon(0x4000)), "ok");
      assert.equal(vm.slot(slot, gpa, size, vm.bench.anon(0x2000) + va), want);
    });
  }
});

Deno.test("guest and program see one memory, and a guest address with nothing behind it is fatal", () => {
  const { bench, sys, cpu, slot } = makeVm();
  const va = bench.anon(2 * PAGE_SIZE);
  assert.equal(slot(0, 0x4000, 2 * PAGE_SIZE, va), "ok");
  cpu.store32(0x5004, 0x1234);
  assert.equal(sys.load32(va + PAGE_SIZE + 4), 0x1234);
  sys.store32(va, -5);
  assert.equal(cpu.load32(0x4000), -5);
  for (const gpa of [0x3ffc, 0x6000]) {
    assert.throws(() => cpu.load32(gpa), GuestFault);
    assert.throws(() => cpu.store32(gpa, 1), GuestFault);
  }
});

Deno.test("a slot of size 0 takes the slot away", () => {
  const { bench, cpu, slot } = makeVm();
  assert.equal(slot(0, 0x4000, PAGE_SIZE, bench.anon(PAGE_SIZE)), "ok");
  cpu.store32(0x4000, 1);
  assert.equal(slot(0, 0x4000, 0, 0), "ok");
  assert.throws(() => cpu.load32(0x4000), GuestFault);
  assert.equal(slot(0, 0x8000, PAGE_SIZE, bench.anon(PAGE_SIZE)), "ok");
});

Deno.test("files of KVM know their own calls only", () => {
  const { sys, vm } = makeVm();
  const kvm = sys.open("/dev/kvm", O_RDWR);
  assert.equal(said(sys.ioctlValue(kvm, K.KVM_CREATE_VCPU, 0)), "ENOTTY");
  assert.equal(said(sys.ioctlValue(vm, K.KVM_CREATE_VM, 0)), "ENOTTY");
  assert.equal(said(sys.ioctl(vm, 0x1234, new Uint8Array(32))), "ENOTTY");
  assert.equal(said(sys.ioctl(kvm, K.KVM_SET_USER_MEMORY_REGION, new Uint8Array(32))), "ENOTTY");
  const short = K.kvm_userspace_memory_region.encode({ memory_size: 4096n }).subarray(0, 16);
  assert.equal(said(sys.ioctl(vm, K.KVM_SET_USER_MEMORY_REGION, short)), "EFAULT");
});
