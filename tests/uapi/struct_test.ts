import assert from "node:assert/strict";
import fc from "fast-check";
import * as I from "../../src/uapi/iommufd.ts";
import * as K from "../../src/uapi/kvm.ts";
import { type FieldType, Struct } from "../../src/uapi/struct.ts";
import * as V from "../../src/uapi/vfio.ts";

/** FACTS 1.2 and 2.1, typed off the tables there: size, then the offset of each field. */
const LAYOUTS: Record<string, [size: number, offsets: Record<string, number>]> = {
  iommu_hw_info_vtd: [24, { flags: 0, __reserved: 4, cap_reg: 8, ecap_reg: 16 }],
  iommu_hw_info_arm_smmuv3: [40, {
    flags: 0,
    __reserved: 4,
    idr0: 8,
    idr1: 12,
    idr2: 16,
    idr3: 20,
    idr4: 24,
    idr5: 28,
    iidr: 32,
    aidr: 36,
  }],
  iommu_destroy: [8, { size: 0, id: 4 }],
  iommu_ioas_alloc: [12, { size: 0, flags: 4, out_ioas_id: 8 }],
  iommu_iova_range: [16, { start: 0, last: 8 }],
  iommu_ioas_iova_ranges: [32, {
    size: 0,
    ioas_id: 4,
    num_iovas: 8,
    rsvd: 12,
    allowed_iovas: 16,
    out_iova_alignment: 24,
  }],
  iommu_ioas_map: [40, {
    size: 0,
    flags: 4,
    ioas_id: 8,
    rsvd: 12,
    user_va: 16,
    length: 24,
    iova: 32,
  }],
  iommu_ioas_map_file: [40, {
    size: 0,
    flags: 4,
    ioas_id: 8,
    fd: 12,
    start: 16,
    length: 24,
    iova: 32,
  }],
  iommu_ioas_unmap: [24, { size: 0, ioas_id: 4, iova: 8, length: 16 }],
  iommu_option: [24, { size: 0, option_id: 4, op: 8, rsvd: 10, object_id: 12, val64: 16 }],
  iommu_hwpt_alloc: [48, {
    size: 0,
    flags: 4,
    dev_id: 8,
    pt_id: 12,
    out_hwpt_id: 16,
    rsvd: 20,
    data_type: 24,
    data_len: 28,
    data_uptr: 32,
    fault_id: 40,
    rsvd2: 44,
  }],
  iommu_ioas_allow_iovas: [24, { size: 0, ioas_id: 4, num_iovas: 8, rsvd: 12, allowed_iovas: 16 }],
  iommu_ioas_copy: [40, {
    size: 0,
    flags: 4,
    dst_ioas_id: 8,
    src_ioas_id: 12,
    length: 16,
    dst_iova: 24,
    src_iova: 32,
  }],
  iommu_vfio_ioas: [12, { size: 0, ioas_id: 4, op: 8, rsvd: 10 }],
  iommu_hw_info: [40, {
    size: 0,
    flags: 4,
    dev_id: 8,
    data_len: 12,
    data_uptr: 16,
    out_data_type: 24,
    out_max_pasid_log2: 28,
    rsvd0: 29,
    rsvd1: 30,
    rsvd2: 31,
    out_capabilities: 32,
  }],
  iommu_hwpt_vtd_s1: [24, { flags: 0, pgtbl_addr: 8, addr_width: 16, reserved: 20 }],
  iommu_hwpt_set_dirty_tracking: [16, { size: 0, flags: 4, hwpt_id: 8, rsvd: 12 }],
  iommu_hwpt_get_dirty_bitmap: [48, {
    size: 0,
    hwpt_id: 4,
    flags: 8,
    rsvd: 12,
    iova: 16,
    length: 24,
    page_size: 32,
    data: 40,
  }],
  iommu_hwpt_invalidate: [32, {
    size: 0,
    hwpt_id: 4,
    data_uptr: 8,
    data_type: 16,
    entry_len: 20,
    entry_num: 24,
    rsvd: 28,
  }],
  iommu_fault_queue_alloc: [16, { size: 0, flags: 4, out_fault_id: 8, out_fault_fd: 12 }],
  iommu_hwpt_pgfault: [40, {
    flags: 0,
    dev_id: 4,
    pasid: 8,
    grpid: 12,
    perm: 16,
    rsvd: 20,
    addr: 24,
    length: 32,
    cookie: 36,
  }],
  iommu_hwpt_page_response: [8, { cookie: 0, code: 4 }],
  iommu_viommu_alloc: [40, {
    size: 0,
    flags: 4,
    type: 8,
    dev_id: 12,
    hwpt_id: 16,
    out_viommu_id: 20,
    data_len: 24,
    rsvd: 28,
    data_uptr: 32,
  }],
  iommu_vdevice_alloc: [24, { size: 0, viommu_id: 4, dev_id: 8, out_vdevice_id: 12, virt_id: 16 }],
  iommu_ioas_change_process: [8, { size: 0, rsvd: 4 }],
  iommu_veventq_alloc: [32, {
    size: 0,
    flags: 4,
    viommu_id: 8,
    type: 12,
    veventq_depth: 16,
    out_veventq_id: 20,
    out_veventq_fd: 24,
    rsvd: 28,
  }],
  iommu_hw_queue_alloc: [40, {
    size: 0,
    flags: 4,
    viommu_id: 8,
    type: 12,
    index: 16,
    out_hw_queue_id: 20,
    nesting_parent_iova: 24,
    length: 32,
  }],
  iommu_ioas_noiommu_get_pa: [40, {
    size: 0,
    flags: 4,
    ioas_id: 8,
    rsvd: 12,
    iova: 16,
    length: 24,
    out_phys: 32,
  }],
  vfio_device_info: [24, {
    argsz: 0,
    flags: 4,
    num_regions: 8,
    num_irqs: 12,
    cap_offset: 16,
    pad: 20,
  }],
  vfio_region_info: [32, { argsz: 0, flags: 4, index: 8, cap_offset: 12, size: 16, offset: 24 }],
  vfio_device_bind_iommufd: [24, {
    argsz: 0,
    flags: 4,
    iommufd: 8,
    out_devid: 12,
    token_uuid_ptr: 16,
  }],
  vfio_device_attach_iommufd_pt: [16, { argsz: 0, flags: 4, pt_id: 8, pasid: 12 }],
  vfio_device_detach_iommufd_pt: [12, { argsz: 0, flags: 4, pasid: 8 }],
  vfio_irq_info: [16, { argsz: 0, flags: 4, index: 8, count: 12 }],
  vfio_irq_set: [20, { argsz: 0, flags: 4, index: 8, start: 12, count: 16 }],
  vfio_device_feature: [8, { argsz: 0, flags: 4 }],
  vfio_group_status: [8, { argsz: 0, flags: 4 }],
  vfio_group_container: [4, { fd: 0 }],
  vfio_iommu_type1_info: [24, { argsz: 0, flags: 4, iova_pgsizes: 8, cap_offset: 16, pad: 20 }],
  vfio_info_cap_header: [8, { id: 0, version: 2, next: 4 }],
  vfio_iommu_type1_info_cap_iova_range: [16, {
    id: 0,
    version: 2,
    next: 4,
    nr_iovas: 8,
    reserved: 12,
  }],
  vfio_iova_range: [16, { start: 0, end: 8 }],
  vfio_iommu_type1_info_dma_avail: [12, { id: 0, version: 2, next: 4, avail: 8 }],
  vfio_iommu_type1_dma_map: [32, { argsz: 0, flags: 4, vaddr: 8, iova: 16, size: 24 }],
  vfio_iommu_type1_dma_unmap: [24, { argsz: 0, flags: 4, iova: 8, size: 16 }],
  kvm_userspace_memory_region: [32, {
    slot: 0,
    flags: 4,
    guest_phys_addr: 8,
    memory_size: 16,
    userspace_addr: 24,
  }],
};

