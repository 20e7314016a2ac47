// Quantising a GGUF file: which tensors change, how, and what is refused. Numbers are compared with a slow reference.
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { QUANTIZE_TYPES, type QuantizeOptions, type QuantizeType, quantizeGguf } from "../../src/model/quantize.ts";
import { type Gguf, type GgufTensor, readGguf } from "../../src/weights/gguf.ts";
import type { GgufValue } from "../../src/weights/gguf-values.ts";
import { type GgufEntry, writeGguf } from "../../src/weights/gguf-write.ts";
import { formatOf, quantizeBlock } from "../kernels/formats.ts";
import { Random } from "../kernels/random.ts";
import { BF16, decode, encode, F16 } from "../kernels/reference.ts";
import { refused } from "../refused.ts";
import { fixture, joined } from "../weights/support.ts";

const kernels = new WebAssembly.Module(readFileSync("dist/kernels/plain.wasm"));

/** A sink that keeps everything. */
function memory() {
  const parts: Uint8Array[] = [];
  return {
    async write(bytes: Uint8Array) {
      parts.push(bytes.slice());
    },
    longest: () => Math.max(...parts.map((part) => part.length)),
    bytes: () => joined(...parts),
  };
}

interface File extends Gguf {
  bytes: Uint8Array;
  data(name: string): Uint8Array;
}

async function parse(bytes: Uint8Array): Promise<File> {
  const gguf = await readGguf(bytesSource("a file", bytes));
  const data = (name: string) => {
    const tensor = gguf.tensors.find((one) => one.name === name)!;
    return bytes.slice(tensor.offset, tensor.offset + tensor.bytes);
  };
  return { ...gguf, bytes, data };
}

async function quantize(bytes: Uint8Array, type: QuantizeType, options?: QuantizeOptions): Promise<File> {
  const sink = memory();
  await quantizeGguf(bytesSource("m.gguf", bytes), sink, type, kernels, options);
  return await parse(sink.bytes());
}

/** A model's file with tensors of choice. */
async function model(
  ...tensors: { name: string; dtype: GgufTensor["dtype"]; dims: number[]; data: ArrayBufferView }[]
) {
  const sink = memory();
  const metadata = new Map<string, GgufValue>([["general.architecture", { type: "string", value: "rwkv7" }]]);
  const entries = tensors.map(({ data, ...rest }): GgufEntry => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { ...rest, data: () => [bytes] };
  });
  await writeGguf(sink, metadata, entries);
  return sink.bytes();
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
function stored(dtype: QuantizeType, x: number[]): Uint8Array {
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

for (const from of ["f32", "f16", "q8_0"] as const)
  for (const to of QUANTIZE_TYPES)
    test(`v7.${from} to ${to}: the large matrices as the reference has them, the rest as it was`, async () => {
      const before = await parse(fixture(`v7.${from}.gguf`));
      const after = await quantize(before.bytes, to);
      assert.equal(
        after.tensors.map(({ name, dims }) => ({ name, dims })),
        before.tensors.map(({ name, dims }) => ({ name, dims })),
      );
      for (const [i, { name, dtype }] of before.tensors.entries()) {
        const large = LARGE.includes(name);
        assert.is(after.tensors[i].dtype, large ? to : dtype, name);
        const old = before.data(name);
        same(after.data(name), large && dtype !== to ? stored(to, numbers(dtype, old)) : old, name);
      }
      const metadata = new Map(before.metadata);
      metadata.set("general.quantization_version", { type: "u32", value: 2 });
      metadata.set("general.file_type", { type: "u32", value: FILE_TYPE[to] });
      assert.equal([...after.metadata], [...metadata]);
    });

test("quantising again changes nothing", async () => {
  const once = await quantize(fixture("v7.f16.gguf"), "q8_0");
  same((await quantize(once.bytes, "q8_0")).bytes, once.bytes, "q8_0 to q8_0");
});

test("no number moves by more than half a step, and what rounding the scale to f16 does", async () => {
  const before = await parse(fixture("v7.f32.gguf"));
  const after = await quantize(before.bytes, "q8_0");
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

test("a tensor of several pieces goes through in pieces, its end included", async () => {
  const x = new Random(1).spiky(96 * 5461, 5);
  const bytes = await model({ name: "output.weight", dtype: "f32", dims: [96, 5461], data: x });
  const source = bytesSource("m.gguf", bytes);
  const { read } = source;
  const reads: number[] = [];
  source.read = (offset, length) => {
    reads.push(length);
    return read.call(source, offset, length);
  };
  for (const type of ["q8_0", "f16"] as const) {
    const sink = memory();
    await quantizeGguf(source, sink, type, kernels);
    const after = await parse(sink.bytes());
    same(after.data("output.weight"), stored(type, Array.from(x)), type);
    assert.ok(sink.longest() <= 1 << 20 && Math.max(...reads) <= 1 << 20);
  }
});

test("rows that are no whole blocks stay as they are, unless the type has no blocks", async () => {
  const x = new Random(2).spiky(48 * 2);
  const bytes = await model({ name: "output.weight", dtype: "f32", dims: [48, 2], data: x });
  for (const type of ["q8_0", "q5_1", "q4_0"] as const)
    assert.is((await quantize(bytes, type)).tensors[0].dtype, "f32");
  assert.is((await quantize(bytes, "f16")).tensors[0].dtype, "f16");
});

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
      await refused(quantize(patched(name, value), "q8_0"), "weights", /m\.gguf/, new RegExp(`"${name}"`), /NaN/);
  const name = "blk.0.channel_mix_key.weight";
  await refused(quantize(patched(name, 65520), "f16"), "weights", new RegExp(name), /too large for f16/);
  for (const [type, size] of Object.entries({ q8_0: 1e7, q5_1: -7e4, q5_0: 1.1e6, q4_1: -7e4, q4_0: 6e5 }))
    await refused(
      quantize(patched(name, size), type as QuantizeType),
      "weights",
      new RegExp(name),
      new RegExp(`too large for ${type}`),
    );
  await refused(quantize(patched(name, 3.4e38), "bf16"), "weights", new RegExp(name), /too large for bf16/);
  await quantize(patched(name, 65519), "f16");
  await quantize(patched(name, 3.4e38), "f32");
});

test("files that cannot be quantised are refused by name", async () => {
  await refused(quantize(fixture("quants.gguf"), "q8_0"), "unsupported", /m\.gguf/, /architecture "none"/);
  await refused(quantize(new Uint8Array(0), "q8_0"), "weights", /m\.gguf is empty/);
  const half = fixture("v7.f32.gguf").subarray(0, 700_000);
  await refused(quantize(half, "q8_0"), "weights", /m\.gguf is cut off/);
});

test("reports progress up to the end", async () => {
  const seen: { loaded: number; total: number }[] = [];
  const bytes = fixture("v7.f16.gguf");
  await quantize(bytes, "q8_0", { onProgress: (progress) => seen.push(progress) });
  const total = (await parse(bytes)).tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  assert.ok(seen.every((one, i) => one.total === total && one.loaded > (seen[i - 1]?.loaded ?? 0)));
  assert.is(seen.at(-1)?.loaded, total);
});

test("an abort ends it with the signal's reason", async () => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const onProgress = () => controller.abort(reason);
  const outcome = quantize(fixture("v7.f16.gguf"), "q8_0", { onProgress, signal: controller.signal });
  assert.is(await outcome.catch((error) => error), reason);
});

test.run();
