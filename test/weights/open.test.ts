import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import type { TensorFile } from "../../src/types.ts";
import { openWeights } from "../../src/weights/open.ts";
import { refused } from "../refused.ts";
import { official, sameTensors } from "./numbers.ts";
import { counted, fixture, gguf, key, tensor } from "./support.ts";

const open = (bytes: Uint8Array) => openWeights(bytesSource("some.gguf", bytes));
const v7 = official("7");
const shapesOf = (file: TensorFile) => Object.fromEntries([...file.tensors].map(([name, { shape }]) => [name, shape]));

test("v7.f32.gguf holds the official checkpoint's tensors: the same names, shapes and numbers", async () =>
  sameTensors(await open(fixture("v7.f32.gguf")), "7"));

for (const [name, matrices] of [
  ["v7.f16.gguf", "f16"],
  ["v7.q8_0.gguf", "q8_0"],
])
  test(`${name}: the same names and shapes, matrices as ${matrices}`, async () => {
    const file = await open(fixture(name));
    const expected = Object.fromEntries(Object.entries(v7).map(([name, [shape]]) => [name, shape]));
    assert.equal(shapesOf(file), expected);
    assert.is(file.tensors.get("blocks.1.ffn.key.weight")?.dtype, matrices);
    assert.is(file.tensors.get("blocks.1.ffn.key.weight")?.fileName, "blk.1.channel_mix_key.weight");
    assert.is(file.tensors.get("blocks.1.ln1.weight")?.dtype, "f32");
  });

test("v7.q8_0.gguf: what the file says of itself", async () => {
  const file = await open(fixture("v7.q8_0.gguf"));
  assert.is(file.name, "some.gguf");
  assert.is(file.container, "gguf");
  assert.is(file.architecture, "rwkv7");
  assert.equal(file.unknown, []);
  assert.equal(Object.fromEntries(file.facts), {
    "general.name": "fixture",
    block_count: 2,
    context_length: 4096,
    embedding_length: 128,
    feed_forward_length: 256,
    head_size: 64,
    layer_norm_epsilon: Math.fround(1e-5),
    tokenizer: "rwkv",
  });
  const { kind, tokens, bos, eos } = file.vocabulary!;
  assert.equal([kind, bos, eos], ["world", 0, [0]]);
  assert.is(tokens.length, 260);
  assert.equal(tokens[0], new Uint8Array(0));
  for (let byte = 0; byte < 256; byte++) assert.equal(tokens[byte + 1], Uint8Array.of(byte));
  for (let pad = 257; pad < 260; pad++) assert.equal(tokens[pad], new Uint8Array(0));
});

const ARCH = (name: string) => key.text("general.architecture", name);

test("version 6: llama.cpp's names, joined token-shift vectors in their order", async () => {
  const C = 16;
  const wanted: [name: string, dims: number[]][] = [
    ["token_embd.weight", [C, 40]],
    ["blk.1.time_mix_lerp_x.weight", [C, 1, 1]],
    ["blk.1.time_mix_lerp_fused.weight", [C, 1, 1, 5]],
    ["blk.1.time_mix_w1.weight", [C, 10]],
    ["blk.1.time_mix_w2.weight", [2, C, 5]],
    ["blk.1.time_mix_first.weight", [8, 2]],
    ["blk.1.time_mix_decay.weight", [C]],
    ["blk.1.time_mix_decay_w1.weight", [C, 4]],
    ["blk.1.time_mix_decay_w2.weight", [4, C]],
    ["blk.1.time_mix_gate.weight", [C, C]],
    ["blk.1.channel_mix_lerp_k.weight", [C, 1, 1]],
    ["blk.1.channel_mix_lerp_r.weight", [C, 1, 1]],
    ["blk.1.channel_mix_receptance.weight", [C, C]],
    ["blk.0.time_mix_lerp_g.weight", [C, 1, 1]],
    ["blk.0.channel_mix_key.weight", [C, 56]],
  ];
  let offset = 0;
  const tensors = wanted.map(([name, dims]) => {
    const described = tensor(name, dims, offset);
    offset += Math.ceil((dims.reduce((a, b) => a * b) * 4) / 32) * 32;
    return described;
  });
  const file = await open(gguf({ keys: [ARCH("rwkv6")], tensors, data: offset }));
  assert.equal(shapesOf(file), {
    "emb.weight": [40, C],
    "blocks.1.att.time_maa_x": [C],
    "blocks.1.att.time_maa_w": [C],
    "blocks.1.att.time_maa_k": [C],
    "blocks.1.att.time_maa_v": [C],
    "blocks.1.att.time_maa_r": [C],
    "blocks.1.att.time_maa_g": [C],
    "blocks.1.att.time_maa_w1": [10, C],
    "blocks.1.att.time_maa_w2": [5, C, 2],
    "blocks.1.att.time_faaaa": [C],
    "blocks.1.att.time_decay": [C],
    "blocks.1.att.time_decay_w1": [4, C],
    "blocks.1.att.time_decay_w2": [C, 4],
    "blocks.1.att.gate.weight": [C, C],
    "blocks.1.ffn.time_maa_k": [C],
    "blocks.1.ffn.time_maa_r": [C],
    "blocks.1.ffn.receptance.weight": [C, C],
    "blocks.0.att.time_maa_g": [C],
    "blocks.0.ffn.key.weight": [56, C],
  });
  const at = (name: string) => file.tensors.get(`blocks.1.att.time_maa_${name}`)!.offset;
  assert.equal(
    [..."wkvrg"].map((name) => at(name) - at("w")),
    [0, 64, 128, 192, 256],
  );
  assert.is(file.vocabulary, undefined);
});

