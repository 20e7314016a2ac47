// LoRAs that are merged while a model is loaded: bit by bit what a file gives whose matrices were changed beforehand.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LoadOptions, LoraOptions, ModelSource } from "../../src/api/load.ts";
import { bytesSource } from "../../src/bytes/source.ts";
import type { RwkvError } from "../../src/errors.ts";
import { openTuned, openWeights } from "../../src/weights/open.ts";
import { hashOf, ids, open } from "../engine/setup.ts";
import { type Format, formatOf, meant, valueAt } from "../kernels/formats.ts";
import { quantizeWeights } from "../kernels/reference.ts";
import { refused } from "../refused.ts";
import { fixture } from "../weights/support.ts";
import { pth, py, torchTensor } from "../weights/writers.ts";
import { checkpoint, fileOf, type Sizes } from "./checkpoints.ts";
import { edited } from "./edited.ts";
import { encodeRows } from "./encode.ts";
import { run } from "./engine.ts";
import { Oracle } from "./oracle.ts";
import { merged, mergedFile, modelOf, type Part, pairs, part, pthOf, safetensorsOf } from "./tuned.ts";

const PROMPT = ids(7);
const base = (version: string) => `test/fixtures/v${version}.bf16.pth`;

/** A hash of the logits and of the state, and the model's info. */
async function look(from: ModelSource, options: LoadOptions, prompt = PROMPT) {
  const model = await open({ threads: 0, ...options }, from);
  const session = model.session();
  const logits = await session.forward(prompt);
  const saved = await session.save();
  await model.close();
  return { hash: hashOf(logits), saved, info: model.info };
}

for (const version of ["4", "5.0", "5.1", "5.2", "6", "7"])
  test(`RWKV-${version}: every large matrix changed, in every type of weights`, async () => {
    const { tensors, matrices } = await modelOf(version);
    const lora = pairs(matrices, 5, ["BFloat16", "Half"]);
    const [strength, alpha] = [0.5, 12];
    const expected = mergedFile(tensors, lora, strength, alpha);
    for (const weights of ["f32", "f16", "bf16", "q8_0", "q4_0"] as const) {
      const options = { lora: { source: pthOf(lora), strength, alpha }, weights };
      const found = await look(base(version), options);
      assert.is(found.hash, (await look(expected, { weights })).hash, weights);
      assert.is(found.info.lora!.matrices, matrices.length);
      assert.equal(found.info.lora!.unknownTensors, []);
    }
    // As in the file, which is bf16.
    const found = await look(base(version), { lora: { source: pthOf(lora), strength, alpha } });
    assert.is(found.hash, (await look(expected, { weights: "bf16" })).hash);
  });

test("ranks of all sizes, widths that are no multiple of 32, some matrices only, several pieces", async () => {
  const file = await openWeights(bytesSource("small", fixture("v7.small.safetensors") as Uint8Array<ArrayBuffer>));
  const small = ["blocks.0.att.key", "blocks.1.ffn.value", "head"].map((name) => file.tensors.get(`${name}.weight`)!);
  for (const rank of [1, 2, 31, 64, 129]) {
    const lora = pairs(
      small.map(({ name, shape }) => ({ name, shape: [...shape] })),
      rank,
    );
    const { hash } = await look("test/fixtures/v7.small.safetensors", { lora: safetensorsOf(lora) }, [1, 5, 2]);
    const own = await Promise.all(
      [...file.tensors.values()].map(async ({ name, shape, transposed, source, offset, bytes }) => {
        const sizes = transposed ? [...shape].reverse() : [...shape];
        const values = new Float32Array((await source.read(offset, bytes)).buffer);
        return { name, shape: sizes, values };
      }),
    );
    assert.is(hash, (await look(mergedFile(own, lora), {}, [1, 5, 2])).hash, `rank ${rank}`);
  }
});

