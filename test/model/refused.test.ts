// Files that are not a sound RWKV-7: what is wrong is said, by name, and nothing is left running.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { loadModel } from "../../src/api/load.ts";
import { bench, hashOf, ids, open } from "../engine/setup.ts";
import { refused } from "../refused.ts";
import { fixture } from "../weights/support.ts";
import { edited, type Held } from "./edited.ts";

const F32 = "v7.f32.gguf";

/** Loads a changed fixture; answers the promise, after which no worker is left. */
async function loading(change: Parameters<typeof edited>[1], name = F32): Promise<void> {
  const { platform, workers } = bench();
  const file = await edited(name, change);
  const ends: Promise<unknown>[] = [];
  const spawn = () => {
    const handle = platform.spawn!();
    ends.push(new Promise((resolve) => workers.at(-1)!.once("exit", resolve)));
    return handle;
  };
  try {
    const model = await loadModel({ ...platform, spawn }, file, { threads: 1 });
    await model.close();
  } finally {
    await Promise.all(ends);
  }
}

/** A tensor of zeros. */
const zeros = (name: string, dims: number[]): Held => ({
  name,
  dtype: "f32",
  dims,
  bytes: new Uint8Array(dims.reduce((a, b) => a * b) * 4),
});

const NEEDED: [fileName: string, official: string][] = [
  ["token_embd.weight", "emb.weight"],
  ["output_norm.bias", "ln_out.bias"],
  ["token_embd_norm.bias", "blocks.0.ln0.bias"],
  ["blk.0.attn_norm.weight", "blocks.0.ln1.weight"],
  ["blk.1.time_mix_receptance.weight", "blocks.1.att.receptance.weight"],
  ["blk.1.time_mix_lerp_fused.weight", "blocks.1.att.x_r"],
  ["blk.1.time_mix_v1.weight", "blocks.1.att.v1"],
  ["blk.0.time_mix_w2.weight", "blocks.0.att.w2"],
  ["blk.1.time_mix_r_k.weight", "blocks.1.att.r_k"],
  ["blk.0.channel_mix_key.weight", "blocks.0.ffn.key.weight"],
  ["blk.1.channel_mix_value.weight", "blocks.1.ffn.value.weight"],
];

for (const [name, official] of NEEDED)
  test(`without ${name}: the missing tensor is named`, async () => {
    const pattern = new RegExp(`(lacks the|no) tensor ${official.replaceAll(".", "\\.")}\\b`);
    await refused(
      loading((tensors) => tensors.delete(name)),
      "weights",
      pattern,
    );
  });

test("without any tensor by which an RWKV is known", async () => {
  await refused(
    loading((tensors) => tensors.delete("blk.0.time_mix_r_k.weight")),
    "weights",
    /none of the tensors by which an RWKV is known/,
  );
});

const SHAPES: [name: string, dims: number[], said: string][] = [
  ["output.weight", [128, 259], "[259, 128]"],
  ["blk.0.time_mix_key.weight", [128, 96], "[96, 128]"],
  ["blk.1.time_mix_w2.weight", [16, 128], "[128, 16]"],
  ["blk.1.time_mix_a1.weight", [64, 32], "[32, 64]"],
  ["blk.0.channel_mix_value.weight", [128, 256], "[256, 128]"],
  ["blk.1.attn_norm_2.bias", [129], "[129]"],
  ["blk.1.time_mix_k_a.weight", [64], "[64]"],
  ["output_norm.weight", [127], "[127]"],
];

