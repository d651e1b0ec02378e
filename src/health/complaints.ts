import type { GuestReport } from "../userspace/guest/guest.ts";

/** One thing a guest holds against its host. */
export interface Complaint {
  readonly detail: string;
  /** Guest-physical address. */
  readonly address: number | undefined;
}

/** What a guest has lost because somebody had told its VMM to take its memory from its devices. */
export interface Excuse {
  /** As many packets could not be delivered. */
  readonly packets: number;
  /** Of a disk, what it had in flight. */
  readonly disks: boolean;
}

const NONE: Excuse = { packets: 0, disks: false };

/** What a guest's own books say is wrong. */
export function complaintsOf(report: GuestReport, excuse = NONE): Complaint[] {
  const lost = report.missing - report.missed - excuse.packets;
  const [errors, unanswered] = excuse.disks ? [0, 0] : [report.ioErrors, report.ioLost];
  const rows: readonly (readonly [count: number, detail: string, address?: number | undefined])[] =
    [
      [report.crashed ? 1 : 0, "the guest crashed"],
      [lost, `${lost} packets lost that no full ring explains`],
      [report.corrupt, `${report.corrupt} packets damaged`],
      [report.canaryDamaged, `${report.canaryDamaged} memory canaries damaged`, report.firstDamage],
      [errors, `${errors} disk commands failed`],
      [report.ioCorrupt, `${report.ioCorrupt} disk blocks read back wrong`],
      [unanswered, `${unanswered} disk commands lost`],
      [report.ioRepeated + report.repeated, "a completion came twice"],
    ];
  return rows.filter(([count]) => count > 0)
    .map(([, detail, address]) => ({ detail, address }));
}
