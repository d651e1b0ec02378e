import * as z from "zod/mini";
import { ERRNO_NAMES } from "../uapi/errno.ts";
import { INVARIANT_IDS } from "../health/invariants.ts";
import { OPERATIONS } from "../operations/table.ts";
import { duration, pages, size, sizeOf } from "../operations/values.ts";
import { MiB, TiB } from "../base/units.ts";
import { imageComplaint } from "../operations/image_name.ts";
import { PROFILES } from "../machine/profile.ts";
import { PROGRAMS } from "../platform/spec.ts";
import { RAM_FILES } from "../userspace/vmm/config.ts";
import { DMA_MEMORY } from "../userspace/paravisor/config.ts";
import { parseBdf } from "../uapi/pci_regs.ts";

/** Shape of a scenario file. Everything a person may write is here, with its words. */

const id = z.string().with(
  z.regex(/^[a-z][a-z0-9-]*$/, "expected a name such as nic0 (a-z, 0-9, -)"),
);
const names = <T extends { name: string }>(all: readonly T[]) =>
  all.map((x) => x.name) as [string, ...string[]];

const bdf = z.string().with(z.refine((text) => parseBdf(text) !== undefined, {
  message: 'expected a PCI address such as "3a:00.0"',
}));

/** A device's pace: below a microsecond nothing else would ever get a turn. */
const pace = duration.with(z.refine((ns) => ns >= 1000, { message: "expected at least 1us" }));

/** Of a machine. */
export const MAX_DEVICES = 10_000;

/** Bits of the PASIDs of a card that is given one. */
export const NIC_PASID_BITS = 15;

const rmrr = z.optional(
  z.strictObject({
    base: pages.with(z.describe("where it begins")),
    size: pages,
  }).with(z.describe("memory that firmware lets the device use for itself, mapped 1:1")),
);

const iommu = z.optional(
  z.literal("none").with(
    z.describe("no unit is in charge of the device: it reaches physical addresses, unchecked"),
  ),
);

const count = (what: string) =>
  z.optional(z.int().with(z.minimum(1), z.maximum(MAX_DEVICES), z.describe(what)));
const devices = count(
  "so many of them, at one address after the other; their ids are this one's with 0, 1, 2 … behind",
);

const nic = z.strictObject({
  id,
  count: devices,
  model: z.literal("nic"),
  bdf,
  iommu,
  rmrr,
  interval: z.prefault(pace.with(z.describe("time between two packets on the wire")), "200us"),
  packet: z.prefault(
    sizeOf(4, "4B").with(
      z.refine((n) => n >= 64 && n <= 2048, {
        message: "expected 64B to 2048B",
      }),
      z.describe("length of a packet"),
    ),
    "256B",
  ),
  pasid: z.optional(
    z.int().with(
      z.minimum(1),
      z.maximum(2 ** NIC_PASID_BITS - 1),
      z.describe("the guest has its packets written with this PASID"),
    ),
  ),
  page_requests: z._default(
    z.boolean().with(
      z.describe(
        "it asks for pages that are not there, and keeps packets until they are (ATS, PRI)",
      ),
    ),
    false,
  ),
  aliased: z._default(
    z.boolean().with(
      z.describe(
        "its requests carry the source id of function 1 of its slot, as those of some cards do",
      ),
    ),
    false,
  ),
});

const nvme = z.strictObject({
  id,
  count: devices,
  model: z.literal("nvme"),
  bdf,
  iommu,
  rmrr,
  latency: z.prefault(pace.with(z.describe("service time of a command")), "2ms"),
});

const bmc = z.strictObject({
  id,
  count: devices,
  model: z.literal("bmc"),
  bdf,
  rmrr,
  iommu,
  interval: z.prefault(pace.with(z.describe("time between two heartbeats")), "1ms"),
});

const vm = z.strictObject({
  id,
  count: count("so many of them, each with its share of the devices; ids as those of devices"),
  memory: z.prefault(sizeOf(2 * MiB, "2MiB"), "32MiB"),
  persistent: z._default(
    z.boolean().with(z.describe("its devices' DMA is to go on through a kexec")),
    true,
  ),
  devices: z._default(z.array(id), []),
  program: z._default(z.enum(PROGRAMS), "vmm").with(
    z.describe(
      "vmm: passes its devices through; paravisor: drives one disk without an IOMMU for its guest",
    ),
  ),
  dma: z._default(z.enum(DMA_MEMORY), "iommufd").with(
    z.describe(
      "where a paravisor's disk has its queues: in pinned pages of an iommufd; in locked pages, or a " +
        "file of guestmemfs, whose physical addresses it looks up in /proc/self/pagemap",
    ),
  ),
  ring: z._default(
    z.int().with(
      z.minimum(8),
      z.maximum(65536),
      z.multipleOf(8),
      z.describe("receive descriptors of each NIC"),
    ),
    4096,
  ),
  ram_base: z.optional(
    size.with(
      z.refine((n) => n % (2 * MiB) === 0, { message: "expected a multiple of 2MiB" }),
      z.describe("where its RAM begins, which is its IOVA as well"),
    ),
  ),
  resident: z.optional(
    sizeOf(2 * MiB, "2MiB").with(
      z.describe(
        "how much of its RAM its devices can reach at a time; they ask for the rest (page_requests). " +
          "All of it when left out",
      ),
    ),
  ),
  huge_pages: z._default(
    z.boolean().with(z.describe("its RAM is mapped for devices in large pages")),
    true,
  ),
  backing: z._default(z.enum(RAM_FILES), "guestmemfs").with(
    z.describe(
      "the file its RAM is in, where that is to outlive a kernel: of guestmemfs, or a sealed memfd",
    ),
  ),
  guest_iommu: z._default(
    z.boolean().with(
      z.describe(
        "its guest has an IOMMU of its own where the host nests tables, and does without elsewhere",
      ),
    ),
    false,
  ),
});