test("unknown tensors are listed, layer 0's value-residual placeholders dropped", async () => {
  const names = [
    "blk.0.time_mix_v0.weight",
    "blk.1.time_mix_v0.weight",
    "blk.01.attn_norm.weight",
    "blk.1.constructor",
    "toString",
    "blk.1.time_mix_gate.weight",
    "rope_freqs.weight",
  ];
  const tensors = names.map((name, i) => tensor(name, [8], i * 32));
  const file = await open(gguf({ keys: [ARCH("rwkv7")], tensors, data: 32 * names.length }));
  assert.equal([...file.tensors.keys()], ["blocks.1.att.v0"]);
  assert.equal(file.unknown, names.slice(2));
});

test("names and shapes that contradict each other", async () => {
  const one = (arch: string, ...tensors: number[][]) => open(gguf({ keys: [ARCH(arch)], tensors, data: 1024 }));
  const fused = "blk.0.time_mix_lerp_fused.weight";
  await refused(
    one("rwkv7", tensor(fused, [8, 1, 1, 5], 0)),
    "weights",
    /some\.gguf: tensor "blk\.0\.time_mix_lerp_fused/,
    /6 parts/,
  );
  await refused(one("rwkv7", tensor(fused, [32, 1, 1, 3], 0, 8)), "weights", /6 parts/);
  await refused(
    one("rwkv7", tensor("output.weight", [8, 2, 2], 0)),
    "weights",
    /"output\.weight" of sizes 2 x 2 x 8 \(f32\) was expected to be a matrix/,
  );
  const both = [tensor(fused, [8, 1, 1, 5], 0), tensor("blk.0.time_mix_lerp_k.weight", [8], 160)];
  await refused(
    one("rwkv6", ...both),
    "weights",
    /"blk\.0\.time_mix_lerp_fused\.weight" and "blk\.0\.time_mix_lerp_k\.weight" both hold/,
  );
});

test("other architectures, split files and metadata of the wrong type", async () => {
  await refused(open(gguf({ keys: [ARCH("llama")] })), "unsupported", /some\.gguf/, /"llama"/);
  await refused(open(fixture("quants.gguf")), "unsupported", /"none"/);
  await refused(open(gguf({})), "weights", /some\.gguf/, /general\.architecture/);
  await refused(
    open(gguf({ keys: [ARCH("rwkv7"), key.text("rwkv7.wkv.head_size", "64")] })),
    "weights",
    /"rwkv7\.wkv\.head_size" should hold a number/,
  );
  await refused(
    open(gguf({ keys: [ARCH("rwkv7"), key.u32("general.name", 7)] })),
    "weights",
    /"general\.name" should hold a string/,
  );
  const nan = [...key.u32("rwkv7.attention.layer_norm_epsilon", 0x7fc00000)];
  nan[nan.length - 8] = 6;
  await refused(open(gguf({ keys: [ARCH("rwkv7"), nan] })), "weights", /layer_norm_epsilon/);
});

const ascii = (text: string) => new TextEncoder().encode(text);
const others: [what: string, start: Uint8Array, code: "weights" | "unsupported", pattern: RegExp][] = [
  ["an empty file", new Uint8Array(0), "weights", /is empty/],
  ["a .pth file", ascii("PK\x03\x04\x00\x00model/data.pkl"), "weights", /zip archive/],
  ["another pickle", Uint8Array.of(0x80, 2, 0x4b, 1, 0x2e), "unsupported", /pickle/],
  ["an rwkv.cpp file", Uint8Array.of(0x66, 0x6d, 0x67, 0x67, 101, 0, 0, 0), "weights", /cut off.*the header/],
  ["an old GGML file", ascii("tjgg\x03\x00\x00\x00"), "unsupported", /before GGUF/],
  ["a safetensors file", ascii('\x10\x00\x00\x00\x00\x00\x00\x00{"a":{}}        '), "weights", /"a" has no dtype/],
  [
    "a Git LFS pointer",
    ascii("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    "weights",
    /Git LFS pointer/,
  ],
  ["a web page", ascii("\uFEFF\n <!DOCTYPE html><html><body>Sign in</body></html>"), "weights", /web page/],
  ["an XML error", ascii('<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'), "weights", /web page/],
  ["a JSON error", ascii('{"error":"Entry not found"}'), "weights", /JSON/],
  ["plain text", ascii("Entry not found"), "weights", /first bytes are 45 6e 74 72 79/],
  ["zeros", new Uint8Array(2000), "weights", /first bytes are 00 00/],
  ["two bytes", ascii("GG"), "weights", /first bytes are 47 47\)/],
];
for (const [what, bytes, code, pattern] of others)
  test(`recognises ${what}`, () => refused(open(bytes), code, /^some\.gguf/, pattern));

test("the source is closed with the file, and at once if opening fails", async () => {
  const good = bytesSource("some.gguf", fixture("v7.q8_0.gguf"));
  const file = await openWeights(good);
  await good.read(0, 1);
  await file.close();
  await refused(good.read(0, 1), "closed");
  const bad = bytesSource("some.gguf", ascii("Entry not found"));
  await refused(openWeights(bad), "weights");
  await refused(bad.read(0, 1), "closed");
});

test("opening reads no tensor data to speak of", async () => {
  const bytes = fixture("v7.f32.gguf");
  const source = counted(bytesSource("some.gguf", bytes));
  await openWeights(source);
  assert.ok(source.bytesRead < bytes.length / 4);
});

test.run();
