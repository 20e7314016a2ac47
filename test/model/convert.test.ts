// Writing models anew: which tensors change and how, from every container and every way of naming, and what is refused. Numbers
// are compared with the official checkpoints, and with a slow reference where they are quantised.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gguf as oracle } from "@huggingface/gguf";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { type Conversion, convert } from "../../src/model/convert.ts";
import { CONVERT_TYPES, type ConvertType } from "../../src/model/to-gguf.ts";
import { parseVocabulary } from "../../src/text/vocab.ts";
import type { Source, TensorFile } from "../../src/types.ts";
import { type Gguf, readGguf } from "../../src/weights/gguf.ts";
import { openWeights } from "../../src/weights/open.ts";
import { readSafetensors } from "../../src/weights/safetensors.ts";
import { formatOf, quantizeBlock } from "../kernels/formats.ts";
import { BF16, decode, encode, F16 } from "../kernels/reference.ts";
import { refused } from "../refused.ts";
import { entries, entry, fla, rwkvCpp, transformersName } from "../weights/dialects.ts";
import { numbers as officialNumbers, officialTensors, sameTensors, source } from "../weights/numbers.ts";
import { fixture, joined } from "../weights/support.ts";
import { ggmf, safetensors } from "../weights/writers.ts";
import { checkpoint, fileOf } from "./checkpoints.ts";
import { edited } from "./edited.ts";
import { run } from "./engine.ts";

const kernels = new WebAssembly.Module(readFileSync("dist/kernels/plain.wasm"));
type Bytes = Uint8Array<ArrayBuffer>;
type How = Partial<Omit<Conversion, "vocabulary">> & { vocabulary?: Awaited<ReturnType<Conversion["vocabulary"]>> };

/** What is written, whole. */
async function written(file: TensorFile, { vocabulary, ...how }: How = {}): Promise<Bytes> {
  const parts: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void parts.push(bytes.slice()) };
  const given = vocabulary === undefined && file.container !== "gguf" ? null : vocabulary;
  await convert(file, sink, kernels, { container: "gguf", vocabulary: async () => given, ...how });
  return joined(...parts) as Bytes;
}

const open = (bytes: Uint8Array, name = "a model") => openWeights(bytesSource(name, bytes));
const opened = (name: string) => open(fixture(name), name);
const converted = async (bytes: Uint8Array, how?: How) => written(await open(bytes, "m.gguf"), how);

interface Parsed extends Gguf {
  data(name: string): Uint8Array;
}

async function parse(bytes: Uint8Array): Promise<Parsed> {
  const gguf = await readGguf(bytesSource("a file", bytes));
  const data = (name: string) => {
    const tensor = gguf.tensors.find((one) => one.name === name)!;
    return bytes.slice(tensor.offset, tensor.offset + tensor.bytes);
  };
  return { ...gguf, data };
}

/** The numbers of a tensor, one by one. */
function numbers(dtype: string, bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (dtype === "f32") return Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(i * 4, true));
  if (dtype === "q8_0")
    return Array.from({ length: (bytes.length / 34) * 32 }, (_, i) => {
      const block = Math.floor(i / 32) * 34;
      return decode(F16, view.getUint16(block, true)) * view.getInt8(block + 2 + (i % 32));
    });
  const format = dtype === "f16" ? F16 : BF16;
  return Array.from({ length: bytes.length / 2 }, (_, i) => decode(format, view.getUint16(i * 2, true)));
}

/** The bytes of numbers in a type, by the reference. */
function stored(dtype: ConvertType, x: number[]): Uint8Array {
  if (dtype === "f32") return new Uint8Array(Float32Array.from(x).buffer);
  if (dtype === "f16" || dtype === "bf16")
    return new Uint8Array(Uint16Array.from(x, (v) => encode(dtype === "f16" ? F16 : BF16, v)).buffer);
  const { bytes } = formatOf(dtype);
  const file = new Uint8Array((x.length / 32) * bytes);
  for (let b = 0; b < x.length / 32; b++) file.set(quantizeBlock(dtype, x.slice(b * 32, b * 32 + 32)), b * bytes);
  return file;
}

/** Throws unless both hold the same bytes. */
function same(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.is(Buffer.compare(actual, expected), 0, what);
}