test("whole tensors in the file take the place of the model's: vectors, low-rank matrices, embedding, head", async () => {
  for (const [version, names] of [
    [
      "7",
      ["emb.weight", "blocks.0.ln1.weight", "blocks.1.att.x_k", "blocks.1.att.w1", "blocks.0.att.r_k", "head.weight"],
    ],
    ["6", ["blocks.0.att.time_maa_w2", "blocks.1.att.time_decay", "blocks.1.att.time_faaaa", "ln_out.bias"]],
    ["5.2", ["blocks.0.att.time_decay", "blocks.1.att.time_faaaa", "blocks.0.ffn.time_mix_k"]],
  ] as const) {
    const { tensors, matrices } = await modelOf(version);
    const whole = names.map((name, i) => {
      const { shape } = tensors.find((tensor) => tensor.name === name)!;
      return part(name, shape, i + 50, 1, i % 2 ? "BFloat16" : "Float");
    });
    const lora = [...whole, ...pairs(matrices.slice(0, 2), 4)];
    const found = await look(base(version), { lora: pthOf(lora), weights: "f32" });
    assert.is(found.hash, (await look(mergedFile(tensors, lora), { weights: "f32" })).hash, version);
    assert.equal([...found.info.lora!.replaced].sort(), [...names].sort());
  }
});

test("onto GGUF, by official names; the same bits with any threads and in both builds; progress counts both files", async () => {
  const { tensors, matrices } = await modelOf("7");
  const lora = pairs(matrices, 8);
  const source = pthOf(lora);
  const expected = (await look(mergedFile(tensors, lora), {})).hash;
  for (const options of [{ threads: 0 }, { threads: 0, build: "plain" as const }, { threads: 2 }, { threads: 3 }]) {
    let last = { loaded: 0, total: 0 };
    const onProgress = (progress: typeof last) => (last = progress);
    const plain = await look("test/fixtures/v7.f32.gguf", options);
    const found = await look("test/fixtures/v7.f32.gguf", { ...options, lora: new Blob([source]), onProgress });
    assert.is(found.hash, expected, JSON.stringify(options));
    assert.is(last.loaded, last.total);
    assert.ok(found.info.memory - plain.info.memory < 256 << 10, "half a matrix and some rows");
    assert.ok(last.total > lora.reduce((sum, { values }) => sum + values.byteLength, 0));
  }
});

test("a matrix in a type that cannot be written becomes q8_0", async () => {
  const target = "blk.1.channel_mix_value.weight";
  const lora = pairs([{ name: "blocks.1.ffn.value.weight", shape: [128, 256] }], 3);
  for (const name of ["q4_k", "q6_k", "iq4_xs"] as const) {
    const format = formatOf(name) as Format;
    let values = new Float32Array();
    const file = await edited("v7.f32.gguf", (tensors) => {
      const held = tensors.get(target)!;
      const bytes = encodeRows(format, new Float32Array(held.bytes.buffer)) as Uint8Array<ArrayBuffer>;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      values = Float32Array.from({ length: 128 * 256 }, (_, i) => meant(valueAt(format, view, 0, i)));
      tensors.set(target, { ...held, dtype: name, bytes });
    });
    const expected = await edited("v7.f32.gguf", (tensors) => {
      const after = merged(values, lora[0], lora[1]);
      const bytes = new Uint8Array((after.length / 32) * 34);
      for (let block = 0; block < after.length / 32; block++) {
        const { scale, codes } = quantizeWeights(after.subarray(block * 32, block * 32 + 32));
        new DataView(bytes.buffer).setUint16(block * 34, scale, true);
        bytes.set(new Uint8Array(Int8Array.from(codes).buffer), block * 34 + 2);
      }
      tensors.set(target, { ...tensors.get(target)!, dtype: "q8_0", bytes });
    });
    const found = await look(file, { lora: pthOf(lora) });
    assert.is(found.hash, (await look(expected, {})).hash, name);
    assert.ok("q8_0" in found.info.weights && !(name in found.info.weights));
  }
});

