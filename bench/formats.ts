// One table of the types that weights can have: how many bits a weight takes, what that costs (bench/quality.ts, for a model and for its outlier
// twin), and how fast it is (bench/tokens.ts).
import { readFileSync } from "node:fs";
import { node } from "../scripts/program.ts";
import { isRecipe, packedBytes, RECIPES, TARGET_TYPES, type WeightType } from "../src/engine/weight-types.ts";
import { isLarge, prepare } from "../src/model/recipes.ts";
import { platform } from "../src/platform/node.ts";
import { DTYPES } from "../src/weights/dtype.ts";
import { openWeights } from "../src/weights/open.ts";
import { list, options } from "./lib/options.ts";
import { type Cell, Report, type Results } from "./lib/report.ts";

const chosen = options(
  {
    weights: [...TARGET_TYPES, ...RECIPES].join(),
    model: "weights/stories-7m.q8_0.gguf",
    /** The twin that bench/outliers.ts makes of it, and a model to measure speed with; "none" leaves them out. */
    twin: "build/bench/twin.f16.gguf",
    speed: "build/bench/0.1B.f16.gguf",
    threads: "2",
    runs: "5",
    json: undefined as string | undefined,
  },
  { weights: [...TARGET_TYPES, ...RECIPES] },
);
/** Rows and columns that are a whole number of everything. */
const WHOLE = 256;

/** The last row of another benchmark's table, by the names of the columns. */
async function measured(file: string, args: string[]): Promise<(column: string) => Cell> {
  const json = "build/bench/formats.json";
  const { code, output } = await node("scripts/run.mjs", [file, ...args, "--json", json]);
  if (code !== 0) throw new Error(`${file} ${args.join(" ")} failed:\n${output}`);
  const { tables } = JSON.parse(readFileSync(json, "utf8")) as Results;
  const [{ columns, rows }] = tables;
  return (column) => rows.at(-1)![columns.indexOf(column)];
}

async function quality(model: string, weights: string): Promise<Cell[]> {
  if (model === "none") return ["-", "-"];
  const reference = ["--reference", chosen.model, "--model", model, "--weights", weights];
  const cell = await measured("bench/quality.ts", reference);
  return [cell("KL per token"), cell("same first choice %")];
}

async function speed(weights: string): Promise<Cell[]> {
  if (chosen.speed === "none") return ["-", "-"];
  const { threads, runs } = chosen;
  const args = ["--model", chosen.speed, "--weights", weights, "--threads", threads, "--runs", runs, "--tokens", "64"];
  const cell = await measured("bench/tokens.ts", args);
  return [cell("decode"), cell("prefill")];
}

/** Bits of a weight of the large matrices, in a file and in memory. */
async function bits(weights: string): Promise<Cell[]> {
  const inFile = (type: WeightType) => (type === "q7_0" ? Number.NaN : (DTYPES[type].bytes * 8) / DTYPES[type].values);
  const inMemory = (type: WeightType) => (packedBytes(type, WHOLE, WHOLE) * 8) / WHOLE ** 2;
  if (!isRecipe(weights)) {
    const type = weights as WeightType;
    return [inFile(type) || "-", inMemory(type)];
  }
  const source = await platform.open(chosen.speed === "none" ? chosen.model : chosen.speed);
  const file = await openWeights(source);
  const { typeOf } = prepare(file);
  let [count, stored, packed] = [0, 0, 0];
  for (const { name, shape } of file.tensors.values()) {
    if (!isLarge(name)) continue;
    const own = shape[0] * shape[1];
    count += own;
    stored += own * inFile(typeOf(name));
    packed += own * inMemory(typeOf(name));
  }
  await file.close();
  return [stored / count, packed / count];
}

const report = new Report("Formats", chosen.json);
const row = report.table(`${chosen.model}; speed: ${chosen.speed}, ${chosen.threads} threads`, [
  "weights",
  "bits, file",
  "bits, memory",
  "KL",
  "same %",
  "KL, twin",
  "same %, twin",
  "decode/s",
  "prefill/s",
]);
for (const weights of list(chosen.weights)) {
  row(
    weights,
    ...(await bits(weights)),
    ...(await quality(chosen.model, weights)),
    ...(await quality(chosen.twin, weights)),
    ...(await speed(weights)),
  );
}
report.end();