/** What llama-quantize converts in an RWKV-7 of two layers. */
const LARGE = [
  "token_embd.weight",
  ...[0, 1].flatMap((layer) =>
    [
      ...["receptance", "key", "value", "output"].map((name) => `time_mix_${name}`),
      "channel_mix_key",
      "channel_mix_value",
    ].map((name) => `blk.${layer}.${name}.weight`),
  ),
  "output.weight",
];

const FILE_TYPE = { f32: 0, f16: 1, q4_0: 2, q4_1: 3, q8_0: 7, q5_0: 8, q5_1: 9, bf16: 32 };

// --- GGUF to GGUF: quantising ------------------------------------------------------------------------------------------

for (const from of ["f32", "f16", "q8_0"] as const)
  for (const type of CONVERT_TYPES)
    test(`v7.${from} to ${type}: the large matrices as the reference has them, the rest as it was`, async () => {
      const bytes = fixture(`v7.${from}.gguf`);
      const before = await parse(bytes);
      const after = await parse(await converted(bytes, { type }));
      assert.equal(
        after.tensors.map(({ name, dims }) => ({ name, dims })),
        before.tensors.map(({ name, dims }) => ({ name, dims })),
      );
      for (const [i, { name, dtype }] of before.tensors.entries()) {
        const large = LARGE.includes(name);
        assert.is(after.tensors[i].dtype, large ? type : dtype, name);
        const old = before.data(name);
        same(after.data(name), large && dtype !== type ? stored(type, numbers(dtype, old)) : old, name);
      }
      const metadata = new Map(before.metadata);
      metadata.set("general.quantization_version", { type: "u32", value: 2 });
      metadata.set("general.file_type", { type: "u32", value: FILE_TYPE[type] });
      assert.equal([...after.metadata], [...metadata]);
    });

test("converting again changes nothing", async () => {
  const once = await converted(fixture("v7.f16.gguf"), { type: "q8_0" });
  same(await converted(once, { type: "q8_0" }), once, "q8_0 to q8_0");
  same(await converted(once), once, "q8_0 as it is");
});

test("no number moves by more than half a step, and what rounding the scale to f16 does", async () => {
  const bytes = fixture("v7.f32.gguf");
  const [before, after] = [await parse(bytes), await parse(await converted(bytes, { type: "q8_0" }))];
  for (const name of LARGE) {
    const x = numbers("f32", before.data(name));
    const y = numbers("q8_0", after.data(name));
    for (let b = 0; b < x.length; b += 32) {
      const step = Math.max(...x.slice(b, b + 32).map(Math.abs)) / 127;
      const bound = step * 0.50001 + 127 * Math.max(step * 2 ** -11, 2 ** -25);
      for (let i = b; i < b + 32; i++)
        assert.ok(Math.abs(x[i] - y[i]) <= bound, `${name}[${i}]: ${x[i]} became ${y[i]}`);
    }
  }
});

test("what a GGUF file says of itself is kept, what is true of a part of a split model is not", async () => {
  const bytes = await edited("v7.f32.gguf", (_, metadata) => {
    metadata.set("general.author", { type: "string", value: "somebody" });
    metadata.set("tokenizer.chat_template", { type: "string", value: "a template" });
    metadata.set("split.no", { type: "u16", value: 0 });
    metadata.set("split.count", { type: "u16", value: 1 });
  });
  const { metadata } = await parse(await converted(bytes, { type: "q8_0" }));
  assert.is(metadata.get("general.author")?.value, "somebody");
  assert.is(metadata.get("tokenizer.chat_template")?.value, "a template");
  assert.is(metadata.get("general.name")?.value, "fixture");
  assert.not([...metadata.keys()].some((key) => key.startsWith("split.")));
  const none = await parse(await converted(bytes, { vocabulary: null }));
  assert.equal(
    [...none.metadata.keys()].filter((key) => key.startsWith("tokenizer.")),
    ["tokenizer.ggml.model"],
  );
  assert.is(none.metadata.get("rwkv7.vocab_size")?.value, 260);
});

test("rows that are no whole blocks stay as they are, unless the type has no blocks", async () => {
  const small = () => fileOf(checkpoint({ version: "6", size: 8, heads: 6, ffn: 96, vocab: 40, ranks: [8, 16] }));
  const types = async (type: ConvertType) =>
    new Map((await parse(await written(small(), { type }))).tensors.map(({ name, dtype }) => [name, dtype]));
  for (const type of ["q8_0", "q5_1", "q4_0"] as const) {
    assert.is((await types(type)).get("blk.0.time_mix_key.weight"), "f32");
    assert.is((await types(type)).get("blk.0.channel_mix_value.weight"), type);
  }
  assert.is((await types("f16")).get("blk.0.time_mix_key.weight"), "f16");
});

