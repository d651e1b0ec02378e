import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../src/base/units.ts";
import * as U from "../../src/uapi/iommufd.ts";
import type { FieldType, Struct, StructValue } from "../../src/uapi/struct.ts";
import * as S from "../../src/uapi/sys.ts";
import { type Answer, type MapRequest, MEM, said } from "./requests.ts";

/** System calls on memory, on files of memory and on an iommufd, by a process or another. */
export abstract class IommufdCalls {
  /** Whose calls they are unless said. */
  abstract sys: S.Sys;

  ioctl<F extends Record<string, FieldType>>(
    fd: number,
    command: number,
    struct: Struct<F>,
    value: Partial<StructValue<F>>,
    sys = this.sys,
  ): Answer<F> {
    const bytes = struct.encode({ [Object.keys(struct.fields)[0]]: struct.size, ...value });
    const rc = said(sys.ioctl(fd, command, bytes));
    return { rc, out: struct.decode(bytes) };
  }

  iommufd(sys = this.sys): number {
    const fd = sys.open("/dev/iommu", S.O_RDWR);
    assert.ok(fd >= 0, said(fd));
    return fd;
  }

  /** Anonymous memory, every page of it touched, so that pinning it takes no new ones. */
  anon(bytes: number, prot = S.PROT_READ | S.PROT_WRITE, sys = this.sys): number {
    const va = sys.mmap(bytes, prot, S.MAP_PRIVATE | S.MAP_ANONYMOUS, -1, 0);
    for (let at = 0; at < bytes; at += PAGE_SIZE) sys.load32(va + at);
    return va;
  }

  /** A memfd, every page of it touched. */
  memfd(bytes: number, sys = this.sys): number {
    const fd = sys.memfdCreate("ram");
    assert.equal(sys.ftruncate(fd, bytes), 0);
    const va = this.mmap(fd, bytes, S.PROT_READ, sys);
    for (let at = 0; at < bytes; at += PAGE_SIZE) sys.load32(va + at);
    sys.munmap(va, bytes);
    return fd;
  }

  /** A file in guestmemfs, made if it is not there. */
  file(name: string, bytes: number, sys = this.sys): number {
    const fd = sys.open(`${MEM}/${name}`, S.O_RDWR | S.O_CREAT);
    assert.ok(fd >= 0, said(fd));
    if (bytes > 0) assert.equal(said(sys.ftruncate(fd, bytes)), "ok");
    return fd;
  }

  mmap(fd: number, bytes: number, prot = S.PROT_READ | S.PROT_WRITE, sys = this.sys): number {
    const va = sys.mmap(bytes, prot, S.MAP_SHARED, fd, 0);
    assert.ok(va >= 0, said(va));
    return va;
  }

  unlink(name: string): string {
    return said(this.sys.unlink(`${MEM}/${name}`));
  }

  ioas(fd: number, sys = this.sys): number {
    const { rc, out } = this.ioctl(fd, U.IOMMU_IOAS_ALLOC, U.iommu_ioas_alloc, {}, sys);
    assert.equal(rc, "ok");
    return out.out_ioas_id;
  }

  map(fd: number, request: Partial<MapRequest>, sys = this.sys) {
    return this.ioctl(fd, U.IOMMU_IOAS_MAP, U.iommu_ioas_map, request, sys);
  }

  mapFile(fd: number, request: Partial<StructValue<typeof U.iommu_ioas_map_file.fields>>) {
    return this.ioctl(fd, U.IOMMU_IOAS_MAP_FILE, U.iommu_ioas_map_file, request);
  }

  unmap(fd: number, ioas_id: number, iova: number | bigint, length: number | bigint) {
    const range = { ioas_id, iova: BigInt(iova), length: BigInt(length) };
    return this.ioctl(fd, U.IOMMU_IOAS_UNMAP, U.iommu_ioas_unmap, range);
  }

  destroy(fd: number, id: number): string {
    return this.ioctl(fd, U.IOMMU_DESTROY, U.iommu_destroy, { id }).rc;
  }

  hwptAlloc(fd: number, dev_id: number, pt_id: number) {
    return this.ioctl(fd, U.IOMMU_HWPT_ALLOC, U.iommu_hwpt_alloc, { dev_id, pt_id });
  }

  option(
    fd: number,
    op: number,
    val64 = 0n,
    more: { object_id?: number; option_id?: number } = {},
  ) {
    const value = { option_id: U.IOMMU_OPTION_PERSISTENT, op, val64, ...more };
    return this.ioctl(fd, U.IOMMU_OPTION, U.iommu_option, value);
  }

  /** A fresh iommufd, marked persistent. */
  persistent(): number {
    const fd = this.iommufd();
    assert.equal(this.option(fd, U.IOMMU_OPTION_OP_SET, 1n).rc, "ok");
    return fd;
  }

  /** What IOVA_RANGES says. `capacity`: how many the array holds. */
  ranges(fd: number, ioas_id: number, capacity = 16) {
    const at = this.anon(PAGE_SIZE);
    const { rc, out } = this.ioctl(fd, U.IOMMU_IOAS_IOVA_RANGES, U.iommu_ioas_iova_ranges, {
      ioas_id,
      num_iovas: capacity,
      allowed_iovas: BigInt(at),
    });
    const size = U.iommu_iova_range.size;
    const list = Array.from({ length: Math.min(out.num_iovas, capacity) }, (_, i) => {
      const { start, last } = U.iommu_iova_range.decode(this.sys.copyIn(at + i * size, size));
      return [start, last];
    });
    return { rc, count: out.num_iovas, alignment: out.out_iova_alignment, list };
  }
}
