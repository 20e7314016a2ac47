// Turns what benchmarks wrote with `--json` into Markdown: a page of all of it, or README.md's table of what bench/peers.ts found.
//
//   node scripts/run.mjs bench/report.ts a.json b.json > page.md
//   node scripts/run.mjs bench/report.ts --summary peers.json
import { readFileSync } from "node:fs";
import { refuse } from "./lib/options.ts";
import { type Cell, cell, type Machine, type Results, type Table } from "./lib/report.ts";

const summary = process.argv[2] === "--summary";
const files = process.argv.slice(summary ? 3 : 2);
if (files.length === 0) refuse("usage: bench/report.ts [--summary] RESULTS.json ...");

function read(file: string): Results {
  try {
    const results = JSON.parse(readFileSync(file, "utf8")) as Results;
    if (Array.isArray(results.tables)) return results;
  } catch (error) {
    refuse(`${file} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  refuse(`${file} holds no results of a benchmark`);
}

const markdown = ({ columns, rows }: Omit<Table, "title">): string =>
  [
    `| ${columns.join(" | ")} |`,
    `| ${columns.map((_, i) => (rows.every((row) => typeof row[i] === "number") ? "---:" : "---")).join(" | ")} |`,
    ...rows.map((row) => `| ${row.map(cell).join(" | ")} |`),
    "",
  ].join("\n");

const where = ({ cpu, cores, memoryGiB, runtime, platform, commit, date, load }: Machine): string =>
  `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}; ${runtime}; commit ${commit}, ${date}; load ${load} at the start.`;

/** Of each peer and size, with q8_0 on both sides: each side with the number of threads that it is quicker with. */
function summaryOf(tables: readonly Table[]): Table["rows"] {
  const best = new Map<string, Map<string, number>>();
  for (const { columns, rows } of tables) {
    const at = (row: Cell[], column: string) => row[columns.indexOf(column)];
    for (const row of rows) {
      if (at(row, "ours") !== "q8_0") continue;
      const key = `${at(row, "peer")}\t${at(row, "size")}`;
      const rates = best.get(key) ?? new Map<string, number>();
      best.set(key, rates);
      for (const side of ["this", "peer's"]) {
        const name = `${at(row, "work")} ${side}`;
        rates.set(name, Math.max(rates.get(name) ?? 0, Number(at(row, side))));
      }
    }
  }
  return [...best].map(([key, rates]) => [
    ...key.split("\t"),
    ...["prefill this", "prefill peer's", "decode this", "decode peer's"].map((name) => rates.get(name) ?? Number.NaN),
  ]);
}

const all = files.map(read);
if (summary) {
  const rows = summaryOf(all.flatMap(({ tables }) => tables.filter(({ columns }) => columns.includes("peer"))));
  if (rows.length === 0) refuse(`none of ${files.join(", ")} was written by bench/peers.ts`);
  console.log(markdown({ columns: ["beside", "size", "reads: here", "there", "writes: here", "there"], rows }));
} else {
  for (const { benchmark, options, machine, tables } of all) {
    const shown = options.filter((option, i) => !/^--json/.test(option) && options[i - 1] !== "--json");
    console.log(`## ${benchmark}\n\n${where(machine)}${shown.length ? ` Options: \`${shown.join(" ")}\`.` : ""}\n`);
    for (const table of tables) console.log(`### ${table.title}\n\n${markdown(table)}`);
  }
}
