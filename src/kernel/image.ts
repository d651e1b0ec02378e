import { DEFECTS, findDefect, SWITCHES } from "./defects/catalogue.ts";

/** How a kernel hands device DMA over to the next one. */
export type Handover = "none" | "serialise" | "replay" | "redrive" | "redrive-replace";

/** A kernel image is data: what it can do. One boot runs one image. */
export interface KernelImage {
  readonly name: string;
  readonly version: string;
  /** KHO and guestmemfs are built in. */
  readonly kho: boolean;
  /** Version of the KHO tree it writes and reads, its root's compatible. */
  readonly khoCompatible: string;
  readonly handover: Handover;
  /** The VT-d driver writes one list of table pages for all domains, version 1 of its data. */
  readonly oneTableList?: boolean;
  /** Pages of the largest page it maps with for DMA; all the hardware can when left out. */
  readonly largestPage?: number;
  /** Faults of the posted series it still has, by id. */
  readonly defects: ReadonlySet<string>;
  readonly summary: string;
}

const NO_DEFECTS: ReadonlySet<string> = new Set();

export const IMAGES: readonly KernelImage[] = [
  {
    name: "rfc-v1",
    version: "6.11.0-rfc1",
    kho: true,
    khoCompatible: "kho-v1",
    handover: "serialise",
    defects: NO_DEFECTS,
    summary:
      "serialise iommufd and page tables, adopt them after kexec (the 13 patches, completed)",
  },
  {
    name: "rfc-v1-posted",
    version: "6.11.0-rfc1-posted",
    kho: true,
    khoCompatible: "kho-v1",
    handover: "serialise",
    defects: new Set(SWITCHES.map((d) => d.id)),
    summary: "the 13 patches as they were mailed, with every defect that can show",
  },
  {
    name: "rfc-v1-kho-v2",
    version: "6.12.0-rfc1",
    kho: true,
    khoCompatible: "kho-v2",
    handover: "serialise",
    defects: NO_DEFECTS,
    summary: "rfc-v1 on the next version of KHO: neither reads what the other hands over",
  },
  {
    name: "replay",
    version: "6.13.0-replay",
    kho: true,
    khoCompatible: "kho-v1",
    handover: "replay",
    defects: NO_DEFECTS,
    summary: "the calls that made an iommufd are handed over, and made again by the next kernel",
  },
  {
    name: "rfc-v1-intel-v1",
    version: "6.12.0-rfc1-intel1",
    kho: true,
    khoCompatible: "kho-v1",
    handover: "serialise",
    oneTableList: true,
    defects: NO_DEFECTS,
    summary:
      "rfc-v1 with a later version of what the VT-d driver hands over; it reads the older too",
  },
  {
    name: "redrive",
    version: "6.13.0-redrive",
    kho: true,
    khoCompatible: "kho-v1",
    handover: "redrive",
    defects: NO_DEFECTS,
    summary: "userspace makes everything anew; tables that compare equal are gone on with",
  },
  {
    name: "redrive-replace",
    version: "6.13.0-replace",
    kho: true,
    khoCompatible: "kho-v1",
    handover: "redrive-replace",
    defects: NO_DEFECTS,
    summary: "userspace makes everything anew, then each device is switched to fresh tables",
  },
  {
    name: "redrive-replace-4k",
    version: "6.12.0-replace",
    kho: true,
    khoCompatible: "kho-v1",
    handover: "redrive-replace",
    largestPage: 1,
    defects: NO_DEFECTS,
    summary: "an older redrive-replace, which maps with nothing larger than 4 KiB",
  },
  {
    name: "mainline",
    version: "6.11.0",
    kho: false,
    khoCompatible: "",
    handover: "none",
    defects: NO_DEFECTS,
    summary: "no persistence at all: the control",
  },
];

/** The parts of `rfc-v1+D55+D57` or `rfc-v1-posted-D77`. */
const NAME = /^([a-z][a-z0-9-]*?)((?:[+-][A-Z]\d+[a-z]?)*)$/;

/**
 * Takes an image's name apart: the image, ids of defects to add, ids to take away. Undefined when it
 * is no such name; whether the parts exist is not looked at.
 */
export function parseImageName(
  name: string,
): { base: string; added: string[]; removed: string[] } | undefined {
  const m = NAME.exec(name);
  if (m === null) return undefined;
  const parts = m[2].match(/[+-][A-Z]\d+[a-z]?/g) ?? [];
  const with_ = (sign: string) => parts.filter((p) => p[0] === sign).map((p) => p.slice(1));
  return { base: m[1], added: with_("+"), removed: with_("-") };
}

/** The name of an image with these defects added, in the catalogue's order, each once. */
export function imageWith(name: string, defects: readonly string[]): string {
  const parsed = parseImageName(name);
  if (parsed === undefined || defects.length === 0) return name;
  const all = new Set([...parsed.added, ...defects]);
  const order = [
    ...DEFECTS.map((d) => d.id).filter((id) => all.delete(id)),
    ...all,
  ];
  return parsed.base + order.map((id) => `+${id}`).join("") +
    parsed.removed.map((id) => `-${id}`).join("");
}

/**
 * What is wrong with an image's name, by part: an image or a defect nobody knows, a defect that is
 * no switch, one that is both added and taken away, one whose code the image does not have.
 */
export interface ImageProblem {
  readonly part: string;
  readonly what:
    | "no image"
    | "no defect"
    | "cannot show"
    | "added and taken away"
    | "not in this image";
}

export function imageProblem(name: string): ImageProblem | undefined {
  const parsed = parseImageName(name);
  const base = parsed && IMAGES.find((image) => image.name === parsed.base);
  if (parsed === undefined || base === undefined) return { part: name, what: "no image" };
  const ids = [...parsed.added, ...parsed.removed];
  for (const id of ids) {
    const defect = findDefect(id);
    if (defect === undefined) return { part: id, what: "no defect" };
    if (defect.notShown !== undefined) return { part: id, what: "cannot show" };
    if (base.handover === "none") return { part: id, what: "not in this image" };
  }
  const both = parsed.added.find((id) => parsed.removed.includes(id));
  if (both !== undefined) return { part: both, what: "added and taken away" };
  const absent = parsed.removed.find((id) => !base.defects.has(id));
  return absent === undefined ? undefined : { part: absent, what: "not in this image" };
}

/** The image of a name, with the defects its name says. */
export function findImage(name: string): KernelImage | undefined {
  const plain = IMAGES.find((image) => image.name === name);
  if (plain !== undefined) return plain;
  const parsed = parseImageName(name);
  if (parsed === undefined || imageProblem(name) !== undefined) return undefined;
  const base = IMAGES.find((image) => image.name === parsed.base);
  if (base === undefined) return undefined;
  const needed = parsed.added.flatMap((id) => findDefect(id)?.needs ?? []);
  const defects = new Set([...base.defects, ...needed, ...parsed.added]);
  for (const id of parsed.removed) defects.delete(id);
  return { ...base, name, defects };
}
