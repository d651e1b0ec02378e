import { NVME_SQE_BYTES, SQE_OPCODE_CID } from "../../uapi/nvme_regs.ts";
import type { SubmissionQueue } from "./nvme_queue.ts";

/** One of the controller's places for a command between fetch and completion. */
export class NvmeCommand {
  /** The 64-byte submission entry. */
  readonly entry = new Uint32Array(NVME_SQE_BYTES / 4);
  /** Where it came from; undefined while the place is free. */
  queue: SubmissionQueue | undefined;
  /** Fetched commands before this one, over the controller's life. */
  serial = 0;
  /** Outcome, once executed. */
  status = 0;
  result = 0;
  /** The next command that waits for the same completion queue. */
  next: NvmeCommand | undefined;

  constructor(readonly slot: number) {}

  get opcode(): number {
    return this.entry[SQE_OPCODE_CID] & 0xff;
  }

  /** The host's command identifier, 0..65535. */
  get cid(): number {
    return this.entry[SQE_OPCODE_CID] >>> 16;
  }
}
