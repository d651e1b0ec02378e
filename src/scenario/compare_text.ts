import { formatSize, formatTime, PAGE_SIZE } from "../base/units.ts";
import { COST_NS } from "../platform/cost_model.ts";
import type { CompareCase, CostRow } from "./compare.ts";
import type { Survival } from "./survival.ts";

const COLUMNS = [
  "design",
  "guest",
  "pages",
  "bytes handed over",
  "ioctls",
  "pages pinned",
  "tables allocated",
  "PTEs written",
  "PTEs compared",
  "table memory, peak",
  "modelled",
] as const;

function cells(row: CostRow): string[] {
  const { takingOver: c } = row;
  return [
    row.design,
    formatSize(row.guest),
    formatSize(row.page),
    String(row.handingOver.bytesSerialised),
    String(c.ioctls),
    String(c.pagesPinned),
    String(c.tablesAllocated),
    String(c.ptesWritten),
    String(c.ptesCompared),
    `${formatSize(c.tablesPeak * PAGE_SIZE)} of ${formatSize(row.tablesBefore * PAGE_SIZE)}`,
    formatTime(row.modelled),
  ];
}

/**
 * The question of seed lines 2976-2978 in one line: what comparing costs, against making the tables
 * that are compared with.
 */
export function answer(rows: readonly CostRow[], { guest, page }: CompareCase): string {
  const of = (design: string) =>
    rows.find((r) => r.design === design && r.guest === guest && r.page === page);
  const validated = of("redrive"), rebuilt = of("redrive-replace");
  if (validated === undefined || rebuilt === undefined) return "";
  const { ptesCompared } = validated.takingOver;
  const { ptesWritten, tablesAllocated } = rebuilt.takingOver;
  const compare = ptesCompared * COST_NS.pteCompared;
  const rebuild = ptesWritten * COST_NS.pteWritten + tablesAllocated * COST_NS.tableAllocated;
  return `${formatSize(guest)} in pages of ${
    formatSize(page)
  }: validation compares ${ptesCompared} ` +
    `pairs of entries, ${formatTime(compare)} modelled; rebuilding writes ${ptesWritten} entries ` +
    `into ${tablesAllocated} tables, ${
      formatTime(rebuild)
    } modelled. Validation comes on top: it ` +
    `needs the tables that it compares with.`;
}

function answers(rows: readonly CostRow[]): string[] {
  const seen = new Set<string>();
  return rows.flatMap((row) => {
    const line = answer(rows, row);
    if (line === "" || seen.has(line)) return [];
    seen.add(line);
    return [line];
  });
}

const MODELLED = "Counts are of what the kernels did. Modelled time is those counts times " +
  Object.entries(COST_NS).map(([what, ns]) => `${what} ${ns} ns`).join(", ") + ".";

/** The comparison as text in columns. */
export function compareText(rows: readonly CostRow[], survival: readonly Survival[]): string {
  const table = (lines: string[][]) => {
    const widths = lines[0].map((_, c) => Math.max(...lines.map((l) => l[c].length)));
    return lines.map((l) => l.map((text, c) => text.padEnd(widths[c])).join("  ").trimEnd());
  };
  return [
    ...table([[...COLUMNS], ...rows.map(cells)]),
    "",
    ...answers(rows),
    MODELLED,
    "",
    ...table(survivalTable(survival)),
  ].join("\n") + "\n";
}

/** The same in Markdown. */
export function compareMarkdown(rows: readonly CostRow[], survival: readonly Survival[]): string {
  const table = ([head, ...lines]: string[][]) => [
    `| ${head.join(" | ")} |`,
    `|${" --- |".repeat(head.length)}`,
    ...lines.map((line) => `| ${line.join(" | ")} |`),
  ];
  return [
    ...table([[...COLUMNS], ...rows.map(cells)]),
    "",
    ...answers(rows).map((line) => `- ${line}`),
    "",
    MODELLED,
    "",
    ...table(survivalTable(survival)),
  ].join("\n") + "\n";
}

function survivalTable(survival: readonly Survival[]): string[][] {
  const designs = [...new Set(survival.map((s) => s.design))];
  const failures = [...new Set(survival.map((s) => s.failure))];
  return [
    ["failure", ...designs],
    ...failures.map((failure) => [
      failure,
      ...designs.map((design) =>
        survival.find((s) => s.design === design && s.failure === failure)?.outcome ?? ""
      ),
    ]),
  ];
}

/** The same for programs. Times in nanoseconds, sizes in bytes. */
export function compareJson(rows: readonly CostRow[], survival: readonly Survival[]): string {
  const report = {
    format: "hitless.compare",
    version: 1,
    cost_ns: COST_NS,
    rows: rows.map((r) => ({
      design: r.design,
      guest: r.guest,
      page: r.page,
      bytes_serialised: r.handingOver.bytesSerialised,
      ioctls: r.takingOver.ioctls,
      pages_pinned: r.takingOver.pagesPinned,
      lookups: r.takingOver.lookups,
      tables_allocated: r.takingOver.tablesAllocated,
      ptes_written: r.takingOver.ptesWritten,
      ptes_compared: r.takingOver.ptesCompared,
      tables_before: r.tablesBefore,
      tables_peak: r.takingOver.tablesPeak,
      modelled_ns: r.modelled,
    })),
    answers: answers(rows),
    survival,
  };
  return JSON.stringify(report, null, 2) + "\n";
}
