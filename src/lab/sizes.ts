/**
 * `rwkv lab sizes`: which size for which job. Memory, speed and loading time of RWKV-7 in the official sizes and some types on this machine,
 * with random weights, as speed does not depend on what the weights say. docs/lab/sizes.md is the user's side.
 */

import { mkdtemp, rm, statfs } from "node:fs/promises";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, type Given, listOf, numberOf, type Range } from "../cli/arguments.ts";
import { interruption } from "../cli/interrupt.ts";
import { threadsOf } from "../cli/model.ts";
import { reasonOf } from "../cli/system.ts";
import { columns } from "../cli/table.ts";
import { Progress } from "../cli/terminal.ts";
import { LIMIT } from "../engine/memory.ts";
import { Planner } from "../engine/planner.ts";
import { storedRow } from "../engine/weight-types.ts";
import { load } from "../index.ts";
import { configOf } from "../model/config.ts";
import { planOf } from "../model/plan.ts";
import { Tensors } from "../model/tensors.ts";
import { CONVERT_TYPES, type ConvertType } from "../model/to-gguf.ts";
import { platform } from "../platform/node.ts";
import { type Machine, machine, machineText } from "./machine.ts";
import { measure, type Speeds } from "./measure.ts";
import { digits } from "./numbers.ts";
import { earlierRuns, isNumber, outputArgs, outputOf, withArg } from "./output.ts";
import { SIZES, type SizeName, synthetic, WORLD } from "./synthetic.ts";
import { writeSynthetic } from "./synthetic-file.ts";

const NAME = "lab sizes";
const NAMES = Object.keys(SIZES) as SizeName[];
const TOKENS: Range = { low: 1, high: 100_000, integer: true };
const RUNS: Range = { low: 1, high: 100, integer: true };
export const sizes: Command = {
  meta: { name: NAME, description: "Which size for which job: memory, speed and loading time on this machine" },
  args: {
    sizes: {
      type: "string",
      valueHint: "list",
      default: NAMES.join(),
      description: `Some of ${NAMES.join(", ")}, with commas between them`,
    },
    types: {
      type: "string",
      valueHint: "list",
      default: "q8_0,q4_0,f16",
      description: `Types of weights, some of ${CONVERT_TYPES.join(", ")}`,
    },
    threads: { type: "string", valueHint: "n", default: "auto", description: "auto, or an integer from 0 to 64" },
    prompt: { type: "string", valueHint: "n", default: "128", description: "Tokens to read" },
    tokens: { type: "string", valueHint: "n", default: "24", description: "Tokens to write" },
    runs: { type: "string", valueHint: "n", default: "3", description: "How often each is measured" },
    folder: {
      type: "string",
      valueHint: "folder",
      description: "Where a file is written for each, one at a time (default: the system's folder for temporary files)",
    },
    with: withArg,
    ...outputArgs,
  },
  run,
};

interface Row extends Omit<Speeds, "threads" | "build"> {
  size: SizeName;
  type: ConvertType;
}

export interface Report {
  experiment: "sizes";
  machine: Machine;
  threads: number;
  build: string;
  prompt: number;
  tokens: number;
  runs: number;
  rows: Row[];
  leftOut: { size: SizeName; type: ConvertType; why: string }[];
}

async function run(given: Given): Promise<void> {
  const { values } = given;
  const number = (option: string, range: Range) => numberOf(NAME, option, values[option]!, range);
  const names = listOf(NAME, "sizes", values.sizes!, NAMES);
  const types = listOf(NAME, "types", values.types!, CONVERT_TYPES);
  const threads = threadsOf(values.threads!, NAME);
  const [prompt, tokens, runs] = [number("prompt", TOKENS), number("tokens", TOKENS), number("runs", RUNS)];
  const earlier = await earlierRuns<Report>(
    "sizes",
    given.lists.with,
    ({ rows }) => Array.isArray(rows) && rows.every(isRow),
  );
  const output = await outputOf(given);
  const signal = interruption();
  const folder = await mkdtemp(join(values.folder ?? tmpdir(), "rwkv-lab-")).catch((cause) => {
    throw new Error(`no file can be written in ${values.folder ?? tmpdir()}: ${reasonOf(cause)}`, { cause });
  });
  const report: Report = {
    experiment: "sizes",
    machine: machine(),
    threads: 0,
    build: "",
    prompt,
    tokens,
    runs,
    rows: [],
    leftOut: [],
  };
  const progress = new Progress("Measuring");
  const all = names.flatMap((size) => types.map((type) => ({ size, type })));
  try {
    for (const [loaded, { size, type }] of all.entries()) {
      progress.update({ loaded, total: all.length });
      const why = await obstacle(size, type, folder);
      if (why) {
        report.leftOut.push({ size, type, why });
        continue;
      }
      const path = join(folder, `${size}.${type}.gguf`);
      try {
        const [kernels, vocabulary] = [await platform.kernels("plain"), await platform.worldVocabulary()];
        await writeSynthetic(path, size, SIZES[size], type, { kernels, vocabulary, signal });
        const { threads: ranks, build, ...row } = await measure(load, path, { threads, prompt, tokens, runs, signal });
        Object.assign(report, { threads: ranks, build });
        report.rows.push({ size, type, ...row });
      } finally {
        await rm(path, { force: true });
      }
    }
  } finally {
    progress.end();
    await rm(folder, { recursive: true, force: true });
  }
  addTo(report, earlier);
  await output({
    lines: linesOf(report),
    json: report,
    svg: async () => (await import("./sizes-chart.ts")).chartOf(report),
  });
}

