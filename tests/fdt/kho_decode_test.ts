import assert from "node:assert/strict";
import fc from "fast-check";
import { FdtWriter, openFdt, printDts } from "../../src/fdt/mod.ts";
import { KHO_NODES } from "../../src/uapi/kho_abi.ts";
import { decode } from "../../src/uapi/kho_decode.ts";

function u64s(...values: bigint[]): Uint8Array {
  return new Uint8Array(new BigUint64Array(values).buffer);
}

function u32s(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

const AREA = "/iommufd/iommufds/1/ioases/2/0";
const DOMAIN = "/intel-iommu/domains/7";

Deno.test("ranges are shown with their size, on any node of any format", () => {
  const mem = (...values: bigint[]) => decode("/what/ever", "mem", u64s(...values));
  assert.equal(mem(0x1_0000_0000n, 16n << 20n), "0x100000000 + 16 MiB");
  assert.equal(mem(0x1000n, 4096n, 0x4000n, 12288n), "0x1000 + 4 KiB, 0x4000 + 12 KiB");
  assert.equal(mem(0x4000_0001n, 1n << 30n), "0x40000000 + 1 GiB NOINIT");
  assert.equal(mem(0x1006n, 4097n), "0x1000 + 0x1001 flags 0x6");
  assert.equal(mem(0n, (1n << 64n) - 1n), "0x0 + 0xffffffffffffffff");
  assert.equal(mem(), "no ranges");
  assert.equal(
    mem(...Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? BigInt(i) << 12n : 4096n))),
    "0x0 + 4 KiB, 0x2000 + 4 KiB, 0x4000 + 4 KiB, 0x6000 + 4 KiB, ... (6 ranges)",
  );
});

Deno.test("the properties of an area are explained", () => {
  assert.equal(decode(AREA, "iova-start", u64s(0x12_3456_7000n)), "0x1234567000");
  assert.equal(decode(AREA, "iova-len", u64s(2n << 20n)), "2 MiB");
  assert.equal(decode(AREA, "iommu-prot", u32s(7)), "READ|WRITE|CACHE");
  assert.equal(decode(AREA, "iommu-prot", u32s(0x8000_0018)), "NOEXEC|MMIO|0x80000000");
  assert.equal(decode(AREA, "iommu-prot", u32s(0)), "none");
  assert.equal(decode(AREA, "file-handle", u64s(42n)), "inode 42");
  assert.equal(decode(AREA, "page-offset", u32s(0x200)), "offset 0x200");
});

Deno.test("the properties of a domain are explained", () => {
  assert.equal(decode(DOMAIN, "agaw", u32s(2)), "4 levels, 48 bits");
  assert.equal(decode(DOMAIN, "agaw", u32s(4)), "6 levels, 64 bits");
  assert.equal(decode(DOMAIN, "agaw", u32s(0xffff_ffff)), "no levels");
  assert.equal(decode(DOMAIN, "pgd", u64s(0x7f_f000n)), "0x7ff000");
  assert.equal(decode(DOMAIN, "owner", u64s(3n)), "id 3");
});

Deno.test("a device is shown by its address, with its segment where that is not 0", () => {
  const device = (segment: number) => (name: string) =>
    ({ bus: Uint8Array.of(0x3a), devfn: Uint8Array.of(0x0a), segment: Uint8Array.of(segment, 0) })[
      name
    ];
  const path = `${DOMAIN}/devices/0`;
  assert.equal(decode(path, "devfn", Uint8Array.of(0x0a), device(0)), "3a:01.2");
  assert.equal(decode(path, "bus", Uint8Array.of(0x3a), device(1)), "0001:3a:01.2");
  assert.equal(decode(path, "devfn", Uint8Array.of(0x0a)), undefined);
});

Deno.test("a wrong width is pointed out", () => {
  assert.equal(decode(AREA, "iova-len", u32s(1)), "4 bytes: expected 8");
  assert.equal(decode("/", "mem", new Uint8Array(1)), "1 byte: expected a multiple of 16");
});

Deno.test("what is in no format is left alone", () => {
  assert.equal(decode("/", "compatible", new TextEncoder().encode("kho-v1\0")), undefined);
  assert.equal(decode("/", "agaw", u32s(2)), undefined);
  assert.equal(decode(AREA, "agaw", u32s(2)), undefined);
  assert.equal(decode("/iommufd/iommufds/1/ioases", "iova-len", u64s(1n)), undefined);
});

Deno.test("any bytes can be explained", () => {
  const nodes = KHO_NODES.flatMap(([path, record]) =>
    Object.values(record).map(({ name }) => [path.replaceAll("*", "5"), name] as const)
  );
  const bytes = fc.uint8Array({ maxLength: 70 });
  fc.assert(fc.property(fc.constantFrom(...nodes), bytes, bytes, ([path, name], value, other) => {
    const text = decode(path, name, value, () => other);
    assert(text === undefined || text.length < 300);
  }));
});

Deno.test("a whole handover is printed with its explanations", () => {
  const writer = new FdtWriter(4096);
  writer.beginNode("");
  writer.propString("compatible", "kho-v1");
  writer.beginNode("intel-iommu");
  writer.beginNode("domains");
  writer.beginNode("7");
  writer.property("mem", u64s(0x1_0000_0000n, 16n << 20n));
  writer.propI32("agaw", 2);
  writer.beginNode("devices");
  writer.beginNode("0");
  writer.propU8("bus", 0x3a);
  writer.propU8("devfn", 0);
  for (let i = 0; i < 6; i++) writer.endNode();
  assert.equal(
    printDts(openFdt(writer.finish()), decode),
    `/dts-v1/;

/ {
	compatible = "kho-v1";

	intel-iommu {

		domains {

			7 {
				mem = <0x00 0x1000000 0x01 0x00>; /* 0x100000000 + 16 MiB */
				agaw = <0x2000000>; /* 4 levels, 48 bits */

				devices {

					0 {
						bus = [3a]; /* 3a:00.0 */
						devfn = [00]; /* 3a:00.0 */
					};
				};
			};
		};
	};
};
`,
  );
});