// --- From everything to GGUF and safetensors ---------------------------------------------------------------------------

const shipped = parseVocabulary(readFileSync("test/fixtures/stories-7m.vocab.txt", "utf8"));

/** The same model in all ways that it comes in. */
const SOURCES: Record<string, () => Promise<TensorFile>> = {
  "v6 .pth": () => opened("v6.bf16.pth"),
  "v6 of transformers": async () => {
    const tensors = await officialTensors("6");
    return open(safetensors(entries(tensors.map((tensor) => ({ ...tensor, name: transformersName(tensor.name) })))));
  },
  "v6 of rwkv.cpp": async () => open(ggmf(await rwkvCpp("6"))),
  "v7 .pth": () => opened("v7.bf16.pth"),
  "v7 safetensors": async () => open(safetensors(entries(await officialTensors("7")))),
  "v7 of fla": async () => open(safetensors(await fla())),
  "v7 of fla, shifts joined": async () => open(safetensors(await fla(true))),
  "v7 of rwkv.cpp": async () => open(ggmf(await rwkvCpp("7"))),
  "v7 GGUF": () => opened("v7.f32.gguf"),
};

for (const [name, file] of Object.entries(SOURCES)) {
  const version = name[1];
  const { prompt } = JSON.parse(readFileSync(`test/fixtures/v${version}.expected.json`, "utf8"));

  test(`${name} to GGUF in f32: the same numbers, the same logits bit by bit`, async () => {
    const bytes = await written(await file(), { type: "f32" });
    await sameTensors(await open(bytes), version);
    const [before, after] = [await run(await file(), prompt), await run(await open(bytes), prompt)];
    assert.equal(after.logits, before.logits);
  });

  test(`${name} to safetensors and on to GGUF: the same numbers`, async () => {
    const bytes = await written(await file(), { container: "safetensors" });
    await sameTensors(await open(bytes), version);
    await sameTensors(await open(await converted(bytes, { type: "f32" })), version);
  });
}

for (const version of ["4", "5.0", "5.1", "5.2", "6", "7"])
  test(`version ${version} to safetensors: names, types and shapes as in the official checkpoint`, async () => {
    const name = `v${version}.bf16.pth`;
    const bytes = await written(await opened(name), { container: "safetensors" });
    await sameTensors(await open(bytes), version);
    const found = await readSafetensors(bytesSource("a file", bytes));
    for (const { name, dtype, shape } of found) {
      assert.is(dtype, "bf16");
      const byHeads = shape.length === 2 && shape[0] === 2;
      const [last] = name.split(".").slice(-1);
      const heads = { "5.2": ["time_decay", "time_faaaa"], "6": ["time_faaaa"], "7": ["r_k"] }[version] ?? [];
      assert.is(byHeads, heads.includes(last), name);
      const mixes = /\.(time_mix_[kvrg]|time_maa_[xwkvrg]|x_[rwkvag]|[wav]0|k_k|k_a)$/.test(name);
      const broadcast = mixes || (version === "6" && last === "time_decay");
      if (broadcast) assert.equal(shape, [1, 1, 128], name);
      else assert.ok(shape.length > 1 || shape[0] <= 128 || last === "bias", name);
    }
    const f16 = await readSafetensors(
      bytesSource("a file", await written(await opened(name), { container: "safetensors", type: "f16" })),
    );
    const large = f16.filter(({ dtype }) => dtype === "f16").map((tensor) => tensor.name);
    const rest = f16.filter(({ dtype }) => dtype !== "f16").map((tensor) => tensor.name);
    assert.ok(large.every((name) => /^(emb|head)|(receptance|key|value|output|gate)\.weight$/.test(name)));
    assert.not(rest.some((name) => /^(emb|head)|(receptance|key|value|output|gate)\.weight$/.test(name)));
  });

test("quantised matrices become f32 in safetensors, and lose nothing", async () => {
  const before = await parse(fixture("v7.q8_0.gguf"));
  const bytes = await converted(fixture("v7.q8_0.gguf"), { container: "safetensors" });
  const head = (await open(bytes)).tensors.get("head.weight")!;
  assert.is(head.dtype, "f32");
  const found = numbers("f32", bytes.slice(head.offset, head.offset + head.bytes));
  assert.equal(found, numbers("q8_0", before.data("output.weight")));
});

