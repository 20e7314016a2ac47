// The recipe q4_mix: what it costs, how many bits it takes, that a file of it is what loading makes of the same file, and what is refused.
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { documents } from "../../bench/lib/documents.ts";
import type { ModelSource } from "../../src/api/load.ts";
import { bytesSource } from "../../src/bytes/source.ts";
import { convert } from "../../src/model/convert.ts";
import { prepare } from "../../src/model/recipes.ts";
import type { TensorFile } from "../../src/types.ts";
import { readGguf } from "../../src/weights/gguf.ts";
import { openWeights } from "../../src/weights/open.ts";
import { hashOf, ids, open } from "../engine/setup.ts";
import { refused } from "../refused.ts";
import { numbers, turned } from "../weights/numbers.ts";
import { fixture, joined } from "../weights/support.ts";
import { checkpoint, fileOf } from "./checkpoints.ts";
import { divergence } from "./divergence.ts";
import { run } from "./engine.ts";
import { modelOf, type Part, pairs, pthOf, safetensorsOf } from "./tuned.ts";
import { twin } from "./twin.ts";

const STORIES = "stories-7m.f16.gguf";
const kernels = new WebAssembly.Module(readFileSync("dist/kernels/plain.wasm"));
type Bytes = Uint8Array<ArrayBuffer>;

async function written(file: TensorFile, type: "q4_mix" | "q8_0", container: "gguf" | "safetensors" = "gguf") {
  const parts: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void parts.push(bytes.slice()) };
  const progress: [loaded: number, total: number][] = [];
  await convert(file, sink, kernels, {
    container,
    type,
    vocabulary: async () => (file.container === "gguf" ? undefined : null),
    onProgress: ({ loaded, total }) => void progress.push([loaded, total]),
  });
  return { bytes: joined(...parts) as Bytes, progress };
}

const opened = (bytes: Uint8Array) => openWeights(bytesSource("model", bytes));

/** Bits per weight of the matrices that are multiplied with, the small ones aside. */
async function bitsOf(bytes: Uint8Array): Promise<{ bits: number; types: Record<string, string> }> {
  const { tensors } = await readGguf(bytesSource("model", bytes));
  const large = tensors.filter(({ name }) =>
    /(receptance|key|value|gate|mix_output)\.weight$|^output\.weight$/.test(name),
  );
  const sum = (of: (tensor: (typeof large)[number]) => number) => large.reduce((total, one) => total + of(one), 0);
  const types = Object.fromEntries(tensors.map(({ name, dtype }) => [name, dtype]));
  return { bits: (sum(({ bytes }) => bytes) * 8) / sum(({ dims }) => dims.reduce((a, b) => a * b)), types };
}

/** The logits of all tokens of the stories, each story a session of its own. */
async function logitsOf(from: ModelSource, weights?: "f32" | "q4_0" | "q4_mix"): Promise<Float32Array[]> {
  const model = await open({ weights }, from);
  const rows: Float32Array[] = [];
  for (const text of documents("bench/stories.txt")) {
    const session = model.session();
    rows.push(...(await session.forward([0, ...model.tokenizer.encode(text)])));
    await session.close();
  }
  await model.close();
  return rows;
}

