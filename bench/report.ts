// Turns what benchmarks wrote with `--json` into one Markdown page: node scripts/run.mjs bench/report.ts a.json b.json > page.md
import { readFileSync } from "node:fs";
import { cell, type Machine, type Results, type Table } from "./lib/report.ts";

const files = process.argv.slice(2);
if (files.length === 0) throw new Error("usage: bench/report.ts RESULTS.json ...");

const markdown = ({ title, columns, rows }: Table): string =>
  [
    `### ${title}`,
    "",
    `| ${columns.join(" | ")} |`,
    `| ${columns.map((_, i) => (rows.every((row) => typeof row[i] === "number") ? "---:" : "---")).join(" | ")} |`,
    ...rows.map((row) => `| ${row.map(cell).join(" | ")} |`),
    "",
  ].join("\n");

const where = ({ cpu, cores, memoryGiB, runtime, platform, commit, date, load }: Machine): string =>
  `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}; ${runtime}; commit ${commit}, ${date}; load ${load} at the start.`;

for (const file of files) {
  const { benchmark, options, machine, tables } = JSON.parse(readFileSync(file, "utf8")) as Results;
  const shown = options.filter((option, i) => !/^--json/.test(option) && options[i - 1] !== "--json");
  console.log(`## ${benchmark}\n\n${where(machine)}${shown.length ? ` Options: \`${shown.join(" ")}\`.` : ""}\n`);
  for (const table of tables) console.log(markdown(table));
}