for (const [name, dims, said] of SHAPES)
  test(`${name} as ${dims.join(" x ")}: tensor and both shapes are named`, async () => {
    const quoted = (text: string) => new RegExp(text.replace(/[[\].]/g, "\\$&"));
    await refused(
      loading((tensors) => tensors.set(name, zeros(name, dims))),
      "weights",
      quoted(name),
      quoted(said),
      /needs \[/,
    );
  });

test("sizes that no RWKV has", async () => {
  await refused(
    loading((tensors) => tensors.set("blk.70000.attn_norm.weight", zeros("blk.70000.attn_norm.weight", [128]))),
    "weights",
    /70001 layers/,
  );
});

test("head sizes that no kernel computes", async () => {
  for (const size of [0, 7, 12, 96, 256])
    await refused(
      loading((_, metadata) => metadata.set("rwkv7.wkv.head_size", { type: "u32", value: size })),
      "weights",
      new RegExp(`head size ${size} for width 128`),
    );
});

test("a gap between layers is a missing tensor", async () => {
  await refused(
    loading((tensors) => tensors.set("blk.5.attn_norm.weight", zeros("blk.5.attn_norm.weight", [128]))),
    "weights",
    /lacks the tensor blocks\.2\./,
  );
});

/** Puts `value` at an index of a tensor in f32. */
const put = (tensors: Map<string, Held>, name: string, index: number, value: number) => {
  const { bytes } = tensors.get(name)!;
  new DataView(bytes.buffer, bytes.byteOffset).setFloat32(index * 4, value, true);
};

for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
  test(`${value} in a tensor: file name and place are named`, async () => {
    // The last row and the last column of matrix, table and vector.
    const cases: [name: string, index: number, row: number, column: number][] = [
      ["blk.1.channel_mix_value.weight", 127 * 256 + 255, 127, 255],
      ["blk.0.time_mix_w1.weight", 5 * 128 + 3, 5, 3],
      ["token_embd.weight", 259 * 128 + 127, 259, 127],
      ["output_norm.bias", 127, 0, 127],
    ];
    for (const [name, index, row, column] of cases)
      await refused(
        loading((tensors) => put(tensors, name, index, value)),
        "weights",
        new RegExp(name.replaceAll(".", "\\.")),
        new RegExp(`row ${row}, column ${column}\\b`),
      );
  });

test("a scale that is not a number, in q8_0", async () => {
  await refused(
    loading((tensors) => {
      const { bytes } = tensors.get("blk.0.channel_mix_key.weight")!;
      bytes.set([0x00, 0x7e], (9 * 4 + 2) * 34); // row 9, block 2: NaN in f16
    }, "v7.q8_0.gguf"),
    "weights",
    /blk\.0\.channel_mix_key\.weight/,
    /row 9, block 2\b/,
  );
});

test("a vocabulary that is larger than the model", async () => {
  await refused(
    loading((_, metadata) => {
      const tokens = metadata.get("tokenizer.ggml.tokens")! as { type: "array"; of: "string"; value: string[] };
      metadata.delete("tokenizer.ggml.token_type");
      metadata.set("tokenizer.ggml.tokens", { ...tokens, value: [...tokens.value, "one", "more"] });
    }),
    "input",
    /vocabulary has 262 ids but the model only 260/,
  );
});

test("tensors that mean nothing are listed and change nothing", async () => {
  const names = ["blk.0.time_mix_zeta.weight", "something.else"];
  const file = await edited(F32, (tensors) => {
    for (const name of names) tensors.set(name, zeros(name, [128]));
  });
  const warnings: string[] = [];
  const onWarning = (warning: string) => void warnings.push(warning);
  const [model, plain] = [await open({ onWarning }, file), await open({ onWarning })];
  assert.equal(model.info.unknownTensors, names);
  assert.is(warnings.length, 1);
  assert.match(warnings[0], /left out: blk\.0\.time_mix_zeta\.weight, something\.else\./);
  assert.is(model.info.fingerprint, plain.info.fingerprint);
  assert.is(hashOf(await model.forward(ids(20))), hashOf(await plain.forward(ids(20))));
  await model.close();
  await plain.close();
});

test("without a head the embedding is the head", async () => {
  const tied = await edited(F32, (tensors) => tensors.delete("output.weight"));
  const twice = await edited(F32, (tensors) => {
    const table = tensors.get("token_embd.weight")!;
    tensors.set("output.weight", { ...table, name: "output.weight" });
  });
  const [one, other] = [await open({}, tied), await open({}, twice)];
  assert.is(hashOf(await one.forward(ids(20))), hashOf(await other.forward(ids(20))));
  await one.close();
  await other.close();
});

test("without a vocabulary that fits, a model works with ids, and says what text needs", async () => {
  const bare = await edited("../../weights/stories-7m.q8_0.gguf", (_, metadata) => {
    for (const name of [...metadata.keys()]) if (name.startsWith("tokenizer.")) metadata.delete(name);
  });
  const model = await open({}, bare);
  assert.is((await model.forward(ids(3))).length, 3);
  await refused(
    Promise.resolve().then(() => model.tokenizer),
    "input",
    /token ids/,
  );
  await refused(model.session().feed("text"), "input", /token ids/);
  const generation = model.generate(ids(3), { maxTokens: 5 });
  assert.is(await generation.text(), "");
  assert.is((await generation.result).tokens, 5);
  await model.close();
});

test("what is no weights file, and what is not there", async () => {
  await refused(open({}, new TextEncoder().encode("<!doctype html>")), "weights", /web page/);
  await refused(open({}, fixture("v7.f32.gguf").slice(0, 5000) as Uint8Array<ArrayBuffer>), "weights");
  await refused(open({}, "no/such/file.gguf"), "input", /no\/such\/file\.gguf/, /no such file/);
  await refused(open({}, 5 as never), "input", /path, a URL, a Blob/);
});

test.run();
