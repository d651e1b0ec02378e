import type { GuestReport } from "../userspace/guest/guest.ts";

/** One thing a guest holds against its host. */
export interface Complaint {
  readonly detail: string;
  /** Guest-physical address. */
  readonly address: number | undefined;
}

/** What a guest's own books say is wrong. */
export function complaintsOf(report: GuestReport): Complaint[] {
  const lost = report.missing - report.missed;
  const rows: readonly (readonly [count: number, detail: string, address?: number | undefined])[] =
    [
      [report.crashed ? 1 : 0, "the guest crashed"],
      [lost, `${lost} packets lost that no full ring explains`],
      [report.corrupt, `${report.corrupt} packets damaged`],
      [report.canaryDamaged, `${report.canaryDamaged} memory canaries damaged`, report.firstDamage],
      [report.ioErrors, `${report.ioErrors} disk commands failed`],
      [report.ioCorrupt, `${report.ioCorrupt} disk blocks read back wrong`],
      [report.ioLost, `${report.ioLost} disk commands lost`],
      [report.ioRepeated + report.repeated, "a completion came twice"],
    ];
  return rows.filter(([count]) => count > 0)
    .map(([, detail, address]) => ({ detail, address }));
}
