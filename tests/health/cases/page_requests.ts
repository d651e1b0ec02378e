import assert from "node:assert/strict";
import { MiB, ms } from "../../../src/base/units.ts";
import { AtsPort } from "../../../src/machine/pci/ats_port.ts";
import * as pr from "../../../src/uapi/vtd_page_requests.ts";
import type { Cases } from "./case.ts";
import { World } from "../world.ts";

/** A VM whose card asks for what it misses. */
export class PagingWorld extends World {
  constructor(seed = 1) {
    const kernel = "redrive-replace", profile = "intel-scalable";
    super({ vms: ["vm1"], kernel, profile, seed, resident: 4 * MiB });
  }

  get port(): AtsPort {
    const { port } = this.platform.machine.functions[this.fn("nic1")];
    assert.ok(port instanceof AtsPort);
    return port;
  }

  /** The next kernel boots, and the card misses a page that nobody gives it yet. */
  waiting(): this {
    this.updateTo("boot", "redrive-replace").run(100 * ms);
    this.port.access(0, 7 * MiB, 64, true);
    const { missing } = this.port;
    assert.ok(missing !== undefined && this.port.ask([missing], () => {}));
    return this;
  }

  /** It has asked for a page, and got it. */
  asked(): this {
    return this.until(() => this.meter("nic1").pagesAnswered > 0);
  }
}

/** Pages that devices wait for. */
export const PAGE_REQUEST_CASES: Cases<"page-requests-kept"> = {
  "page-requests-kept": {
    broken: [
      {
        how: "somebody starts the queue anew with a request in it",
        run() {
          const world = new PagingWorld().waiting();
          world.unit.write32(pr.DMAR_PQH_REG, 0);
          world.unit.write32(pr.DMAR_PQT_REG, 0);
          return world.finish();
        },
        subject: "nic1",
        detail: /^waits for IOVA 0x700000, and neither the queue nor a kernel has its request$/,
      },
      {
        how: "what lies in the queue is written over between two kernels",
        run() {
          const world = new PagingWorld().waiting();
          const at = (world.unit.read32(pr.DMAR_PQA_REG) & ~0xfff) >>> 0;
          world.memory.write(at, new Uint8Array(4096).fill(0xff));
          return world.finish();
        },
        subject: "nic1",
        detail: /^waits for IOVA 0x700000/,
      },
      {
        how: "the queue lies in memory that is not kept",
        run() {
          const world = new PagingWorld().updateTo("kexec", "redrive-replace").run(1 * ms);
          world.unit.write32(pr.DMAR_PQA_REG, world.freeFrame() << 12);
          return world.finish();
        },
        subject: "dmar0",
        detail: /^the queue in which nic1 asks for pages, 0x[\da-f]+, is not kept$/,
      },
      {
        how: "a device is answered what it has not asked",
        run() {
          const world = new PagingWorld().asked();
          world.port.respond(-1, 99, pr.QI_RESP_SUCCESS);
          return world;
        },
        subject: "nic1",
        detail: /^was answered a page request that it had not made$/,
      },
    ],
    unexercised: { what: "a card that misses nothing", run: () => new World().run(5 * ms) },
  },
};
