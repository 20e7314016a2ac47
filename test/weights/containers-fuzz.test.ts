/** Damaged files of every container but GGUF: an error that names the file, or a sound `TensorFile`; never anything else. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RwkvError } from "../../src/errors.ts";
import { bytesOf } from "../../src/weights/dtype.ts";
import { openWeights } from "../../src/weights/open.ts";
import { runs } from "../runs.ts";
import { source } from "./numbers.ts";
import { joined } from "./support.ts";
import { type Entry, f32Bytes, ggmf, legacyPth, pth, py, safetensors, torchTensor } from "./writers.ts";

/** Tensors of every kind, as small as they can be. */
const SHAPES: [name: string, shape: number[]][] = [
  ["emb.weight", [5, 4]],
  ["blocks.0.ln1.weight", [4]],
  ["blocks.0.att.x_r", [1, 1, 4]],
  ["blocks.0.att.w1", [4, 2]],
  ["blocks.0.att.r_k", [2, 2]],
  ["blocks.1.att.time_maa_w2", [5, 2, 4]],
  ["blocks.1.att.time_decay", [1, 1, 4]],
  ["head.weight", [5, 4]],
  ["unknown.weight", [3]],
];
const count = (shape: number[]) => shape.reduce((a, b) => a * b);
const values = (shape: number[]) => f32Bytes(Array.from({ length: count(shape) }, (_, i) => i));
const entries = (type: number | string) =>
  SHAPES.map(([name, shape]): Entry => ({ name, shape, type, data: values(shape) }));
const storages = Object.fromEntries(SHAPES.map(([name, shape]) => [`s${name.length}${shape.length}`, values(shape)]));
const model = py.dict(
  ...SHAPES.map(([name, shape]): [number[], number[]] => {
    const storage = `s${name.length}${shape.length}`;
    return [py.text(name), torchTensor({ storage, length: storages[storage].length / 4, sizes: shape })];
  }),
);
const renamed = entries("F32")
  .slice(0, 4)
  .map((entry, i) => ({
    ...entry,
    name: ["model.embeddings.weight", "model.norm.bias", "model.layers.0.ffn.x_k", "model.layers.0.attn.k_proj.weight"][
      i
    ],
  }));
const index = {
  weight_map: Object.fromEntries(renamed.map(({ name }, i) => [name, `m-0000${(i % 2) + 1}-of-00002.safetensors`])),
};
const beside = {
  "m-00001-of-00002.safetensors": safetensors(renamed.filter((_, i) => i % 2 === 0)),
  "m-00002-of-00002.safetensors": safetensors(renamed.filter((_, i) => i % 2 === 1)),
  "config.json": new TextEncoder().encode('{"model_type":"rwkv7","head_dim":2,"norm_eps":1e-5}'),
};

const files: Record<string, Uint8Array> = {
  "some.safetensors": safetensors(entries("F32")),
  "some.pth": pth(model, storages),
  "large.pth": pth(model, storages, {}, { zip64: true }),
  "older.pth": legacyPth(model, storages),
  "some.bin": ggmf(entries(0)),
  "m.safetensors.index.json": new TextEncoder().encode(JSON.stringify(index)),
};

/** Opens it; false if it was refused properly. Anything unsound throws. */
async function opens(name: string, bytes: Uint8Array): Promise<boolean> {
  try {
    const file = await openWeights(source(name, bytes, { ...beside, [name]: bytes }));
    assert.ok(file.tensors.size > 0);
    for (const [official, tensor] of file.tensors) {
      assert.is(tensor.name, official);
      assert.ok(tensor.offset >= 0 && tensor.offset + tensor.bytes <= tensor.source.size, official);
      assert.ok(tensor.shape.length <= 3 && tensor.shape.every((n) => Number.isSafeInteger(n) && n > 0), official);
      assert.is(tensor.bytes, bytesOf(tensor.dtype, count([...tensor.shape])), official);
    }
    // Some damage shows only when the data is read.
    for (const { source, offset, bytes } of file.tensors.values()) await source.read(offset, bytes);
    await file.close();
    return true;
  } catch (error) {
    if (!(error instanceof RwkvError)) throw error;
    assert.ok(error.code === "weights" || error.code === "unsupported", error.code);
    assert.ok(
      [name, ...Object.keys(beside)].some((file) => error.message.startsWith(file)),
      error.message,
    );
    assert.ok(error.message.length < 1000, error.message);
    return false;
  }
}

