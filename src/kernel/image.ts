/** How a kernel hands device DMA over to the next one. */
export type Handover = "none" | "serialise";

/** A kernel image is data: what it can do. One boot runs one image. */
export interface KernelImage {
  readonly name: string;
  readonly version: string;
  /** KHO and guestmemfs are built in. */
  readonly kho: boolean;
  /** Version of the KHO tree it writes and reads, its root's compatible. */
  readonly khoCompatible: string;
  readonly handover: Handover;
  readonly summary: string;
}

export const IMAGES: readonly KernelImage[] = [
  {
    name: "rfc-v1",
    version: "6.11.0-rfc1",
    kho: true,
    khoCompatible: "kho-v1",
    handover: "serialise",
    summary:
      "serialise iommufd and page tables, adopt them after kexec (the 13 patches, completed)",
  },
  {
    name: "rfc-v1-kho-v2",
    version: "6.12.0-rfc1",
    kho: true,
    khoCompatible: "kho-v2",
    handover: "serialise",
    summary: "rfc-v1 on the next version of KHO: neither reads what the other hands over",
  },
  {
    name: "mainline",
    version: "6.11.0",
    kho: false,
    khoCompatible: "",
    handover: "none",
    summary: "no persistence at all: the control",
  },
];

export function findImage(name: string): KernelImage | undefined {
  return IMAGES.find((image) => image.name === name);
}
