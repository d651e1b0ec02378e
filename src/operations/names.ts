import { didYouMean } from "../base/nearest.ts";
import { SWITCHES } from "../kernel/defects/catalogue.ts";
import { imageProblem, IMAGES, parseImageName } from "../kernel/image.ts";
import { POINTS } from "./faults.ts";
import { imageComplaint } from "./image_name.ts";
import type { Timeline } from "./timeline.ts";
import type { Names, Operation, Suggestion } from "./types.ts";

/** A kernel image that can be booted. */
export interface ImageInfo {
  readonly name: string;
  readonly version: string;
  readonly summary: string;
}

/** A fault of the posted series that an image can be given. */
export interface DefectInfo {
  readonly id: string;
  readonly title: string;
  /** What one sees of it. */
  readonly seen: string;
}

export const IMAGE_LIST: readonly ImageInfo[] = IMAGES;
export const DEFECT_LIST: readonly DefectInfo[] = SWITCHES;

/** The image that a name stands for, without its defects; undefined for no name of one. */
export function imageBase(name: string): string | undefined {
  return parseImageName(name)?.base;
}

/** Defects that a name adds. */
export function defectsAdded(name: string): readonly string[] {
  return parseImageName(name)?.added ?? [];
}

/** There is such an image. */
export function isImage(name: string): boolean {
  return imageProblem(name) === undefined;
}

const THINGS: Readonly<Record<keyof Names, string>> = {
  vms: "VM",
  devices: "device",
  images: "kernel image",
};

/** The first argument that names something there is not, and what to say of it. */
export function unknownName(
  { refers = {} }: Operation,
  args: Readonly<Record<string, unknown>>,
  known: Names,
): { readonly argument: string; readonly message: string } | undefined {
  for (const [argument, kind] of Object.entries(refers)) {
    const value = args[argument];
    if (typeof value !== "string" || known[kind].includes(value)) continue;
    const near = didYouMean(value, known[kind]);
    const message = kind === "images"
      ? imageComplaint(value)
      : `there is no ${THINGS[kind]} ${JSON.stringify(value)}${near}`;
    if (message !== undefined) return { argument, message };
  }
  return undefined;
}

/** Words that begin as `word` does and can stand where one of this kind is wanted. */
export function complete(timeline: Timeline, kind: Suggestion, word: string): string[] {
  return candidates(timeline, kind, word).filter((c) => c.startsWith(word));
}

function candidates(timeline: Timeline, kind: Suggestion, word: string): string[] {
  const { platform, session } = timeline;
  switch (kind) {
    case "vms":
      return platform.spec.vms.map((v) => v.id);
    case "devices":
      return platform.spec.machine.devices.map((d) => d.id);
    case "images":
      return images(word);
    case "descriptors":
      return [...session.descriptors].flatMap(([name, d]) =>
        d.boot === platform.boots ? [name] : []
      );
    case "files":
      return platform.kernel.guestmemfs?.names() ?? [];
    case "iommufds":
      return platform.kernel.iommufd.pending.map(String);
    case "points":
      return POINTS.flatMap((p) => p === "program:" ? platform.spec.vms.map((v) => p + v.id) : [p]);
    case "paths":
      return paths(timeline, word);
  }
}

/** Images; once one is there with a `+`, the same with one more defect. */
function images(word: string): string[] {
  const plus = word.lastIndexOf("+");
  if (plus < 0) return IMAGES.map((i) => i.name);
  const before = word.slice(0, plus);
  if (!isImage(before)) return [];
  return SWITCHES.map((d) => `${before}+${d.id}`).filter(isImage);
}

/** What is in the directory that the path has come to. */
function paths({ platform }: Timeline, word: string): string[] {
  const slash = word.lastIndexOf("/");
  const parent = slash <= 0 ? "/" : word.slice(0, slash);
  const node = platform.kernel.vfs.lookup(parent);
  if (typeof node === "number" || node.kind !== "dir") return [];
  const prefix = parent === "/" ? "/" : `${parent}/`;
  return node.names().map((name) =>
    `${prefix}${name}${node.lookup(name)?.kind === "dir" ? "/" : ""}`
  );
}
