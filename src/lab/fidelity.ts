/** `rwkv lab fidelity`: how far logits are from those of a float64 reference, by version, container, weight type and runtime; and those of others. */

import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hex8, xxhash32 } from "../bytes/hash.ts";
import { type Command, type Given, numberOf, type Range, rangeText, UsageError } from "../cli/arguments.ts";
import { isObject, readInput } from "../cli/input.ts";
import { interruption } from "../cli/interrupt.ts";
import { weightsOf } from "../cli/model.ts";
import { reasonOf } from "../cli/system.ts";
import { columns } from "../cli/table.ts";
import { Progress } from "../cli/terminal.ts";
import type { ConvertOptions } from "../index.ts";
import { platform } from "../platform/node.ts";
import { lineCharts } from "./chart.ts";
import { type Distance, distanceOf } from "./distance.ts";
import { machine } from "./machine.ts";
import { digits } from "./numbers.ts";
import { randomCheckpoint, safetensorsOf, VERSIONS } from "./official.ts";
import { type Opened, openModel } from "./opened.ts";
import { outputArgs, outputOf } from "./output.ts";
import { Reference } from "./reference.ts";

const NAME = "lab fidelity";
const TOKENS: Range = { low: 2, high: 4096, integer: true };
/** Models that are written here: small, but with all parts, and heads of the size that all RWKV have. */
const SIZES = { layers: 2, heads: 2, size: 64, ffn: 256, vocab: 260 };
const SEED = 7;
const JSON_BYTES = 64 << 20;
/** Which files the written models become, and what their matrices are in them. */
const SAFETENSORS = ["f32", "bf16", "f16"] as const;
const GGUF = ["f32", "f16", "q8_0", "q4_0"] as const;
/** What the matrices become while the f32 file is loaded. */
const LOADED = ["q8_0", "q7_0", "q5_1", "q4_0", "q4_mix"] as const;
/** In the folder of `--keep`: which tokens belong to which model. */
const TOKENS_FILE = "tokens.json";

export const fidelity: Command = {
  meta: { name: NAME, description: "How far logits are from those of a float64 reference" },
  args: {
    model: {
      type: "string",
      valueHint: "file",
      multiple: true,
      description:
        "A model to measure; may be given several times (default: small models of all versions, written here)",
    },
    reference: {
      type: "string",
      valueHint: "file",
      description: "What they are compared with: the numbers of this file (default: of the model itself)",
    },
    weights: { type: "string", valueHint: "type", description: "Convert the matrices of --model while loading" },
    tokens: {
      type: "string",
      valueHint: "n",
      default: "64",
      description: `How long the text is that the model writes and is compared on: ${rangeText(TOKENS)}`,
    },
    keep: {
      type: "string",
      valueHint: "folder",
      description: "Keep the written models there; logits of other programs that lie beside them are measured too",
    },
    merge: {
      type: "string",
      valueHint: "file",
      multiple: true,
      description: "Instead of measuring, show what other runs wrote with --json; may be given several times",
    },
    ...outputArgs,
  },
  run: measure,
};

interface Row extends Distance {
  model: string;
  version: string;
  container: string;
  weights: string;
  /** This program in a runtime, or another program. */
  by: string;
  /** Of all logits' bits; absent for other programs. */
  hash?: string;
}

async function measure(given: Given): Promise<void> {
  const { values, lists } = given;
  const tokens = numberOf(NAME, "tokens", values.tokens!, TOKENS);
  const weights = weightsOf(NAME, values.weights);
  if ((weights ?? values.reference) !== undefined && !lists.model)
    throw new UsageError("--weights and --reference need --model", NAME);
  if (lists.model && values.keep !== undefined)
    throw new UsageError("--keep is for the models that are written here, not for --model", NAME);
  if (lists.merge && (lists.model || values.keep !== undefined))
    throw new UsageError("--merge measures nothing, so it takes no --model and no --keep", NAME);
  const put = await outputOf(given);
  if (lists.merge) {
    const rows = (await Promise.all(lists.merge.map(rowsIn))).flat();
    return await put(findingsOf(rows));
  }
  const signal = interruption();
  const progress = new Progress("Comparing");
  try {
    const rows = lists.model
      ? await ofFiles(lists.model, values.reference, weights, tokens, signal)
      : await ofWritten(tokens, values.keep, signal, progress.update);
    progress.end();
    await put(findingsOf(rows));
  } finally {
    progress.end();
  }
}