for (const [name, whole] of Object.entries(files)) {
  const cuttable = name !== "some.bin"; // rwkv.cpp's files may end after any tensor

  test(`${name}: the file itself is sound`, async () => assert.ok(await opens(name, whole)));

  test(`${name}: cut anywhere`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), async (length) => {
        const opened = await opens(name, whole.subarray(0, length));
        if (cuttable) assert.not(opened);
      }),
      { numRuns: runs(200) },
    );
  });

  test(`${name}: with bytes changed`, async () => {
    const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
        const bytes = whole.slice();
        for (const [at, value] of changes) bytes[at] = value;
        await opens(name, bytes);
      }),
      { numRuns: runs(200) },
    );
  });

  test(`${name}: with a number anywhere replaced by one that is likely to hurt`, async () => {
    const powers = fc
      .integer({ min: 0, max: 64 })
      .chain((p) => fc.integer({ min: -2, max: 2 }).map((d) => 2n ** BigInt(p) + BigInt(d)));
    const number = fc.oneof(powers, fc.bigInt({ min: 0n, max: BigInt(whole.length) }));
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 8), number, fc.constantFrom(2, 4, 8), async (at, value, width) => {
        const bytes = whole.slice();
        const view = new DataView(bytes.buffer);
        if (width === 8) view.setBigUint64(at, BigInt.asUintN(64, value), true);
        else if (width === 4) view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
        else view.setUint16(at, Number(BigInt.asUintN(16, value)), true);
        await opens(name, bytes);
      }),
      { numRuns: runs(200) },
    );
  });

  test(`${name}: with digits of its text replaced`, async () => {
    const digits = [...whole.keys()].filter((i) => whole[i] >= 0x30 && whole[i] <= 0x39);
    const change = fc.tuple(fc.constantFrom(...digits), fc.constantFrom(...'0123456789-e.[]{},"'));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = whole.slice();
        for (const [at, letter] of changes) bytes[at] = letter.charCodeAt(0);
        await opens(name, bytes);
      }),
      { numRuns: runs(200) },
    );
  });

  test(`${name}: with a part moved, repeated or left out`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), fc.nat(whole.length), fc.nat(300), async (from, to, length) => {
        const end = Math.min(whole.length, from + length);
        await opens(name, joined(whole.subarray(0, to), whole.subarray(from, end), whole.subarray(to)));
        await opens(name, joined(whole.subarray(0, from), whole.subarray(end)));
      }),
      { numRuns: runs(200) },
    );
  });

  test(`${name}: noise after its first bytes`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(4, 9, 21, 24), async (noise, kept) => {
        await opens(name, joined(whole.subarray(0, kept), noise));
      }),
      { numRuns: runs(200) },
    );
  });
}

test("pickles of allowed instructions in any order", async () => {
  const instructions = [..."\x80\x95.(01bqr\x94hjN\x88\x89JKM\x8aGX\x8cUT)t\x85\x86\x87]ae}suc\x93RQ"].map((c) =>
    c.charCodeAt(0),
  );
  const pieces: number[][] = [
    ...instructions.map((i) => [i]),
    ...[0x71, 0x68, 0x4b].flatMap((i) => [0, 1, 2].map((n) => [i, n])),
    py.int(3),
    py.text("emb.weight"),
    py.text("storage"),
    py.global("torch._utils", "_rebuild_tensor_v2"),
    py.global("torch._utils", "_rebuild_parameter"),
    py.global("torch", "FloatStorage"),
    py.global("collections", "OrderedDict"),
    torchTensor({ storage: "s102", length: 20, sizes: [5, 4] }),
    py.dict([py.text("emb.weight"), torchTensor({ storage: "s102", length: 20, sizes: [5, 4] })]),
  ];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...pieces), { maxLength: 60 }), async (program) => {
      const root = program.flat();
      await opens("some.pth", pth(root, storages));
      await opens("older.pth", legacyPth(root, storages));
    }),
    { numRuns: runs(200) },
  );
});

test.run();
