/** How far an NVMe driver has come. */
export const enum Stage {
  off = 0,
  identify,
  setFeatures,
  createCq,
  createSq,
  running,
  failed,
}

/** Words of an NVMe driver's state page. Wide ones take two. */
export const enum Word {
  bar = 2,
  memory = 4,
  iovaBase = 6,
  depth = 8,
  maxPages,
  seed,
  firstLba,
  stage,
  adminTail,
  adminHead,
  adminPhase,
  sqTail,
  cqHead,
  cqPhase,
  nextSerial,
  issued,
  completed,
  errors,
  corrupt,
  lost,
  repeated,
  lastStatus,
  /** Polls in a row that brought nothing although commands are in flight. */
  quiet,
  /** The slot looked at next for a command that went missing. */
  watch,
  corruptSerial,
  corruptGpa = 30,
  /** Slots, {@link SLOT_WORDS} each. */
  slots = 128,
}

export const SLOT_WORDS = 8;

/** Words of one slot. */
export const enum Slot {
  cid = 0,
  kind,
  lba,
  pages,
  /** Serial number of the write whose pattern the slot's blocks hold. */
  writeSerial,
  /** Commands completed when this one was issued. */
  issuedAt,
  lost,
}

/** What a slot's command does. */
export const enum Kind {
  idle = 0,
  write,
  read,
}