const structs = [I, V, K].flatMap((module) => Object.values(module))
  .filter((value): value is Struct<Record<string, FieldType>> => value instanceof Struct);

Deno.test("every uAPI structure has the size and the offsets of the real one", async (t) => {
  for (const struct of structs) {
    await t.step(struct.name, () => {
      const layout = LAYOUTS[struct.name];
      assert.ok(layout !== undefined, "a structure this table does not know: add it");
      assert.deepEqual([struct.size, { ...struct.offsets }], layout);
    });
  }
  assert.deepEqual(structs.map((s) => s.name).sort(), Object.keys(LAYOUTS).sort());
});

Deno.test("the persistent option is encoded as in the RFC's vector", () => {
  // FACTS 10.4: OPTION(PERSISTENT, SET) = 0x3b87 with these bytes.
  assert.equal(I.IOMMU_OPTION, 0x3b87);
  const bytes = I.iommu_option.encode({
    size: 24,
    option_id: I.IOMMU_OPTION_PERSISTENT,
    op: I.IOMMU_OPTION_OP_SET,
    val64: 1n,
  });
  assert.equal(bytes.toHex(), "180000000200000000000000000000000100000000000000");
});

Deno.test("ioctl numbers are those of the real interfaces", () => {
  // FACTS 1.1 and 2.1.
  const numbers = {
    IOMMU_DESTROY: 0x3b80,
    IOMMU_IOAS_ALLOC: 0x3b81,
    IOMMU_IOAS_ALLOW_IOVAS: 0x3b82,
    IOMMU_IOAS_COPY: 0x3b83,
    IOMMU_IOAS_IOVA_RANGES: 0x3b84,
    IOMMU_IOAS_MAP: 0x3b85,
    IOMMU_IOAS_UNMAP: 0x3b86,
    IOMMU_OPTION: 0x3b87,
    IOMMU_VFIO_IOAS: 0x3b88,
    IOMMU_HWPT_ALLOC: 0x3b89,
    IOMMU_GET_HW_INFO: 0x3b8a,
    IOMMU_HWPT_SET_DIRTY_TRACKING: 0x3b8b,
    IOMMU_HWPT_GET_DIRTY_BITMAP: 0x3b8c,
    IOMMU_HWPT_INVALIDATE: 0x3b8d,
    IOMMU_FAULT_QUEUE_ALLOC: 0x3b8e,
    IOMMU_IOAS_MAP_FILE: 0x3b8f,
    IOMMU_VIOMMU_ALLOC: 0x3b90,
    IOMMU_VDEVICE_ALLOC: 0x3b91,
    IOMMU_IOAS_CHANGE_PROCESS: 0x3b92,
    IOMMU_VEVENTQ_ALLOC: 0x3b93,
    IOMMU_HW_QUEUE_ALLOC: 0x3b94,
    IOMMU_IOAS_NOIOMMU_GET_PA: 0x3b95,
    VFIO_DEVICE_GET_INFO: 0x3b6b,
    VFIO_DEVICE_GET_REGION_INFO: 0x3b6c,
    VFIO_DEVICE_RESET: 0x3b6f,
    VFIO_DEVICE_BIND_IOMMUFD: 0x3b76,
    VFIO_DEVICE_ATTACH_IOMMUFD_PT: 0x3b77,
    VFIO_DEVICE_DETACH_IOMMUFD_PT: 0x3b78,
  };
  const all: Record<string, unknown> = { ...I, ...V };
  for (const [name, value] of Object.entries(numbers)) assert.equal(all[name], value, name);
});