test("at most 0.009 nats per token and 5 bits per weight, also where outliers make q4_0 fall apart", async () => {
  const right = await logitsOf(`test/fixtures/${STORIES}`, "f32");
  const hard = await twin(STORIES);
  assert.ok(divergence(right, await logitsOf(hard, "f32")) < 1e-6, "the twin is no twin");
  assert.ok(divergence(right, await logitsOf(hard, "q4_0")) > 0.05, "the twin is too easy");
  for (const bytes of [fixture(STORIES) as Bytes, hard]) {
    const cost = divergence(right, await logitsOf(bytes, "q4_mix"));
    assert.ok(cost <= 0.009, `loaded so: ${cost}`);
    const file = await written(await opened(bytes), "q4_mix");
    const inFile = divergence(right, await logitsOf(file.bytes));
    assert.ok(inFile <= 0.009, `from a file: ${inFile}`);
    const { bits, types } = await bitsOf(file.bytes);
    assert.ok(bits <= 5, `${bits} bits per weight`);
    assert.is(types["output.weight"], "q5_0");
    assert.is(types["token_embd.weight"], "q8_0");
    assert.is(types["blk.3.time_mix_value.weight"], "q5_0");
    assert.is(types["blk.3.channel_mix_value.weight"], "q4_0");
    assert.is(types["blk.3.time_mix_a1.weight"], "f16");
    // The matrices are read twice.
    const [loaded, total] = file.progress.at(-1)!;
    assert.is(loaded, total);
    assert.ok(file.progress.every(([now], i) => i === 0 || now > file.progress[i - 1]![0]));
  }
});

for (const name of ["v7.f16.gguf", STORIES])
  test(`a file of ${name} is bit for bit what loading makes of the same embedding`, async () => {
    // In 8 bits first: a file has its embedding so, while loading leaves it as it is.
    const { bytes } = await written(await opened(fixture(name)), "q8_0");
    const file = await written(await opened(bytes), "q4_mix");
    const [loaded, read] = [await open({ weights: "q4_mix" }, bytes), await open({ threads: 0 }, file.bytes)];
    const prompt = ids(9);
    assert.is(hashOf(await loaded.forward(prompt)), hashOf(await read.forward(prompt)));
    assert.is(loaded.info.fingerprint, read.info.fingerprint);
    assert.equal([loaded.info.recipe, read.info.recipe], ["q4_mix", undefined]);
    assert.equal(Object.keys(loaded.info.weights).sort(), Object.keys(read.info.weights).sort());
    // States hold what norms gave, which is scaled: they are not the other model's.
    const session = loaded.session();
    await session.feed(prompt);
    const state = await session.save();
    read.session(state);
    const other = await open({ threads: 0 }, bytes);
    assert.throws(() => other.session(state), /another model/);
    for (const model of [loaded, read, other]) await model.close();
  });

for (const version of ["4", "5.0", "5.1", "5.2", "6", "7"])
  test(`RWKV-${version}: loaded so with any threads, in pieces of any order, the same bits`, async () => {
    const from = `test/fixtures/v${version}.bf16.pth`;
    const hashes: string[] = [];
    for (const threads of [0, 1, 3]) {
      const model = await open({ threads, weights: "q4_mix" }, from);
      hashes.push(hashOf(await model.forward(ids(8))));
      assert.ok(model.info.weights.q4_0! > 0 && model.info.weights.q5_0! > 0);
      await model.close();
    }
    assert.is(new Set(hashes).size, 1);
  });

/** The same model with its large matrices column by column. */
async function columnwise(file: TensorFile): Promise<TensorFile> {
  const tensors = new Map(file.tensors);
  for (const [name, tensor] of tensors) {
    if (!/\.(receptance|key|value|output|gate)\.weight$/.test(name)) continue;
    const [rows, columns] = tensor.shape as [number, number];
    const values = turned(await numbers(tensor), [columns, rows]);
    const source = bytesSource(name, new Uint8Array(values.buffer));
    tensors.set(name, { ...tensor, transposed: true, source, offset: 0 });
  }
  return { ...file, tensors };
}