async function ofFiles(
  files: readonly string[],
  reference: string | undefined,
  weights: ReturnType<typeof weightsOf>,
  count: number,
  signal: AbortSignal,
): Promise<Row[]> {
  const { load } = await import("../index.ts");
  const rows: Row[] = [];
  for (const file of files) {
    const original = reference ?? file;
    // Its own numbers write the text, so that it is the same for all types.
    const writer = await load(original, { signal });
    const start = writer.info.tokenizer.startsWith("none") ? 0 : (writer.tokenizer.bos ?? 0);
    const ids = [start, ...(await writtenBy(writer, start, count - 1, signal).finally(() => writer.close()))];
    const model = await load(file, { weights, signal });
    try {
      const opened = await openModel(platform, original, signal);
      if (opened.config.vocab !== model.info.vocab)
        throw new Error(`${reference} and ${file} have different vocabularies`);
      const wanted = await referenceRows(opened, ids, signal);
      const found = await model.forward(ids, undefined, { signal });
      const type = weights ?? Object.keys(model.info.weights).filter((one) => one !== "f32")[0] ?? "f32";
      rows.push(rowOf(model.info, type, found, wanted, ids));
    } finally {
      await model.close();
    }
  }
  return rows;
}

type Loaded = Awaited<ReturnType<typeof import("../index.ts").load>>;

/** Tokens that the model draws: the same in every runtime. */
async function writtenBy(model: Loaded, start: number, count: number, signal: AbortSignal): Promise<number[]> {
  const ids: number[] = [];
  const options = { maxTokens: count, seed: SEED, temperature: 1, stopTokens: [], signal };
  for await (const part of model.generate([start], options)) ids.push(part.token);
  return ids;
}

async function referenceRows(
  { weights, config }: Opened,
  ids: readonly number[],
  signal: AbortSignal,
): Promise<Float64Array[]> {
  const reference = new Reference(weights, config);
  const rows: Float64Array[] = [];
  for (const id of ids) {
    rows.push(reference.step(id));
    if (rows.length % 16 === 0) await platform.breathe();
    signal.throwIfAborted();
  }
  return rows;
}

function rowOf(
  { name, version, container }: Loaded["info"],
  weights: string,
  found: readonly Float32Array[],
  wanted: readonly Float64Array[],
  ids: readonly number[],
): Row {
  const bytes = new Uint8Array(found.length * found[0].length * 4);
  found.forEach((row, t) => {
    bytes.set(new Uint8Array(row.buffer, row.byteOffset, row.byteLength), t * row.byteLength);
  });
  const by = `rwkv-wasm, ${machine().runtime}`;
  return {
    model: name,
    version,
    container,
    weights,
    by,
    ...distanceOf(found, wanted, ids),
    hash: hex8(xxhash32(bytes)),
  };
}

/** All versions, in all containers and types that are written here. */
async function ofWritten(
  count: number,
  folder: string | undefined,
  signal: AbortSignal,
  onProgress: (progress: { loaded: number; total: number }) => void,
): Promise<Row[]> {
  const { load, convert } = await import("../index.ts");
  const rows: Row[] = [];
  const kept: Record<string, number[]> = {};
  if (folder !== undefined) await makeFolder(folder);
  const keep = async (name: string, bytes: Uint8Array, ids: number[]) => {
    if (folder === undefined) return;
    await writeFile(join(folder, name), bytes);
    kept[name] = ids;
  };
  for (const [i, version] of VERSIONS.entries()) {
    const original = await safetensorsOf(randomCheckpoint({ version, ...SIZES }, SEED));
    const opened = await openModel(platform, original, signal);
    let ids: number[] = [];
    let wanted: Float64Array[] = [];
    const compare = async (
      name: string,
      bytes: Uint8Array<ArrayBuffer>,
      label: string,
      weights?: (typeof LOADED)[number],
    ) => {
      const model = await load(bytes, { weights, threads: 2, signal });
      try {
        if (ids.length === 0) {
          ids = [1, ...(await writtenBy(model, 1, count - 1, signal))];
          wanted = await referenceRows(opened, ids, signal);
        }
        const found = await model.forward(ids, undefined, { signal });
        rows.push({ ...rowOf(model.info, label, found, wanted, ids), model: `random ${version}` });
      } finally {
        await model.close();
      }
      if (weights === undefined) await keep(name, bytes, ids);
    };
    for (const type of SAFETENSORS) {
      const bytes = type === "f32" ? original : await converted(convert, original, { container: "safetensors", type });
      await compare(`v${version}.${type}.safetensors`, bytes, type);
    }
    for (const type of version === "6" || version === "7" ? GGUF : []) {
      const bytes = await converted(convert, original, { container: "gguf", type, vocabulary: "bytes" });
      await compare(`v${version}.${type}.gguf`, bytes, type);
    }
    for (const type of LOADED) await compare("", original, `→ ${type}`, type);
    if (folder !== undefined) rows.push(...(await ofOthers(folder, version, wanted, ids)));
    onProgress({ loaded: i + 1, total: VERSIONS.length });
  }
  if (folder !== undefined) await writeFile(join(folder, TOKENS_FILE), `${JSON.stringify(kept)}\n`);
  return rows;
}

/** Not with the folders above it: for those Node tries for ever where the system has none to make. */
async function makeFolder(path: string): Promise<void> {
  if ((await stat(path).catch(() => undefined))?.isDirectory()) return;
  await mkdir(path).catch((cause) => {
    throw new Error(`cannot make the folder ${path}: ${reasonOf(cause)}`, { cause });
  });
}