const machine = z.strictObject({
  profile: z._default(z.enum(names(PROFILES)), "intel-legacy"),
  memory: z.prefault(
    pages.with(
      z.refine((n) => n >= 64 * MiB && n <= 4 * TiB, { message: "expected 64MiB to 4TiB" }),
    ),
    "512MiB",
  ),
  guestmemfs: z.prefault(
    size.with(z.refine((n) => n % (2 * MiB) === 0, {
      message: "expected a multiple of 2MiB",
    })),
    "128MiB",
  ),
  kho_scratch: z.prefault(
    size.with(z.refine((n) => n % (2 * MiB) === 0, {
      message: "expected a multiple of 2MiB",
    })),
    "16MiB",
  ),
  devices: z._default(
    z.array(z.discriminatedUnion("model", [nic, nvme, bmc])).with(z.maxLength(MAX_DEVICES)),
    [],
  ),
  vms: z._default(z.array(vm), []),
});

/** An image's name, with defects or without: `rfc-v1`, `rfc-v1+D55`, `rfc-v1-posted-D77`. */
const image = z.string().with(z.superRefine((name, ctx) => {
  const message = imageComplaint(name);
  if (message !== undefined) ctx.addIssue({ code: "custom", message });
}));

const step = z.strictObject({
  id: z.optional(id),
  at: z.optional(
    duration.with(
      z.describe(
        "virtual time it begins at, beside the others; when left out: after the one before",
      ),
    ),
  ),
  do: z.enum([...OPERATIONS.keys()] as [string, ...string[]]),
  with: z._default(z.record(z.string(), z.unknown()), {}),
  expect: z.optional(z.strictObject({
    errno: z.enum(["0", "any", ...ERRNO_NAMES] as [string, ...string[]]).with(
      z.describe("what it answers; any: whatever it is, the run goes on"),
    ),
  })),
});

const deviceExpectation = z.strictObject({
  faults: z.optional(z.int().with(z.minimum(0))),
  stray: z.optional(z.int().with(z.minimum(0))),
  blocked: z.optional(z.int().with(z.minimum(0))),
  starved: z.optional(z.int().with(z.minimum(0), z.describe("packets dropped for want of room"))),
  loses_dma: z.optional(
    z.boolean().with(z.describe("accesses were refused or found bus mastering off")),
  ),
  max_gap: z.optional(duration),
  max_gap_intervals: z.optional(
    z.number().with(z.positive(), z.describe("longest gap, in packet intervals of the NIC")),
  ),
  min_gap: z.optional(duration),
  min_page_requests: z.optional(
    z.int().with(z.minimum(0), z.describe("times it asked for pages that were not there")),
  ),
  min_page_wait: z.optional(duration.with(z.describe("longest time it waited for a page"))),
  max_page_wait: z.optional(duration),
});

const invariant = z.enum(INVARIANT_IDS as unknown as [string, ...string[]]);

export const scenarioSchema = z.strictObject({
  version: z.literal(1),
  name: id,
  description: z.string(),
  tags: z._default(z.array(z.string()), []),
  machine: z.prefault(machine, {}),
  kernel: z.prefault(
    z.strictObject({
      image: z._default(image, "rfc-v1"),
      next: z.optional(image.with(z.describe("image a live update boots; the same when left out"))),
      defects: z._default(z.array(z.string()), []).with(
        z.describe("defects of the posted series that the image is to have besides"),
      ),
      cmdline: z._default(
        z.string().with(z.describe("words for the end of every kernel's command line")),
        "",
      ),
    }),
    {},
  ),
  seed: z._default(
    z.int().with(
      z.minimum(0),
      z.maximum(0xffffffff),
      z.describe("of everything that is open; --seed goes before"),
    ),
    1,
  ),
  steps: z.array(step),
  until: z.optional(
    duration.with(z.describe("virtual time to stop at, whatever is going on then")),
  ),
  expect: z.prefault(
    z.strictObject({
      invariants: z._default(
        z.array(invariant).with(z.describe("must hold, and must have been exercised")),
        [],
      ),
      violated: z._default(z.array(invariant).with(z.describe("must be found violated")), []),
      caught: z.optional(
        z.strictObject({
          by: z._default(z.array(invariant), []),
          answers: z._default(
            z.boolean().with(z.describe("a step's wrong answer counts as well")),
            false,
          ),
        }).with(
          z.describe("something must go wrong, and be seen in one of these ways; all else may too"),
        ),
      ),
      devices: z._default(z.record(id, deviceExpectation), {}),
      min_pause: z.optional(
        duration.with(z.describe("shortest guest pause that makes the run worth something")),
      ),
      hash: z.optional(
        z.string().with(
          z.regex(/^[0-9a-f]{16}$/, "expected 16 hexadecimal digits"),
          z.describe("event hash at the end: the very same run"),
        ),
      ),
      update: z.optional(
        z.enum(["done", "aborted", "failed"]).with(z.describe("outcome of the last update")),
      ),
    }),
    {},
  ),
});

export type Scenario = z.output<typeof scenarioSchema>;
export type Step = Scenario["steps"][number];