test("v7 .pth as GGUF is what llama.cpp's converter makes of it: names, order, sizes, bytes, keys and tokens", async () => {
  const original = fixture("v7.f32.gguf");
  const { vocabulary } = await open(original);
  const bytes = await written(await opened("v7.bf16.pth"), { type: "f32", vocabulary });
  const [theirs, ours] = [await parse(original), await parse(bytes)];
  const described = ({ tensors }: Parsed) => tensors.map(({ name, dims, dtype }) => ({ name, dims, dtype }));
  assert.equal(described(ours), described(theirs));
  for (const { name } of theirs.tensors) same(ours.data(name), theirs.data(name), name);
  for (const [key, value] of theirs.metadata) {
    if (key === "general.name" || key === "rwkv7.context_length") continue;
    assert.equal(ours.metadata.get(key), value, key);
  }
  assert.is(ours.metadata.get("general.name")?.value, "v7.bf16");
});

test("our headers, as @huggingface/gguf reads them", async () => {
  mkdirSync("build/convert", { recursive: true });
  for (const [name, type] of [
    ["v6.bf16.pth", "q5_1"],
    ["v7.bf16.pth", "q4_0"],
  ] as const) {
    const bytes = await written(await opened(name), {
      type,
      vocabulary: { ...shipped, tokens: shipped.tokens.slice(0, 260) },
    });
    const path = `build/convert/${name}.${type}.gguf`;
    writeFileSync(path, bytes);
    const ours = await parse(bytes);
    const theirs = await oracle(path, { allowLocalFile: true });
    for (const [key, { value }] of ours.metadata) {
      const found = theirs.metadata[key as keyof typeof theirs.metadata] as unknown;
      assert.equal(found, ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value, key);
    }
    assert.equal(
      theirs.tensorInfos.map(({ name, shape, offset }) => [
        name,
        shape.map(Number),
        Number(theirs.tensorDataOffset + offset),
      ]),
      ours.tensors.map(({ name, dims, offset }) => [name, dims, offset]),
    );
    assert.equal((await open(bytes)).vocabulary?.tokens, shipped.tokens.slice(0, 260));
  }
});

test("a head that is the embedding is written as one of its own, since llama.cpp wants one", async () => {
  const sizes = { version: "6", size: 8, heads: 4, ffn: 64, vocab: 40, ranks: [8, 16], head: "tied" } as const;
  const weights = checkpoint({ ...sizes, ranks: [8, 16] });
  const after = await parse(await written(fileOf(weights)));
  same(after.data("output.weight"), after.data("token_embd.weight"), "head");
  const official = await open(await written(fileOf(weights), { container: "safetensors" }));
  assert.not(official.tensors.has("head.weight"));
});

// --- What converters have done to numbers ------------------------------------------------------------------------------

for (const version of ["4", "5.0", "5.1", "5.2"])
  test(`version ${version} of rwkv.cpp to safetensors: decay and bonus are the official ones again, to within rounding`, async () => {
    const bytes = await written(await open(ggmf(await rwkvCpp(version))), { container: "safetensors" });
    const after = await open(bytes);
    const originals = new Map((await officialTensors(version)).map(({ name, values }) => [name, values]));
    for (const [name, tensor] of after.tensors) {
      assert.is(tensor.form, undefined);
      const [found, wanted] = [await officialNumbers(tensor), originals.get(name)!];
      if (!/time_decay|time_first/.test(name)) assert.equal(found, wanted, name);
      else
        for (const [i, x] of found.entries()) {
          // A decay near 1 keeps few digits of x: an f32 near 1 has steps of 2^-24.
          const few = /decay/.test(name) && version !== "4" ? 2 ** -24 * Math.exp(-wanted[i]) : 0;
          assert.ok(Math.abs(x - wanted[i]) <= 4e-6 + few, `${name}[${i}] is ${x}, was ${wanted[i]}`);
        }
    }
    const { prompt, logits } = JSON.parse(readFileSync(`test/fixtures/v${version}.expected.json`, "utf8"));
    const expected = new Float32Array(Uint8Array.from(atob(logits), (c) => c.charCodeAt(0)).buffer);
    const found = (await run(after, prompt)).logits.flatMap((row) => [...row]);
    for (const [i, x] of found.entries()) assert.ok(Math.abs(x - expected[i]) <= 1e-4, `logit ${i}`);
  });

