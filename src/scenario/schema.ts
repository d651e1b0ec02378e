import { z } from "zod";
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

const id = z.string().regex(/^[a-z][a-z0-9-]*$/, "expected a name such as nic0 (a-z, 0-9, -)");
const names = <T extends { name: string }>(all: readonly T[]) =>
  all.map((x) => x.name) as [string, ...string[]];

const bdf = z.string().refine((text) => parseBdf(text) !== undefined, {
  message: 'expected a PCI address such as "3a:00.0"',
});

/** A device's pace: below a microsecond nothing else would ever get a turn. */
const pace = duration.refine((ns) => ns >= 1000, { message: "expected at least 1us" });

/** Of a machine. */
export const MAX_DEVICES = 10_000;

/** Bits of the PASIDs of a card that is given one. */
export const NIC_PASID_BITS = 15;

const rmrr = z.strictObject({
  base: pages.describe("where it begins"),
  size: pages,
}).describe("memory that firmware lets the device use for itself, mapped 1:1").optional();

const iommu = z.literal("none")
  .describe("no unit is in charge of the device: it reaches physical addresses, unchecked")
  .optional();

const count = (what: string) => z.number().int().min(1).max(MAX_DEVICES).describe(what).optional();
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
  interval: pace.describe("time between two packets on the wire").prefault("200us"),
  packet: sizeOf(4, "4B").refine((n) => n >= 64 && n <= 2048, {
    message: "expected 64B to 2048B",
  }).describe("length of a packet").prefault("256B"),
  pasid: z.number().int().min(1).max(2 ** NIC_PASID_BITS - 1)
    .describe("the guest has its packets written with this PASID").optional(),
  page_requests: z.boolean()
    .describe("it asks for pages that are not there, and keeps packets until they are (ATS, PRI)")
    .default(false),
  aliased: z.boolean()
    .describe(
      "its requests carry the source id of function 1 of its slot, as those of some cards do",
    )
    .default(false),
});

const nvme = z.strictObject({
  id,
  count: devices,
  model: z.literal("nvme"),
  bdf,
  iommu,
  rmrr,
  latency: pace.describe("service time of a command").prefault("2ms"),
});

const bmc = z.strictObject({
  id,
  count: devices,
  model: z.literal("bmc"),
  bdf,
  rmrr,
  iommu,
  interval: pace.describe("time between two heartbeats").prefault("1ms"),
});

const vm = z.strictObject({
  id,
  count: count("so many of them, each with its share of the devices; ids as those of devices"),
  memory: sizeOf(2 * MiB, "2MiB").prefault("32MiB"),
  persistent: z.boolean().describe("its devices' DMA is to go on through a kexec").default(true),
  devices: z.array(id).default([]),
  program: z.enum(PROGRAMS).default("vmm").describe(
    "vmm: passes its devices through; paravisor: drives one disk without an IOMMU for its guest",
  ),
  dma: z.enum(DMA_MEMORY).default("iommufd").describe(
    "where a paravisor's disk has its queues: in pinned pages of an iommufd; in locked pages, or a " +
      "file of guestmemfs, whose physical addresses it looks up in /proc/self/pagemap",
  ),
  ring: z.number().int().min(8).max(65536).multipleOf(8)
    .describe("receive descriptors of each NIC").default(4096),
  ram_base: size.refine((n) => n % (2 * MiB) === 0, { message: "expected a multiple of 2MiB" })
    .describe("where its RAM begins, which is its IOVA as well").optional(),
  resident: sizeOf(2 * MiB, "2MiB").describe(
    "how much of its RAM its devices can reach at a time; they ask for the rest (page_requests). " +
      "All of it when left out",
  ).optional(),
  huge_pages: z.boolean().describe("its RAM is mapped for devices in large pages").default(true),
  backing: z.enum(RAM_FILES).default("guestmemfs").describe(
    "the file its RAM is in, where that is to outlive a kernel: of guestmemfs, or a sealed memfd",
  ),
  guest_iommu: z.boolean().describe(
    "its guest has an IOMMU of its own where the host nests tables, and does without elsewhere",
  ).default(false),
});

