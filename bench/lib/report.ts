/** What a benchmark found out: tables, printed as they grow and written to a JSON file, from which `bench/report.ts` makes a page. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { type Machine as Here, machine as here } from "../../src/lab/machine.ts";

export type Cell = string | number;

export interface Table {
  title: string;
  columns: string[];
  rows: Cell[][];
}

/** Where and when figures were taken. */
export interface Machine extends Here {
  platform: string;
  commit: string;
  date: string;
  /** How busy the machine was when the benchmark began: programs that wanted to run, on average over a minute. */
  load: number;
}

export interface Results {
  benchmark: string;
  options: string[];
  machine: Machine;
  tables: Table[];
}

const WIDTH = 9;

/** Three digits that count, or all digits of a whole number. */
export function cell(value: Cell): string {
  if (typeof value === "string" || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 0.001) return value.toPrecision(3);
  return value.toExponential(2);
}

export class Report {
  readonly #benchmark: string;
  readonly #json: string | undefined;
  readonly #machine = machine();
  readonly #tables: Table[] = [];

  /** `json`: where `end` writes the results. */
  constructor(benchmark: string, json?: string) {
    this.#benchmark = benchmark;
    this.#json = json;
    const { cpu, cores, runtime, load } = this.#machine;
    console.log(`${benchmark}: ${cpu}, ${cores} cores, ${runtime}, load ${load}`);
    if (load > 0.5) console.log("The machine is busy: these figures will be too low.");
  }

  /** Begins a table; the answer takes its rows. */
  table(title: string, columns: string[]): (...row: Cell[]) => void {
    const table: Table = { title, columns, rows: [] };
    this.#tables.push(table);
    let widths: number[] | undefined;
    const print = (row: Cell[]) => {
      // The first column, of names, is to the left; the widths are those of the first row.
      widths ??= row.map((value, i) => Math.max(columns[i].length, cell(value).length + 2, i ? WIDTH : 12));
      const line = (cells: string[]) =>
        cells.map((text, i) => (i ? text.padStart(widths![i]) : text.padEnd(widths![i]))).join(" ");
      if (table.rows.length === 1) console.log(`\n${title}\n${line(columns)}`);
      console.log(line(row.map(cell)));
    };
    return (...row) => {
      table.rows.push(row);
      print(row);
    };
  }

  end(): void {
    if (!this.#json) return;
    const results: Results = {
      benchmark: this.#benchmark,
      options: process.argv.slice(2),
      machine: this.#machine,
      tables: this.#tables,
    };
    writeFileSync(this.#json, `${JSON.stringify(results, undefined, 1)}\n`);
    console.log(`\nWritten to ${this.#json}.`);
  }
}

function machine(): Machine {
  let commit = "unknown";
  try {
    commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8", stdio: "pipe" }).trim();
  } catch {
    // Not a checkout.
  }
  return {
    ...here(),
    platform: `${process.platform} ${process.arch}`,
    commit,
    date: new Date().toISOString().slice(0, 10),
    load: Math.round(loadavg()[0] * 100) / 100,
  };
}