test("a model whose residual stream is halved every n layers has its changes scaled to match", async () => {
  const sizes: Sizes = { version: "6", size: 16, heads: 3, ffn: 80, vocab: 12, layers: 4 };
  const original = checkpoint(sizes);
  const names = [...original.keys()].filter((name) => /\.(output|value|key)\.weight$/.test(name));
  const lora = pairs(
    names.map((name) => ({ name, shape: original.get(name)!.shape })),
    4,
  );
  const byName = new Map(lora.map((part) => [part.name, part]));
  const changed = new Map(original);
  for (const name of names) {
    const { shape, numbers } = original.get(name)!;
    const half = (letter: string) => byName.get(name.replace(/weight$/, `lora_${letter}`))!;
    changed.set(name, { shape, numbers: merged(numbers, half("A"), half("B")) });
  }
  const oracle = new Oracle(changed, "6", 3);
  const tokens = [1, 7, 3];
  const logits = tokens.map((token) => oracle.step(token));
  const halved = new Map(original);
  for (const [name, { shape, numbers }] of original) {
    const layer = /^blocks\.(\d+)\.(att\.output|ffn\.value)\.weight$/.exec(name);
    if (layer) halved.set(name, { shape, numbers: numbers.map((x) => x / 2 ** Math.floor(Number(layer[1]) / 2)) });
  }
  const file = fileOf(halved, { facts: [["rescale_every_n_layers", 2]] });
  const found = await run(file, tokens, { lora: await openTuned(bytesSource("lora.pth", pthOf(lora))) });
  found.logits.forEach((row, t) => {
    row.forEach((x, i) => {
      assert.ok(Math.abs(x - logits[t][i]) < 1e-3, `token ${t}: ${x} instead of ${logits[t][i]}`);
    });
  });
  const whole = part("blocks.3.att.output.weight", [48, 48], 1);
  const replacing = run(file, tokens, { lora: await openTuned(bytesSource("lora.pth", pthOf([whole]))) });
  await refused(replacing, "unsupported", /lora\.pth replaces blocks\.3\.att\.output\.weight.*rescale_every_n_layers/);
});

test("alpha is the rank unless given, strength 1; strength 0 changes nothing", async () => {
  const { matrices } = await modelOf("7");
  const source = pthOf(pairs(matrices, 4));
  const hash = async (lora: LoraOptions) => (await look(base("7"), { lora, weights: "f32" })).hash;
  const plain = await hash({ source });
  assert.is(await hash({ source, alpha: 4 }), plain);
  assert.is(await hash({ source, alpha: 8, strength: 0.5 }), plain);
  assert.is(await hash({ source, alpha: 2, strength: 2 }), plain);
  assert.is.not(await hash({ source, alpha: 8 }), plain);
  assert.is.not(await hash({ source, strength: -1 }), plain);
  assert.is(await hash({ source, strength: 0 }), (await look(base("7"), { weights: "f32" })).hash);
});

test("states of the model, of the merged model and of other strengths do not mix; those of types of weights do", async () => {
  const { matrices, tensors } = await modelOf("7");
  const source = pthOf(pairs(matrices.slice(0, 1), 4));
  const other = pthOf(pairs(matrices.slice(0, 1), 4).map((p) => ({ ...p, values: p.values.map((x) => -x) })));
  const table = tensors.find(({ name }) => name === "emb.weight")!;
  const loras: (LoadOptions["lora"] | undefined)[] = [
    undefined,
    source,
    { source, strength: 0.5 },
    { source, alpha: 3 },
    // The same product, but not the same LoRA.
    other,
    pthOf([part("emb.weight", table.shape, 1)]),
    pthOf([part("emb.weight", table.shape, 2)]),
    pthOf([part("blocks.0.ln1.weight", [128], 1)]),
  ];
  const found: Awaited<ReturnType<typeof look>>[] = [];
  for (const lora of loras) found.push(await look(base("7"), { lora }));
  assert.is(new Set(found.map(({ info }) => info.fingerprint)).size, loras.length);
  const again = await look("test/fixtures/v7.f32.gguf", { lora: new Blob([source]), weights: "q8_0", threads: 2 });
  assert.is(again.info.fingerprint, found[1].info.fingerprint);

  const model = await open({ threads: 0, lora: source }, base("7"));
  assert.is(model.session(found[1].saved).position, PROMPT.length);
  assert.throws(
    () => model.session(found[0].saved),
    (error: RwkvError) => error.code === "state",
  );
  assert.throws(
    () => model.session(found[2].saved),
    (error: RwkvError) => error.code === "state",
  );
  await model.close();
});

