/** How a kernel hands device DMA over to the next one. */
export type Handover = "none" | "serialise";

/** A kernel image is data: what it can do. One boot runs one image. */
export interface KernelImage {
  readonly name: string;
  readonly version: string;
  /** KHO and guestmemfs are built in. */
  readonly kho: boolean;
  readonly handover: Handover;
  readonly summary: string;
}

export const IMAGES: readonly KernelImage[] = [
  {
    name: "rfc-v1",
    version: "6.11.0-rfc1",
    kho: true,
    handover: "serialise",
    summary:
      "serialise iommufd and page tables, adopt them after kexec (the 13 patches, completed)",
  },
  {
    name: "mainline",
    version: "6.11.0",
    kho: false,
    handover: "none",
    summary: "no persistence at all: the control",
  },
];

export function findImage(name: string): KernelImage | undefined {
  return IMAGES.find((image) => image.name === name);
}