/** One value as version 5's decay, as rwkv.cpp's files have it; and what the conversion makes of it. */
async function decay(value: number): Promise<number> {
  const all = await rwkvCpp("5.0");
  for (const one of all) if (one.name.endsWith("time_decay")) new Float32Array(one.data.buffer).fill(value);
  const after = await open(await written(await open(ggmf(all)), { container: "safetensors" }));
  return (await officialNumbers(after.tensors.get("blocks.1.att.time_decay")!))[0];
}

test("a decay that was rounded to 1 or 0 becomes one that is rounded so again; one beyond is refused", async () => {
  assert.is(Math.fround(Math.exp(-Math.exp(await decay(1)))), 1);
  assert.ok(Math.exp(-Math.exp(await decay(0))) < 1.2e-38);
  assert.ok(Math.exp(-Math.exp(await decay(1e-45))) < 1.2e-38);
  for (const value of [-0.5, 1.5])
    await refused(
      decay(value),
      "weights",
      /"blocks\.0\.att\.time_decay" holds (-0|1)\.5, which no exp\(-exp\(x\)\) is/,
    );
  await refused(decay(Number.NaN), "weights", /time_decay" holds an infinity or NaN/);
});

test("version 6 with its residual stream halved: as it is in GGUF, undone in safetensors", async () => {
  const halved = (every: number) =>
    edited("v7.f32.gguf", () => {}).then(async () => {
      const weights = checkpoint({ version: "6", layers: 4, size: 16, heads: 4, ffn: 128, vocab: 40 });
      const original = fileOf(new Map(weights));
      for (const [name, tensor] of weights) {
        const [, layer] = /^blocks\.(\d)\.(?:att\.output|ffn\.value)/.exec(name) ?? [];
        if (layer)
          weights.set(name, {
            ...tensor,
            numbers: tensor.numbers.map((x) => x / 2 ** Math.floor(Number(layer) / every)),
          });
      }
      return { original, file: () => fileOf(weights, { facts: [["rescale_every_n_layers", every]] }) };
    });
  const { original, file } = await halved(2);
  const gguf = await open(await written(file()));
  assert.is(gguf.facts.get("rescale_every_n_layers"), 2);
  for (const [name, tensor] of file().tensors) {
    const same = gguf.tensors.get(name)!;
    assert.equal(await officialNumbers(same), await officialNumbers(tensor), name);
  }
  const undone = await open(await written(file(), { container: "safetensors" }));
  for (const [name, tensor] of original.tensors)
    assert.equal(await officialNumbers(undone.tensors.get(name)!), await officialNumbers(tensor), name);
});

// --- What is refused ---------------------------------------------------------------------------------------------------

test("infinities and NaN are refused, in tensors that are copied too; so is what the new type cannot hold", async () => {
  const clean = fixture("v7.f32.gguf");
  const { tensors } = await parse(clean);
  const patched = (name: string, value: number) => {
    const bytes = clean.slice();
    const { offset, bytes: length } = tensors.find((tensor) => tensor.name === name)!;
    new DataView(bytes.buffer).setFloat32(offset + length - 4, value, true);
    return bytes;
  };
  for (const name of ["output.weight", "blk.1.time_mix_w1.weight", "output_norm.bias"])
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      for (const how of [{ type: "q8_0" }, { container: "safetensors" }] as const)
        await refused(converted(patched(name, value), how), "weights", /m\.gguf/, new RegExp(`"${name}"`), /NaN/);
  const name = "blk.0.channel_mix_key.weight";
  const beyond = { f16: 65520, bf16: 3.4e38, q8_0: 1e7, q5_1: -7e4, q5_0: 1.1e6, q4_1: -7e4, q4_0: 6e5 };
  for (const [type, size] of Object.entries(beyond))
    await refused(
      converted(patched(name, size), { type: type as ConvertType }),
      "weights",
      new RegExp(name),
      new RegExp(`too large for ${type}`),
    );
  await converted(patched(name, 65519), { type: "f16" });
  await converted(patched(name, 3.4e38), { type: "f32" });
});

test("what GGUF cannot hold is refused by name, and nothing is written", async () => {
  const parts: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void parts.push(bytes) };
  const gguf = (file: TensorFile) => convert(file, sink, kernels, { container: "gguf", vocabulary: async () => null });
  for (const version of ["4", "5.0", "5.1", "5.2"])
    await refused(
      gguf(await opened(`v${version}.bf16.pth`)),
      "unsupported",
      new RegExp(`it is RWKV-${version}`),
      /safetensors/,
    );
  await refused(gguf(await opened("v7.small.safetensors")), "unsupported", /it has no ln0/);
  const small = { version: "6", size: 8, heads: 4, ffn: 64, vocab: 40 } as const;
  await refused(gguf(fileOf(checkpoint({ ...small, headBias: true }))), "unsupported", /its head has a bias/);
  const ranks = await edited("v7.f32.gguf", (tensors) => {
    const [down, up] = ["1", "2"].map((n) => tensors.get(`blk.1.time_mix_g${n}.weight`)!);
    tensors.set(down.name, { ...down, dims: [128, 32], bytes: down.bytes.slice(0, 128 * 32 * 4) });
    tensors.set(up.name, { ...up, dims: [32, 128], bytes: up.bytes.slice(0, 128 * 32 * 4) });
  });
  await refused(gguf(await open(ranks)), "unsupported", /the ranks of g1 differ between its layers \(64, 32\)/);
  assert.equal(parts, []);
  await open(await converted(ranks, { container: "safetensors" }));
});