// --- What cannot be ----------------------------------------------------------------------------------------------------

const A = (name = "blocks.0.att.key", shape = [2, 128], kept: Part["kept"] = "Float") =>
  part(`${name}.lora_A`, shape, 1, 1, kept);
const B = (name = "blocks.0.att.key", shape = [128, 2], kept: Part["kept"] = "Float") =>
  part(`${name}.lora_B`, shape, 2, 1, kept);
const loading = (lora: LoadOptions["lora"], options: LoadOptions = {}, from = base("7")) =>
  look(from, { lora, ...options });
const holding = (one: Part, value: number): Part => ({
  ...one,
  values: one.values.map((x, i) => (i === 130 ? value : x)),
});

const REFUSED: [what: string, parts: Part[], code: RwkvError["code"], ...messages: RegExp[]][] = [
  ["half a pair", [A()], "weights", /holds blocks\.0\.att\.key\.lora_A, but lacks .* blocks\.0\.att\.key\.lora_B/],
  ["the other half", [B()], "weights", /lacks its other half blocks\.0\.att\.key\.lora_A/],
  ["another width", [A(undefined, [2, 96]), B()], "weights", /lora_A \[2, 96\].*lora_B \[128, 2\].*\[rank, 128\]/],
  ["another height", [A(), B(undefined, [96, 2])], "weights", /do not fit blocks\.0\.att\.key\.weight \[128, 128\]/],
  ["two ranks", [A(), B(undefined, [128, 3])], "weights", /\[2, 128\].*\[128, 3\]/],
  ["a layer too many", [A("blocks.7.att.key"), B("blocks.7.att.key")], "weights", /has no blocks\.7\.att\.key\.weight/],
  [
    "a matrix of another version",
    [A("blocks.0.att.gate"), B("blocks.0.att.gate")],
    "weights",
    /has no blocks\.0\.att\.gate/,
  ],
  ["the embedding's", [A("emb", [2, 128]), B("emb", [260, 2])], "unsupported", /emb\.lora_A/],
  ["a low-rank map's", [A("blocks.0.att.w1"), B("blocks.0.att.w1")], "unsupported", /w1\.lora_A/],
  ["Bone", [part("blocks.0.att.key.bone", [2, 8, 8], 1)], "unsupported", /key\.bone.*no part of a LoRA/],
  ["DiSHA", [part("blocks.0.att.key.disha", [8, 128], 1), A(), B()], "unsupported", /key\.disha/],
  ["DoRA", [A(), B(), part("blocks.0.att.key.lora_M", [1, 128], 1)], "unsupported", /lora_M/],
  ["PiSSA's start", [part("blocks.0.att.key.init_lora_A", [2, 128], 1)], "unsupported", /init_lora_A/],
  ["web-rwkv's", [part("blocks.0.att.key.lora.0", [128, 2], 1)], "unsupported", /lora\.0/],
  ["a tuned state", [part("blocks.0.att.time_state", [2, 64, 64], 1)], "weights", /nothing to merge.*initialState/],
  ["a vector of another model", [part("blocks.0.ln1.weight", [96], 1)], "weights", /ln1\.weight \[96\].*\[128\]/],
  [
    "a matrix of another shape",
    [part("blocks.0.ffn.key.weight", [128, 256], 1)],
    "weights",
    /\[128, 256\].*\[256, 128\]/,
  ],
  [
    "a tensor of another version",
    [part("blocks.0.att.time_maa_x", [128], 1)],
    "weights",
    /has no blocks\.0\.att\.time_maa_x/,
  ],
  ["nothing of RWKV", [part("something", [3], 1)], "unsupported", /"something"/],
  [
    "an infinity in A",
    [holding(A(), Infinity), B()],
    "weights",
    /lora_A in .* holds an infinity or a NaN.*\(row 1, column 2\)/,
  ],
  ["a NaN in B", [A(), holding(B(), NaN)], "weights", /lora_B in .* holds an infinity or a NaN.*\(row 65, column 0\)/],
  [
    "a sum beyond f32",
    [holding(A(), 3e38), { ...B(), values: B().values.fill(3) }],
    "weights",
    /att\.key\.weight.*too large for bf16/,
  ],
];

