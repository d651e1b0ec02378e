/**
 * NVM Express: controller registers, opcodes, status codes and entry layouts, as far as our
 * controller and guest use them (NVM Express base specification 1.4, chapters 3 to 6).
 */

/** Size of BAR 0 in bytes. */
export const NVME_BAR_SIZE = 0x4000;
export const NVME_VENDOR = 0x1b36;
export const NVME_DEVICE = 0x0010;

/** Controller capabilities, 64 bits. */
export const NVME_REG_CAP = 0x00;
export const NVME_REG_VS = 0x08;
/** Version 1.4.0. */
export const NVME_VS_1_4 = 0x00010400;
export const NVME_REG_CC = 0x14;
export const NVME_CC_EN = 0x1;
/** Memory page size, 2^(12 + MPS): our controller takes 0 only. */
export const NVME_CC_MPS_SHIFT = 7;
/** Shutdown notification. */
export const NVME_CC_SHN_SHIFT = 14;
export const NVME_CC_IOSQES_SHIFT = 16;
export const NVME_CC_IOCQES_SHIFT = 20;
export const NVME_REG_CSTS = 0x1c;
export const NVME_CSTS_RDY = 0x1;
/** Controller fatal status. */
export const NVME_CSTS_CFS = 0x2;
/** Shutdown complete. */
export const NVME_CSTS_SHST_CMPLT = 0x8;
/** Admin queue sizes, zero-based: submission 11:0, completion 27:16. */
export const NVME_REG_AQA = 0x24;
export const NVME_REG_ASQ = 0x28;
export const NVME_REG_ACQ = 0x30;
/** Doorbells, 4 bytes apart (CAP.DSTRD 0). */
export const NVME_REG_DBS = 0x1000;

/** Register offset of a submission queue's tail doorbell. */
export function sqDoorbell(qid: number): number {
  return NVME_REG_DBS + qid * 8;
}

/** Register offset of a completion queue's head doorbell. */
export function cqDoorbell(qid: number): number {
  return NVME_REG_DBS + qid * 8 + 4;
}

/** Entries a queue may have at most (CAP.MQES is one less). */
export const NVME_MAX_QUEUE_ENTRIES = 1024;
/** CAP low: MQES, contiguous queues required, 8 * 500 ms timeout. High: NVM command set. */
export const NVME_CAP_LOW = 0x08010000 | (NVME_MAX_QUEUE_ENTRIES - 1);
export const NVME_CAP_HIGH = 0x20;

export const NVME_SQE_BYTES = 64;
export const NVME_CQE_BYTES = 16;
/** Word indices in a submission entry. */
export const SQE_OPCODE_CID = 0;
export const SQE_NSID = 1;
export const SQE_PRP1 = 6;
export const SQE_PRP2 = 8;
export const SQE_CDW10 = 10;
export const SQE_CDW11 = 11;
export const SQE_CDW12 = 12;
/** Word indices in a completion entry; the last is cid | phase << 16 | status << 17. */
export const CQE_RESULT = 0;
export const CQE_SQ = 2;
export const CQE_CID_STATUS = 3;

export const NVME_ADMIN_DELETE_SQ = 0x00;
export const NVME_ADMIN_CREATE_SQ = 0x01;
export const NVME_ADMIN_DELETE_CQ = 0x04;
export const NVME_ADMIN_CREATE_CQ = 0x05;
export const NVME_ADMIN_IDENTIFY = 0x06;
export const NVME_ADMIN_SET_FEATURES = 0x09;
export const NVME_ADMIN_GET_FEATURES = 0x0a;
export const NVME_CMD_FLUSH = 0x00;
export const NVME_CMD_WRITE = 0x01;
export const NVME_CMD_READ = 0x02;

/** Identify: what to identify (CDW10 7:0). */
export const NVME_ID_CNS_NS = 0x00;
export const NVME_ID_CNS_CTRL = 0x01;
export const NVME_ID_CNS_NS_ACTIVE_LIST = 0x02;
export const NVME_FEAT_NUM_QUEUES = 0x07;
/** CDW11 of queue creation: physically contiguous. */
export const NVME_QUEUE_PHYS_CONTIG = 0x1;

/** Identify controller, byte offsets: MDTS (pages, power of two), entry sizes, namespaces. */
export const NVME_ID_CTRL_MDTS = 77;
export const NVME_ID_CTRL_SQES = 512;
export const NVME_ID_CTRL_NN = 516;
/** Identify namespace, byte offsets: size in blocks (u64), LBA format 0 (LBADS at bits 23:16). */
export const NVME_ID_NS_NSZE = 0;
export const NVME_ID_NS_LBAF0 = 128;

/** Status: code | type << 8, as in the 15-bit status field. */
export const NVME_SC_SUCCESS = 0x0;
export const NVME_SC_INVALID_OPCODE = 0x1;
export const NVME_SC_INVALID_FIELD = 0x2;
export const NVME_SC_DATA_XFER_ERROR = 0x4;
export const NVME_SC_INVALID_NS = 0xb;
export const NVME_SC_PRP_OFFSET_INVALID = 0x13;
export const NVME_SC_LBA_RANGE = 0x80;
export const NVME_SC_CQ_INVALID = 0x100;
export const NVME_SC_QID_INVALID = 0x101;
export const NVME_SC_QUEUE_SIZE = 0x102;
export const NVME_SC_INVALID_QUEUE_DELETION = 0x10c;
