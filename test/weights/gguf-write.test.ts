import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource, readPieces } from "../../src/bytes/source.ts";
import type { DType } from "../../src/types.ts";
import { bytesOf, DTYPES } from "../../src/weights/dtype.ts";
import { readGguf } from "../../src/weights/gguf.ts";
import type { GgufValue } from "../../src/weights/gguf-values.ts";
import { type GgufEntry, writeGguf } from "../../src/weights/gguf-write.ts";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";
import { fixture, joined } from "./support.ts";

/** A sink that keeps everything, and notes how long each write was. */
function memory() {
  const parts: Uint8Array[] = [];
  return {
    async write(bytes: Uint8Array) {
      parts.push(bytes.slice());
    },
    lengths: () => parts.map((part) => part.length),
    bytes: () => joined(...parts),
  };
}

for (const name of ["v7.f32.gguf", "v7.q8_0.gguf", "quants.gguf"])
  test(`${name}: written back, it is the same byte for byte, and never in memory as a whole`, async () => {
    const bytes = fixture(name);
    const source = bytesSource(name, bytes);
    const { metadata, tensors } = await readGguf(source);
    const sink = memory();
    const entries = tensors.map((tensor) => ({
      ...tensor,
      data: () => readPieces(source, tensor.offset, tensor.bytes, undefined, 10000),
    }));
    await writeGguf(sink, metadata, entries);
    const back = sink.bytes();
    assert.is(back.length, bytes.length);
    assert.is(
      back.findIndex((byte, at) => byte !== bytes[at]),
      -1,
    );
    assert.ok(
      sink
        .lengths()
        .slice(1)
        .every((length) => length <= 10000),
    );
  });

const values: fc.Arbitrary<GgufValue> = fc.oneof(
  fc.integer({ min: 0, max: 255 }).map((value): GgufValue => ({ type: "u8", value })),
  fc.integer({ min: -128, max: 127 }).map((value): GgufValue => ({ type: "i8", value })),
  fc.integer({ min: -32768, max: 32767 }).map((value): GgufValue => ({ type: "i16", value })),
  fc.nat(0xffffffff).map((value): GgufValue => ({ type: "u32", value })),
  fc.float({ noNaN: true }).map((value): GgufValue => ({ type: "f32", value })),
  fc.double({ noNaN: true }).map((value): GgufValue => ({ type: "f64", value })),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value): GgufValue => ({ type: "u64", value })),
  fc.boolean().map((value): GgufValue => ({ type: "bool", value })),
  fc.string({ unit: "grapheme" }).map((value): GgufValue => ({ type: "string", value })),
  fc.array(fc.string({ unit: "grapheme" })).map((value): GgufValue => ({ type: "array", of: "string", value })),
  fc.int32Array().map((value): GgufValue => ({ type: "array", of: "i32", value })),
  fc.bigInt64Array().map((value): GgufValue => ({ type: "array", of: "i64", value })),
  fc.float64Array({ noNaN: true }).map((value): GgufValue => ({ type: "array", of: "f64", value })),
);

const shapes = fc
  .record({
    dtype: fc.constantFrom(...(Object.keys(DTYPES) as DType[])),
    blocks: fc.integer({ min: 1, max: 3 }),
    rest: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
  })
  .map(({ dtype, blocks, rest }) => ({ dtype, dims: [blocks * DTYPES[dtype].values, ...rest] }));

test("whatever is written is read back", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.string({ minLength: 1 }), values),
      fc.constantFrom(undefined, 8, 32, 256),
      fc.array(shapes, { maxLength: 5 }),
      async (dictionary, alignment, wanted) => {
        const metadata = new Map(Object.entries(dictionary).filter(([name]) => name !== "general.alignment"));
        if (alignment) metadata.set("general.alignment", { type: "u32", value: alignment });
        const data = wanted.map(({ dtype, dims }, i) => {
          const length = bytesOf(
            dtype,
            dims.reduce((a, b) => a * b),
          )!;
          return Uint8Array.from({ length }, (_, at) => at * 7 + i);
        });
        const entries = wanted.map(
          ({ dtype, dims }, i): GgufEntry => ({ name: `t${i}`, dtype, dims, data: () => [data[i]] }),
        );
        const sink = memory();
        await writeGguf(sink, metadata, entries);
        const source = bytesSource("written.gguf", sink.bytes());
        const back = await readGguf(source);
        assert.equal(back.metadata, metadata);
        assert.is(back.alignment, alignment ?? 32);
        assert.is(back.tensors.length, wanted.length);
        for (const [i, tensor] of back.tensors.entries()) {
          assert.equal([tensor.name, tensor.dtype, tensor.dims], [`t${i}`, wanted[i].dtype, wanted[i].dims]);
          assert.equal(await source.read(tensor.offset, tensor.bytes), data[i]);
        }
      },
    ),
    { numRuns: runs(200) },
  );
});

test("refuses what would not be a sound file", async () => {
  const entry = (more: Partial<GgufEntry>): GgufEntry => ({
    name: "t",
    dtype: "f32",
    dims: [2],
    data: () => [new Uint8Array(8)],
    ...more,
  });
  const write = (tensors: GgufEntry[], metadata = new Map<string, GgufValue>()) =>
    writeGguf(memory(), metadata, tensors);
  await refused(write([entry({}), entry({})]), "input", /"t" is given twice/);
  await refused(write([entry({ data: () => [new Uint8Array(7)] })]), "input", /"t" takes 8 bytes, but 7/);
  await refused(
    write([entry({ data: () => [new Uint8Array(4), new Uint8Array(5)] })]),
    "input",
    /"t" takes 8 bytes, but 9/,
  );
  for (const dims of [[], [0], [-1], [1.5], [1, 1, 1, 1, 1], [2 ** 52]])
    await refused(write([entry({ dims })]), "input", /"t" of sizes/);
  await refused(
    write([entry({ dtype: "q8_0", dims: [16, 2] })]),
    "input",
    /"t" of sizes 16 x 2 cannot be stored as q8_0/,
  );
  const odd = new Map<string, GgufValue>([["general.alignment", { type: "u32", value: 24 }]]);
  await refused(write([], odd), "input", /general\.alignment/);
});

test("an error of the data passes through", async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(4);
    throw new Error("no more");
  }
  try {
    await writeGguf(memory(), new Map(), [{ name: "t", dtype: "f32", dims: [2], data: broken }]);
    assert.unreachable();
  } catch (error) {
    assert.is((error as Error).message, "no more");
  }
});

test.run();