const machine = z.strictObject({
  profile: z.enum(names(PROFILES)).default("intel-legacy"),
  memory: pages.refine((n) => n >= 64 * MiB && n <= 4 * TiB, { message: "expected 64MiB to 4TiB" })
    .prefault("512MiB"),
  guestmemfs: size.refine((n) => n % (2 * MiB) === 0, {
    message: "expected a multiple of 2MiB",
  }).prefault("128MiB"),
  kho_scratch: size.refine((n) => n % (2 * MiB) === 0, {
    message: "expected a multiple of 2MiB",
  }).prefault("16MiB"),
  devices: z.array(z.discriminatedUnion("model", [nic, nvme, bmc])).max(MAX_DEVICES).default([]),
  vms: z.array(vm).default([]),
});

/** An image's name, with defects or without: `rfc-v1`, `rfc-v1+D55`, `rfc-v1-posted-D77`. */
const image = z.string().superRefine((name, ctx) => {
  const message = imageComplaint(name);
  if (message !== undefined) ctx.addIssue({ code: "custom", message });
});

const step = z.strictObject({
  id: id.optional(),
  at: duration.describe(
    "virtual time it begins at, beside the others; when left out: after the one before",
  ).optional(),
  do: z.enum([...OPERATIONS.keys()] as [string, ...string[]]),
  with: z.record(z.string(), z.unknown()).default({}),
  expect: z.strictObject({
    errno: z.enum(["0", "any", ...ERRNO_NAMES] as [string, ...string[]])
      .describe("what it answers; any: whatever it is, the run goes on"),
  }).optional(),
});

const deviceExpectation = z.strictObject({
  faults: z.number().int().min(0).optional(),
  stray: z.number().int().min(0).optional(),
  blocked: z.number().int().min(0).optional(),
  starved: z.number().int().min(0).describe("packets dropped for want of room").optional(),
  loses_dma: z.boolean().describe("accesses were refused or found bus mastering off").optional(),
  max_gap: duration.optional(),
  max_gap_intervals: z.number().positive()
    .describe("longest gap, in packet intervals of the NIC").optional(),
  min_gap: duration.optional(),
  min_page_requests: z.number().int().min(0)
    .describe("times it asked for pages that were not there").optional(),
  min_page_wait: duration.describe("longest time it waited for a page").optional(),
  max_page_wait: duration.optional(),
});

const invariant = z.enum(INVARIANT_IDS as unknown as [string, ...string[]]);

export const scenarioSchema = z.strictObject({
  version: z.literal(1),
  name: id,
  description: z.string(),
  tags: z.array(z.string()).default([]),
  machine: machine.prefault({}),
  kernel: z.strictObject({
    image: image.default("rfc-v1"),
    next: image.describe("image a live update boots; the same when left out").optional(),
    defects: z.array(z.string()).default([])
      .describe("defects of the posted series that the image is to have besides"),
    cmdline: z.string().describe("words for the end of every kernel's command line").default(""),
  }).prefault({}),
  seed: z.number().int().min(0).max(0xffffffff)
    .describe("of everything that is open; --seed goes before").default(1),
  steps: z.array(step),
  until: duration.describe("virtual time to stop at, whatever is going on then").optional(),
  expect: z.strictObject({
    invariants: z.array(invariant).describe("must hold, and must have been exercised").default([]),
    violated: z.array(invariant).describe("must be found violated").default([]),
    caught: z.strictObject({
      by: z.array(invariant).default([]),
      answers: z.boolean().describe("a step's wrong answer counts as well").default(false),
    }).describe("something must go wrong, and be seen in one of these ways; all else may too")
      .optional(),
    devices: z.record(id, deviceExpectation).default({}),
    min_pause: duration.describe("shortest guest pause that makes the run worth something")
      .optional(),
    hash: z.string().regex(/^[0-9a-f]{16}$/, "expected 16 hexadecimal digits")
      .describe("event hash at the end: the very same run").optional(),
    update: z.enum(["done", "aborted", "failed"]).describe("outcome of the last update")
      .optional(),
  }).prefault({}),
});

export type Scenario = z.output<typeof scenarioSchema>;
export type Step = Scenario["steps"][number];