for (const [what, parts, code, ...messages] of REFUSED)
  test(`refused by name: ${what}`, async () => {
    await refused(loading(pthOf(parts)), code, ...messages);
    await refused(loading(safetensorsOf(parts)), code, ...messages);
  });

test("refused: what f16 cannot hold, a turned half, a half that is too large, models", async () => {
  const large = [holding(A(), 60000), { ...B(), values: B().values.fill(3) }];
  await refused(loading(pthOf(large), { weights: "f16" }), "weights", /att\.key\.weight.*too large for f16/);
  const turned = torchTensor({ storage: "0", length: 256, sizes: [2, 128], strides: [1, 2] });
  const straight = torchTensor({ storage: "0", length: 256, sizes: [128, 2] });
  const root = py.dict([py.text("blocks.0.att.key.lora_A"), turned], [py.text("blocks.0.att.key.lora_B"), straight]);
  const bytes = pth(root, { 0: new Uint8Array(1024) }) as Uint8Array<ArrayBuffer>;
  await refused(loading(bytes), "unsupported", /lora_A.*column by column.*contiguous/);
  const rank = 65537;
  const wide = [A(undefined, [rank, 128], "Half"), B(undefined, [128, rank], "Half")];
  await refused(loading(pthOf(wide)), "unsupported", /lora_A \[65537, 128\].*32 MiB/);
  await refused(loading("test/fixtures/v7.f32.gguf"), "unsupported", /v7\.f32\.gguf is not what a training program/);
  await refused(loading(base("6")), "weights", /has no blocks\.0\.att\.(gate|time_)/);
  await refused(loading(base("7")), "unsupported", /v7\.bf16\.pth is a whole model and no LoRA/);
});

test("what fine-tuning leaves is no model", async () => {
  const state = part("blocks.0.att.time_state", [2, 64, 64], 1);
  for (const file of [pthOf([A(), B()]), safetensorsOf([state])])
    await refused(look(file, {}), "weights", /is what fine-tuning leaves, not a model: .*`lora`.*initialState/);
});

test("PEFT's names", async () => {
  const { tensors, matrices } = await modelOf("7");
  const lora = pairs(matrices.slice(0, 3), 4);
  const norm = part("ln_out.bias", [128], 1);
  const model = safetensorsOf(tensors.map((one): Part => ({ ...one, kept: "Float" })));
  const expected = await look(model, { lora: pthOf([...lora, norm]) });
  for (const suffix of [".weight", ".default.weight"]) {
    const prefix = "base_model.model.";
    const halves = lora.map((half) => ({ ...half, name: `${prefix}${half.name}${suffix}` }));
    const peft = safetensorsOf([...halves, { ...norm, name: `${prefix}${norm.name}` }]);
    const found = await look(model, { lora: peft });
    assert.is(found.hash, expected.hash);
    assert.equal(found.info.lora!.replaced, ["ln_out.bias"]);
    assert.is(found.info.lora!.matrices, 3);
  }
});

test("refused before anything is read: numbers that make no sense", async () => {
  const source = pthOf([A(), B()]);
  for (const alpha of [0, -1, NaN, Infinity, 1e7, "16" as never])
    await refused(loading({ source, alpha }), "input", /lora\.alpha must be a number above 0 to 1000000/);
  for (const strength of [NaN, Infinity, 101, -101, "1" as never, null as never])
    await refused(loading({ source, strength }), "input", /lora\.strength must be a number from -100 to 100/);
  await refused(loading(5 as never), "input", /lora\.source must be a path, a URL, .*, not 5/);
  await refused(loading({} as never), "input", /lora\.source must be a path, a URL, .*, not undefined/);
});

test("an abort while a LoRA is read", async () => {
  const stop = new AbortController();
  const lora = { source: pthOf([A(), B()]) };
  const onProgress = () => stop.abort("enough");
  assert.is(await loading(lora, { signal: stop.signal, onProgress }).catch((error) => error), "enough");
});

test.run();