test("what safetensors cannot hold is refused by name", async () => {
  await refused(
    converted(fixture("v7.f32.gguf"), { container: "safetensors", type: "q8_0" }),
    "input",
    /not q8_0; write GGUF/,
  );
  const other = await edited("v7.f32.gguf", (_, metadata) =>
    metadata.set("rwkv7.attention.layer_norm_epsilon", { type: "f32", value: 2e-5 }),
  );
  await refused(converted(other, { container: "safetensors" }), "unsupported", /epsilon of 0\.00002,/);
  const { metadata } = await parse(await converted(other));
  assert.is(metadata.get("rwkv7.attention.layer_norm_epsilon")?.value, Math.fround(2e-5));
});

test("models that are incomplete, or no models, are refused by name", async () => {
  await refused(converted(fixture("quants.gguf")), "unsupported", /m\.gguf/, /architecture "none"/);
  const half = fixture("v7.f32.gguf").subarray(0, 700_000);
  await refused(converted(half), "weights", /m\.gguf is cut off/);
  const without = await edited("v7.f32.gguf", (tensors) => tensors.delete("blk.1.time_mix_k_k.weight"));
  await refused(converted(without), "weights", /lacks the tensor blocks\.1\.att\.k_k/);
  const bent = safetensors(
    entries(await officialTensors("7")).map((one) =>
      one.name === "ln_out.bias" ? entry(one.name, [64], Array(64).fill(0)) : one,
    ),
  );
  await refused(converted(bent), "weights", /ln_out\.bias in m\.gguf has the shape \[64\]/);
});

// --- In pieces ---------------------------------------------------------------------------------------------------------

test("reports progress up to the end", async () => {
  const seen: { loaded: number; total: number }[] = [];
  const onProgress = (progress: { loaded: number; total: number }) => seen.push(progress);
  await converted(fixture("v7.f16.gguf"), { type: "q8_0", onProgress });
  assert.ok(seen.every((one, i) => one.total === seen[0].total && one.loaded > (seen[i - 1]?.loaded ?? 0)));
  assert.is(seen.at(-1)?.loaded, seen[0].total);
});

test("an abort ends it with the signal's reason", async () => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const onProgress = () => controller.abort(reason);
  const outcome = converted(fixture("v7.f16.gguf"), { type: "q8_0", onProgress, signal: controller.signal });
  assert.is(await outcome.catch((error) => error), reason);
});

test("a split model becomes one file", async () => {
  const whole = await readGguf(bytesSource("v7", fixture("v7.f32.gguf")));
  const names = whole.tensors.map(({ name }) => name);
  const part = (no: number) =>
    edited("v7.f32.gguf", (tensors, metadata) => {
      for (const [i, name] of names.entries()) if (i % 2 !== no) tensors.delete(name);
      metadata.set("split.no", { type: "u16", value: no });
      metadata.set("split.count", { type: "u16", value: 2 });
    });
  const files = { "m-00001-of-00002.gguf": await part(0), "m-00002-of-00002.gguf": await part(1) };
  const [first] = Object.entries(files);
  const split: Source = source(first[0], first[1], files);
  const after = await open(await written(await openWeights(split), { type: "f32" }));
  await sameTensors(after, "7");
});

test.run();