Deno.test("what is encoded is decoded, at the extremes of every width too", () => {
  const S = new Struct("s", { a: "u8", b: "u16", c: "s32", d: "u32", e: "u64" });
  assert.deepEqual([S.size, { ...S.offsets }], [24, { a: 0, b: 2, c: 4, d: 8, e: 16 }]);
  fc.assert(fc.property(
    fc.record({
      a: fc.integer({ min: 0, max: 0xff }),
      b: fc.integer({ min: 0, max: 0xffff }),
      c: fc.integer(),
      d: fc.integer({ min: 0, max: 0xffffffff }),
      e: fc.bigInt({ min: 0n, max: I.U64_MAX }),
    }, { noNullPrototype: true }),
    (value) => assert.deepEqual(S.decode(S.encode(value)), value),
  ));
  const extremes = { a: 255, b: 65535, c: -(2 ** 31), d: 2 ** 32 - 1, e: I.U64_MAX };
  assert.deepEqual(S.decode(S.encode(extremes)), extremes);
});

Deno.test("a structure of an older program reads as if its missing tail were zero", () => {
  // FACTS 1.1: copy_struct_from_user(); hwpt_alloc has min_size 24.
  const whole = I.iommu_hwpt_alloc.encode({ size: 48, dev_id: 3, data_type: 7, fault_id: 9 });
  const { dev_id, data_type, fault_id } = I.iommu_hwpt_alloc.decode(whole.subarray(0, 24));
  assert.deepEqual([dev_id, data_type, fault_id], [3, 0, 0]);
});

Deno.test("a reply never reaches beyond what the program handed in", () => {
  const user = new Uint8Array(32).fill(0xee);
  const reply = I.iommu_ioas_alloc.decode(new Uint8Array(12));
  reply.out_ioas_id = 5;
  I.iommu_ioas_alloc.update(user.subarray(0, 8), reply);
  assert.deepEqual([...user.subarray(8)], new Array(24).fill(0xee));
  I.iommu_ioas_alloc.update(user, reply);
  assert.equal(user[8], 5);
  assert.deepEqual([...user.subarray(12)], new Array(20).fill(0xee));
});

Deno.test("the end of a field is the end of the oldest structure that has it", () => {
  // FACTS 2.1: ATTACH v1 is 12 bytes, DETACH v1 is 8, BIND v1 is 16.
  assert.equal(V.vfio_device_attach_iommufd_pt.endOf("pt_id"), 12);
  assert.equal(V.vfio_device_detach_iommufd_pt.endOf("flags"), 8);
  assert.equal(V.vfio_device_bind_iommufd.endOf("out_devid"), 16);
});
