import assert from "node:assert/strict";
import { hasDtc, run } from "../../fdt/libfdt_tools.ts";
import { fileOf, keep, platform, stateIn, updates } from "./rig.ts";

/** Little-endian bytes as `fdtget -t bx` prints them. */
function bytes(value: bigint | number, width: number): string {
  return Array.from({ length: width }, (_, i) => {
    return ((BigInt(value) >> BigInt(8 * i)) & 0xffn).toString(16);
  }).join(" ");
}

Deno.test({
  name: "dtc and fdtget read the device tree of a jump",
  ignore: !await hasDtc() || await run("fdtget", ["--version"]) === undefined,
  fn: async () => {
    const [kept] = updates(platform(), 1, keep);
    const state = stateIn(kept, 1);
    const path = await Deno.makeTempFile({ suffix: ".dtb" });
    const get = async (node: string, property: string, type = "bx") => {
      const ran = await run("fdtget", ["-t", type, path, node, property]);
      assert.equal(ran?.stderr, "", `${node} ${property}`);
      return new TextDecoder().decode(ran?.stdout).trim();
    };
    try {
      await Deno.writeFile(path, fileOf(kept, "kho-1.dtb"));
      const dtc = await run("dtc", ["-I", "dtb", "-O", "dts", path]);
      assert.deepEqual([dtc?.code, dtc?.stderr], [0, ""]);

      assert.equal(await get("/", "compatible", "s"), "kho-v1");
      assert.equal(await get("/iommufd", "compatible", "s"), "iommufd-v0");
      const [{ ioases: [ioas] }] = state.iommufds;
      const [area] = ioas.areas;
      const node = `/iommufd/iommufds/1/ioases/${ioas.id}`;
      const handle = bytes(BigInt(ioas.pinned_file_handle), 8);
      assert.equal(await get(node, "pinned-file-handle"), handle);
      assert.equal(await get(`${node}/0`, "iova-start"), bytes(BigInt(area.iova), 8));
      assert.equal(await get(`${node}/0`, "iova-len"), bytes(16 << 20, 8));
      assert.equal(await get(`${node}/0`, "iommu-prot"), bytes(7, 4));

      const [domain] = state.domains;
      const at = "/intel-iommu/domains/1";
      assert.equal(await get(at, "pgd"), bytes(BigInt(domain.pgd), 8));
      assert.equal(await get(at, "agaw"), bytes(2, 4));
      assert.equal(await get(at, "persistent_id"), bytes(1, 8));
      const mem = (await get(at, "mem")).split(" ");
      assert.ok(mem.length > 0 && mem.length % 16 === 0, `${mem.length} bytes of mem`);
      assert.equal(await get(`${at}/devices/0`, "bus"), "3a");
      assert.equal(await get(`${at}/devices/0`, "devfn"), "0");
    } finally {
      await Deno.remove(path);
    }
  },
});
