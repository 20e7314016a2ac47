// Equalising: columns become equally large, and the function stays the same, in every version.
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { Equalizer } from "../../src/model/equalize.ts";
import type { Source } from "../../src/types.ts";
import { openWeights } from "../../src/weights/open.ts";
import { open } from "../engine/setup.ts";
import { refused } from "../refused.ts";
import { numbers, type Official, officialTensors, turned } from "../weights/numbers.ts";
import { type Part, safetensorsOf } from "./tuned.ts";

const kernels = new WebAssembly.Module(readFileSync("dist/kernels/plain.wasm"));
const VERSIONS = ["4", "5.0", "5.1", "5.2", "6", "7"];
const PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];

const fileOf = (tensors: readonly Official[]) => safetensorsOf(tensors.map((one): Part => ({ ...one, kept: "Float" })));
const opened = (tensors: readonly Official[]) => openWeights(bytesSource("model.safetensors", fileOf(tensors)));

async function measured(tensors: readonly Official[]) {
  const file = await opened(tensors);
  const equalizer = new Equalizer(file);
  let read = 0;
  await equalizer.measure(kernels, (bytes) => {
    read += bytes;
  });
  assert.is(read, equalizer.bytes);
  return { file, equalizer };
}

/** The model with its tensors multiplied, as the factors say, and what they are then as (outputs, inputs). */
async function equalised(tensors: readonly Official[]) {
  const { file, equalizer } = await measured(tensors);
  const scaled = new Map<string, Float32Array>();
  const changed = await Promise.all(
    tensors.map(async (one): Promise<Official> => {
      const tensor = file.tensors.get(one.name)!;
      const columns = tensor.shape.at(-1)!;
      const { columns: byColumns, rows: byRows } = equalizer.scalingOf(one.name) ?? {};
      const x = (await numbers(tensor)).map(
        (v, i) => v * (byColumns?.[i % columns] ?? 1) * (byRows?.[Math.floor(i / columns)] ?? 1),
      );
      scaled.set(one.name, x);
      const shape = tensor.shape.slice(-2);
      return { ...one, values: tensor.transposed ? turned(x, [shape[1]!, shape[0]!]) : x };
    }),
  );
  return { changed, scaled, file, equalizer };
}

/** Roots of the mean squares of the columns of several matrices. */
function columnSizes(matrices: readonly Float32Array[], columns: number): Float64Array {
  const sums = new Float64Array(columns);
  for (const x of matrices) for (let i = 0; i < x.length; i++) sums[i % columns]! += x[i]! ** 2;
  const rows = matrices.reduce((sum, { length }) => sum + length, 0) / columns;
  return sums.map((sum) => Math.sqrt(sum / rows));
}

const spread = (sizes: Float64Array) => Math.max(...sizes) / Math.min(...sizes);

async function logitsOf(tensors: readonly Official[]) {
  const model = await open({ threads: 0, weights: "f32" }, fileOf(tensors));
  const logits = await model.forward(PROMPT);
  await model.close();
  return logits;
}

for (const version of VERSIONS)
  test(`RWKV-${version}: columns are equally large, and logits what they were`, async () => {
    const tensors = await officialTensors(version);
    const { changed, scaled, file } = await equalised(tensors);
    const before = await logitsOf(tensors);
    const after = await logitsOf(changed);
    const off = Math.max(...before.flatMap((row, t) => Array.from(row, (x, i) => Math.abs(x - after[t]![i]!))));
    assert.ok(off <= 5e-5, `logits are off by ${off}`);

    const [inputs, inner] = [
      file.tensors.get("emb.weight")!.shape[1]!,
      file.tensors.get("blocks.0.ffn.key.weight")!.shape[0]!,
    ];
    const present = (names: string[]) => names.filter((name) => scaled.has(name)).map((name) => scaled.get(name)!);
    const even = (names: string[], columns: number) => {
      const ratio = spread(columnSizes(present(names), columns));
      assert.ok(ratio < 1.0001, `${names.join(", ")}: ${ratio}`);
    };
    for (const i of [0, 1]) {
      const att = `blocks.${i}.att.`;
      even(
        ["receptance", "key", "value", "gate"].map((name) => `${att}${name}.weight`),
        inputs,
      );
      even([`blocks.${i}.ffn.value.weight`], inner);
    }
    even(["head.weight"], inputs);
    // The factors of the channel mixing were found before its rows were multiplied; without that its columns are even too.
    const { equalizer } = await measured(changed);
    for (const factor of equalizer.scalingOf("ln_out.weight")!.columns!) assert.ok(Math.abs(factor - 1) < 1e-4);
  });

