import {
  NVME_DEVICE,
  NVME_ID_CTRL_MDTS,
  NVME_ID_CTRL_NN,
  NVME_ID_CTRL_SQES,
  NVME_ID_NS_LBAF0,
  NVME_ID_NS_NSZE,
  NVME_VENDOR,
  NVME_VS_1_4,
} from "../../uapi/nvme_regs.ts";
import { MAX_TRANSFER_SHIFT } from "./nvme_transfer.ts";

/** The controller's only namespace. */
export const NVME_NAMESPACE = 1;
/** Bytes in a logical block, as a power of two (LBADS). */
const BLOCK_SHIFT = 12;

/** Fills the cleared 4 KiB identify-controller page; `name` becomes the serial number. */
export function identifyController(page: Uint32Array, name: string): void {
  const bytes = new DataView(page.buffer, page.byteOffset, page.byteLength);
  bytes.setUint16(0, NVME_VENDOR, true);
  bytes.setUint16(2, NVME_VENDOR, true);
  putText(bytes, 4, 20, name);
  putText(bytes, 24, 40, `hitless NVMe ${NVME_DEVICE.toString(16)}`);
  putText(bytes, 64, 8, "1.0");
  bytes.setUint8(NVME_ID_CTRL_MDTS, MAX_TRANSFER_SHIFT);
  bytes.setUint32(80, NVME_VS_1_4, true);
  // Required and maximum size of a submission (64 B) and a completion entry (16 B).
  bytes.setUint8(NVME_ID_CTRL_SQES, 0x66);
  bytes.setUint8(NVME_ID_CTRL_SQES + 1, 0x44);
  bytes.setUint32(NVME_ID_CTRL_NN, 1, true);
}

/** Fills the cleared identify-namespace page; sizes in blocks. */
export function identifyNamespace(page: Uint32Array, blocks: number, used: number): void {
  const bytes = new DataView(page.buffer, page.byteOffset, page.byteLength);
  put64(bytes, NVME_ID_NS_NSZE, blocks);
  put64(bytes, NVME_ID_NS_NSZE + 8, blocks);
  put64(bytes, NVME_ID_NS_NSZE + 16, used);
  bytes.setUint32(NVME_ID_NS_LBAF0, BLOCK_SHIFT << 16, true);
}

function put64(bytes: DataView, at: number, value: number): void {
  bytes.setUint32(at, value >>> 0, true);
  bytes.setUint32(at + 4, Math.floor(value / 4294967296), true);
}

/** ASCII, padded with spaces. */
function putText(bytes: DataView, at: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) {
    bytes.setUint8(at + i, i < text.length ? text.charCodeAt(i) & 0x7f : 0x20);
  }
}