async function converted(
  convert: typeof import("../index.ts").convert,
  from: Uint8Array<ArrayBuffer>,
  options: ConvertOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  await convert(from, { write: async (bytes) => void parts.push(bytes.slice()) }, options);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Logits that other programs left beside the models: `v7.f32.gguf.PROGRAM.logits`, f32, all numbers of a token after those of the one before. */
async function ofOthers(
  folder: string,
  version: string,
  wanted: readonly Float64Array[],
  ids: readonly number[],
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of (await readdir(folder)).sort()) {
    if (!name.startsWith(`v${version}.`)) continue;
    const [, weights, container, by] = /^(\w+)\.(\w+)\.(.+)\.logits$/.exec(name.slice(version.length + 2)) ?? [];
    if (!weights || !container || !by) continue;
    const size = wanted[0].length;
    const path = join(folder, name);
    if ((await stat(path)).size !== ids.length * size * 4)
      throw new Error(`${path} has not ${ids.length} x ${size} f32: it belongs to another text or model; delete it`);
    const bytes = await readFile(path);
    const numbers = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const found = ids.map((_, t) => numbers.subarray(t * size, (t + 1) * size));
    rows.push({ model: `random ${version}`, version, container, weights, by, ...distanceOf(found, wanted, ids) });
  }
  return rows;
}

const TEXTS = ["model", "version", "container", "weights", "by"];
const NUMBERS = ["logits", "kl", "worstKl", "top1", "perplexity", "referencePerplexity"];

const isRow = (row: unknown): row is Row =>
  isObject(row) &&
  TEXTS.every((name) => typeof row[name] === "string") &&
  NUMBERS.every((name) => typeof row[name] === "number");

async function rowsIn(path: string): Promise<Row[]> {
  const bytes = await readInput(path, "the findings", JSON_BYTES);
  try {
    // What is not a number is null in JSON.
    const json: unknown = JSON.parse(new TextDecoder().decode(bytes), (_, value) => value ?? Number.NaN);
    if (isObject(json) && Array.isArray(json.rows) && json.rows.length > 0 && json.rows.every(isRow)) return json.rows;
  } catch {
    // Said below.
  }
  throw new Error(`${path} is not what rwkv lab fidelity --json writes`);
}

/** Rows of which only the runtime differs, and not one bit of the logits, are one line. */
function merged(rows: readonly Row[]): (Row & { runtimes: string[] })[] {
  const lines = new Map<string, Row & { runtimes: string[] }>();
  for (const row of rows) {
    const { model, container, weights, by, hash } = row;
    const key = JSON.stringify([model, container, weights, hash ?? by]);
    const line = lines.get(key) ?? { ...row, runtimes: [] };
    if (!line.runtimes.includes(by)) line.runtimes.push(by);
    lines.set(key, line);
  }
  return [...lines.values()];
}

function findingsOf(rows: readonly Row[]) {
  const lines = merged(rows);
  const own = "rwkv-wasm, ";
  const table = lines.map(
    ({ model, version, container, weights, logits, kl, top1, perplexity, referencePerplexity, runtimes }) => [
      version,
      model,
      container,
      weights,
      digits(logits),
      digits(Math.max(0, kl)),
      `${(top1 * 100).toFixed(1)} %`,
      `${perplexity.toFixed(3)} / ${referencePerplexity.toFixed(3)}`,
      runtimes.length > 1 && runtimes[0].startsWith(own)
        ? `${own}${runtimes.map((one) => one.slice(own.length)).join(" = ")}`
        : runtimes.join(", "),
    ],
  );
  const head = [
    "version",
    "model",
    "container",
    "weights",
    "Δ logit / σ",
    "KL",
    "top 1",
    "perplexity / reference's",
    "by",
  ];
  // The chart is of one container, and of floats of one type: the others are the same.
  const drawn = lines.filter(
    ({ container, weights, runtimes }) =>
      container === lines[0].container && !["bf16", "f16"].includes(weights) && runtimes[0].startsWith(own),
  );
  const kinds = [...new Set(drawn.map(({ weights }) => weights))];
  const versions = [...new Set(lines.map(({ version }) => version))];
  return {
    lines: columns([head, ...table], [0, 1, 2, 3, 8]),
    json: { rows },
    svg: () =>
      lineCharts(
        [
          {
            title: `By version: ${versions.join(", ")}`,
            x: { name: "version", min: 4, max: 7 },
            y: { name: "nats per token", log: true },
            lines: kinds.map((name) => ({
              name,
              points: drawn
                .filter((row) => row.weights === name)
                .map((row): [number, number] => [Number(row.version), row.kl]),
            })),
          },
        ],
        { title: "KL divergence from the float64 reference", width: 720, height: 420 },
      ),
  };
}