test("every low-rank map that reads a norm follows it, and nothing else is touched", async () => {
  const followers: Record<string, RegExp> = {
    "4": /^$/,
    "6": /\.att\.(time_maa_w1|time_decay_w1)$/,
    "7": /\.att\.[wag]1$|\.1\.att\.v1$/,
  };
  const touched = /\.(ln1|ln2)\.|^ln_out\.|\.(receptance|key|value|gate)\.weight$|^head\.weight$/;
  for (const [version, small] of Object.entries(followers)) {
    const { file, equalizer } = await measured(await officialTensors(version));
    for (const name of file.tensors.keys()) {
      const expected = touched.test(name) || small.test(name);
      assert.is(equalizer.scalingOf(name) !== undefined, expected, `${version}: ${name}`);
    }
  }
});

test("columns of nothing, of infinities and of next to nothing", async () => {
  const tensors = await officialTensors("7");
  const value = tensors.find(({ name }) => name === "blocks.0.ffn.value.weight")!;
  const [, columns] = value.shape as [number, number];
  value.values = value.values.map((x, i) => (i % columns === 0 ? 0 : i % columns === 1 ? x * 1e-9 : x));
  const output = tensors.find(({ name }) => name === "blocks.1.ffn.value.weight")!;
  output.values = output.values.map((x, i) => (i === 5 ? Number.POSITIVE_INFINITY : x));
  const { equalizer } = await measured(tensors);
  const factors = equalizer.scalingOf("blocks.0.ffn.value.weight")!.columns!;
  assert.is(factors[0], 1);
  assert.is(factors[1], 256);
  // What is wrong with the matrix is said when it is loaded.
  assert.ok(equalizer.scalingOf("blocks.1.ffn.value.weight")!.columns!.every((factor) => factor === 1));
});

test("a head that is the embedding; matrices that lie column by column", async () => {
  const tensors = (await officialTensors("5.2")).filter(({ name }) => name !== "head.weight");
  const { file, equalizer } = await measured(tensors);
  const embedding = await numbers(file.tensors.get("emb.weight")!);
  const factors = equalizer.scalingOf("head.weight")!.columns!;
  assert.is(equalizer.scalingOf("emb.weight"), undefined);
  const scaled = embedding.map((x, i) => x * factors[i % factors.length]!);
  assert.ok(spread(columnSizes([scaled], factors.length)) < 1.0001);

  const [plain, turnedFile] = [await opened(tensors), await opened(tensors)];
  const name = "blocks.0.ffn.value.weight";
  const own = turnedFile.tensors.get(name)!;
  const [rows, columns] = own.shape as [number, number];
  const values = turned(await numbers(own), [columns, rows]);
  const source: Source = bytesSource("turned", new Uint8Array(values.buffer));
  const found = new Map(turnedFile.tensors).set(name, { ...own, transposed: true, source, offset: 0 });
  const [a, b] = [new Equalizer(plain), new Equalizer({ ...turnedFile, tensors: found })];
  for (const equalizer of [a, b]) await equalizer.measure(kernels, () => {});
  assert.equal(b.scalingOf(name), a.scalingOf(name));
});

test("incomplete models, and an abort", async () => {
  const tensors = await officialTensors("7");
  const file = await opened(tensors.filter(({ name }) => name !== "blocks.1.ffn.value.weight"));
  await refused((async () => new Equalizer(file))(), "weights", /lacks the tensor blocks\.1\.ffn\.value\.weight/);
  const stop = new AbortController();
  const equalizer = new Equalizer(await opened(tensors));
  const aborted = equalizer.measure(kernels, () => stop.abort("enough"), stop.signal);
  assert.is(await aborted.catch((error) => error), "enough");
});

test.run();
