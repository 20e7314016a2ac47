/** The picture of `rwkv lab sizes`: speed, memory and loading time by the number of parameters. */

import { lineCharts } from "./chart.ts";
import { machineText } from "./machine.ts";
import type { Report } from "./sizes.ts";

type Row = Report["rows"][number];

export function chartOf({ rows, machine, threads }: Report): string {
  const types = [...new Set(rows.map(({ type }) => type))];
  const panel = (title: string, unit: string, value: (row: Row) => number) => ({
    title,
    x: { name: "parameters", log: true },
    y: { name: unit, log: true },
    lines: types.map((type) => ({
      name: type,
      points: rows.filter((row) => row.type === type).map((row) => [row.parameters, value(row)] as const),
    })),
  });
  return lineCharts(
    [
      panel("Writing", "tokens per second", ({ decode }) => decode),
      panel("Reading", "tokens per second", ({ prefill }) => prefill),
      panel("Memory", "GiB", ({ memory }) => memory / 2 ** 30),
      panel("Loading", "seconds", ({ loadSeconds }) => loadSeconds),
    ],
    {
      title: "Which size for which job",
      note: `RWKV-7, ${threads} threads; ${machineText(machine)}`,
      across: 2,
    },
  );
}