function isRow(row: Partial<Row> | null): boolean {
  const { file, memory, state, parameters, loadSeconds, prefill, decode } = row ?? {};
  return (
    NAMES.some((name) => name === row?.size) &&
    CONVERT_TYPES.some((type) => type === row?.type) &&
    [file, memory, state, parameters, loadSeconds, prefill, decode].every(isNumber)
  );
}

/** Puts the rows of earlier runs into a report; of what was measured twice its own count. */
function addTo(report: Report, earlier: readonly Report[]): void {
  for (const { threads, build, prompt, tokens } of earlier) {
    if (report.rows.length === 0) Object.assign(report, { threads, build });
    if (threads !== report.threads || prompt !== report.prompt || tokens !== report.tokens)
      throw new Error(
        `what --with gives was measured with ${threads} threads, ${prompt} and ${tokens} tokens, this with ${report.threads}, ${report.prompt} and ${report.tokens}`,
      );
  }
  const rows = new Map<string, Row>();
  for (const row of [...earlier.flatMap(({ rows }) => rows), ...report.rows]) rows.set(`${row.size} ${row.type}`, row);
  const types = [...rows.values()].map(({ type }) => type);
  report.rows = [...rows.values()].sort(
    (a, b) => NAMES.indexOf(a.size) - NAMES.indexOf(b.size) || types.indexOf(a.type) - types.indexOf(b.type),
  );
}

/** Why a model cannot be measured here, if it cannot. */
async function obstacle(size: SizeName, type: ConvertType, folder: string): Promise<string | undefined> {
  const { file, memory } = await needed(size, type);
  const { bavail, bsize } = await statfs(folder);
  const [disk, free] = [bavail * bsize, freemem()];
  if (memory > LIMIT) return `${gib(memory)} of memory are more than WebAssembly can address`;
  if (memory * 1.1 > free) return `it takes ${gib(memory)} of memory, and ${gib(free)} are free`;
  if (file * 1.1 > disk) return `its file takes ${gib(file)}, and ${gib(disk)} are free in ${folder}`;
  return undefined;
}

/** Bytes of the file and of memory, roughly: found by planning, without making a single weight. */
async function needed(size: SizeName, type: ConvertType): Promise<{ file: number; memory: number }> {
  const { width } = SIZES[size];
  const model = synthetic("7", { ...SIZES[size], vocab: WORLD }, size);
  const planner = new Planner({ rows: 64, ranks: 1, sessions: 32, limit: Number.POSITIVE_INFINITY });
  const { bytes } = await planOf(configOf(model), new Tensors(model, planner, type), planner);
  // The table of embeddings is planned as it is in the file that is nowhere.
  const row = storedRow(type, width);
  const parameters = [...model.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes / 2, 0);
  return { file: (parameters / width) * row, memory: bytes + WORLD * (row - width * 2) };
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

function linesOf({ machine: where, threads, prompt, tokens, runs, rows, leftOut }: Report): string[] {
  const head = ["size", "weights", "parameters", "file", "memory", "loading", "reads", "writes", "a state"];
  const cells = rows.map((row) => [
    row.size,
    row.type,
    `${(row.parameters / 1e9).toFixed(2)} B`,
    gib(row.file),
    gib(row.memory),
    `${digits(row.loadSeconds)} s`,
    `${digits(row.prefill)}/s`,
    `${digits(row.decode)}/s`,
    `${(row.state / 2 ** 20).toFixed(2)} MiB`,
  ]);
  return [
    `RWKV-7 with random weights, ${threads} thread${threads === 1 ? "" : "s"}`,
    machineText(where),
    `Tokens per second: reading ${prompt}, writing ${tokens}, the median of ${runs}; loading from a file that was just written`,
    "",
    ...columns([head, ...cells], [0, 1]),
    ...(leftOut.length > 0 ? [""] : []),
    ...leftOut.map(({ size, type, why }) => `left out: ${size} in ${type}: ${why}`),
  ];
}