for (const version of ["4", "5.2", "6"] as const)
  test(`RWKV-${version} of odd sizes, its matrices column by column: they stay floats, and the function what it was`, async () => {
    const sizes = { version, size: 8, heads: 5, ffn: 70, vocab: 300 } as const;
    const file = await columnwise(fileOf(checkpoint(sizes), { turned: true }));
    const head = { ...file, tensors: new Map([...file.tensors].filter(([name]) => name !== "head.weight")) };
    const [plain, scaled] = [await run(head, ids(6)), await run(head, ids(6), { weights: "q4_mix" })];
    assert.is(scaled.types.get("blocks.1.ffn.value.weight"), "f32");
    assert.is(scaled.types.get("blocks.1.att.key.weight"), "f32");
    // Only the head loses something.
    for (const [name, part] of plain.state) {
      const found = scaled.state.get(name)!;
      const size = part.reduce((top, x) => Math.max(top, Math.abs(x)), 1);
      // Token shifts hold what norms gave.
      if (name.endsWith("shift")) continue;
      const off = part.reduce((top, x, i) => Math.max(top, Math.abs(x - found[i]!)), 0);
      assert.ok(off / size < 1e-3, `${name} is off by ${off}`);
    }
  });

test("progress counts both passes, and an abort ends the first", async () => {
  const seen: number[] = [];
  let whole = 0;
  const onProgress = ({ loaded, total }: { loaded: number; total: number }) => {
    seen.push(loaded);
    whole = total;
  };
  const model = await open({ weights: "q4_mix", onProgress }, "test/fixtures/v6.bf16.pth");
  assert.is(seen.at(-1), whole);
  assert.ok(seen.every((loaded, i) => i === 0 || loaded > seen[i - 1]!));
  await model.close();
  const stop = new AbortController();
  const aborted = open({ weights: "q4_mix", signal: stop.signal, onProgress: () => stop.abort("enough") });
  assert.is(await aborted.catch((error) => error), "enough");
});

test("a LoRA is merged before: strength 0 changes nothing, more of it does", async () => {
  const { matrices } = await modelOf("7");
  const lora = pthOf(pairs(matrices, 4));
  const hash = async (strength?: number) => {
    const options = strength === undefined ? {} : { lora: { source: lora, strength } };
    const model = await open({ weights: "q4_mix", ...options }, "test/fixtures/v7.bf16.pth");
    const found = hashOf(await model.forward(ids(6)));
    await model.close();
    return found;
  };
  const own = await hash();
  assert.is(await hash(0), own);
  assert.is.not(await hash(1), own);
});

test("5 bits go where there is room for them: not to a head that is most of the model", async () => {
  const types = (vocab: number, ffn: number) => {
    const file = fileOf(checkpoint({ version: "6", size: 8, heads: 4, ffn, vocab }), {});
    const { typeOf } = prepare(file);
    return [typeOf("head.weight"), typeOf("blocks.1.att.value.weight"), typeOf("blocks.1.ffn.key.weight")];
  };
  assert.equal(types(64, 128), ["q5_0", "q5_0", "q4_0"]);
  assert.equal(types(4000, 64), ["q4_0", "q5_0", "q4_0"]);
});

test("what is damaged is named; safetensors hold no such thing", async () => {
  const { tensors } = await modelOf("7");
  const parts = tensors.map((one): Part => ({ ...one, kept: "Float" }));
  const broken = parts.map((one) =>
    one.name === "blocks.1.ffn.key.weight"
      ? { ...one, values: one.values.map((x, i) => (i === 7 ? Number.NaN : x)) }
      : one,
  );
  const file = safetensorsOf(broken);
  await refused(
    open({ weights: "q4_mix" }, file),
    "weights",
    /blocks\.1\.ffn\.key\.weight in .* holds an infinity or a NaN/,
  );
  await refused(
    written(await opened(file), "q4_mix"),
    "weights",
    /blocks\.1\.ffn\.key\.weight" holds an infinity or NaN/,
  );
  const lacking = safetensorsOf(parts.filter(({ name }) => name !== "blocks.1.ln2.bias"));
  await refused(open({ weights: "q4_mix" }, lacking), "weights", /lacks the tensor blocks\.1\.ln2\.bias/);
  await refused(
    written(await opened(safetensorsOf(parts)), "q4_mix", "safetensors"),
    "input",
    /not q4_mix; write GGUF/,
  );
  await refused(open({ weights: "q5_mix" as never }), "input", /weights must be one of .*q4_mix, not "q5_mix"/);
});

test.run();
