/** /dev/kvm, as far as a VMM here needs it (include/uapi/linux/kvm.h). */
import { Struct } from "./struct.ts";

export const KVM_CREATE_VM = 0xae01;
export const KVM_SET_USER_MEMORY_REGION = 0x4020ae46;
export const KVM_CREATE_VCPU = 0xae41;

export const kvm_userspace_memory_region = new Struct("kvm_userspace_memory_region", {
  slot: "u32",
  flags: "u32",
  guest_phys_addr: "u64",
  memory_size: "u64",
  userspace_addr: "u64",
});
