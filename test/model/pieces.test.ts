// A tensor's numbers on their way into another file: in pieces, turned in bands, changed.
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { Converter } from "../../src/engine/converter.ts";
import { exactType, type Part, piecesOf } from "../../src/model/pieces.ts";
import type { DType, Source, TensorInfo } from "../../src/types.ts";
import { formatOf, quantizeBlock } from "../kernels/formats.ts";
import { Random } from "../kernels/random.ts";
import { runs } from "../runs.ts";
import { turned as turn } from "../weights/numbers.ts";
import { joined } from "../weights/support.ts";

const converter = new Converter(new WebAssembly.Module(readFileSync("dist/kernels/plain.wasm")));

/** A tensor over these bytes, which begin somewhere in its file. `shape`: as in the file. */
function tensorOf(
  bytes: Uint8Array,
  shape: number[],
  dtype: DType = "f32",
  more: Partial<TensorInfo> = {},
): TensorInfo {
  const offset = 24;
  const source: Source = bytesSource("m.pth", joined(new Uint8Array(offset), bytes));
  return { name: "x", fileName: "x", dtype, shape, transposed: false, source, offset, bytes: bytes.length, ...more };
}

const bytesOf = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

async function whole(part: Part, to: DType, reads: number[] = []) {
  const pieces: Uint8Array[] = [];
  const way = { converter, onRead: (bytes: number) => void reads.push(bytes) };
  for await (const piece of piecesOf(part, to, way)) pieces.push(piece.slice());
  return { bytes: joined(...pieces), longest: Math.max(...pieces.map(({ length }) => length)) };
}

const same = (a: Uint8Array, b: Uint8Array, what?: string) => assert.is(Buffer.compare(a, b), 0, what);

test("a tensor of several pieces goes through in pieces, its end included", async () => {
  const x = new Random(1).spiky(96 * 5461, 5);
  const reads: number[] = [];
  const { bytes, longest } = await whole({ tensor: tensorOf(bytesOf(x), [5461, 96]) }, "q8_0", reads);
  const expected = Array.from({ length: x.length / 32 }, (_, b) =>
    quantizeBlock("q8_0", [...x.slice(b * 32, b * 32 + 32)]),
  );
  same(bytes, joined(...expected));
  assert.ok(longest <= 1 << 20 && reads.every((length) => length <= 1 << 20));
  assert.is(
    reads.reduce((a, b) => a + b),
    x.byteLength,
  );
});

test("turned: any shape, one matrix or several, as f32 or in blocks", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 3 }),
      fc.boolean(),
      async (rows, columns, count, transposed) => {
        const x = new Random(rows * 100 + columns).bells(rows * columns * count, 1);
        // What is said of a transposed tensor is its shape as (outputs, inputs): the file has it the other way round.
        const shape = transposed ? [count, columns, rows] : [count, rows, columns];
        const tensor = tensorOf(bytesOf(x), shape, "f32", { transposed });
        const { bytes } = await whole({ tensor, turned: true }, "f32");
        same(bytes, bytesOf(turn(x, [columns, rows])));
      },
    ),
    { numRuns: runs(60) },
  );
});

for (const [rows, columns] of [
  [2200, 2048],
  [70000, 64],
  [64, 70000],
] as const)
  test(`turned in bands: ${rows} x ${columns}, more than is gathered at a time, then quantised or as it is`, async () => {
    const x = new Random(rows).bells(rows * columns, 1);
    const reads: number[] = [];
    const tensor = tensorOf(bytesOf(x), [rows, columns]);
    const expected = turn(x, [columns, rows]);
    const { bytes, longest } = await whole({ tensor, turned: true }, "f32", reads);
    same(bytes, bytesOf(expected), "f32");
    assert.ok(longest <= 1 << 20 && reads.every((length) => length <= 1 << 20));
    assert.is(
      reads.reduce((a, b) => a + b),
      x.byteLength,
    );
    if (rows % 32 === 0) {
      const plain = await whole({ tensor: tensorOf(bytesOf(expected), [columns, rows]) }, "q4_0");
      same((await whole({ tensor, turned: true }, "q4_0")).bytes, plain.bytes, "q4_0");
    }
  });

test("turned out of blocks, in bands of whole ones", async () => {
  const [rows, columns] = [20000, 256];
  const { bytes: width } = formatOf("q8_0");
  const codes = new Uint8Array((rows * columns * width) / 32);
  const random = new Random(3);
  for (let at = 0; at < codes.length; at += width) {
    codes.set([0, 0x3c], at); // a scale of 1
    for (let i = 2; i < width; i++) codes[at + i] = random.below(256);
  }
  const tensor = tensorOf(codes, [rows, columns], "q8_0");
  const decoded = await whole({ tensor }, "f32");
  const x = new Float32Array(decoded.bytes.buffer);
  assert.is(x[5], (codes[7] << 24) >> 24);
  assert.is(exactType({ tensor, turned: true }), "f32");
  same((await whole({ tensor, turned: true }, "f32")).bytes, bytesOf(turn(x, [columns, rows])));
});

test("types that lose nothing", () => {
  const of = (dtype: DType, more: Partial<Part> & Partial<TensorInfo> = {}) => {
    const { turned, factor, ...info } = more;
    return exactType({ tensor: tensorOf(new Uint8Array(0), [1, 1], dtype, info), turned, factor });
  };
  assert.is(of("bf16"), "bf16");
  assert.is(of("q4_k"), "q4_k");
  assert.is(of("bf16", { turned: true }), "bf16");
  assert.is(of("q4_k", { turned: true }), "f32");
  assert.is(of("f16", { factor: 2 }), "f32");
  assert.is(of("f16", { form: "exp(x)" }), "f32");
});

test("16-bit numbers keep their bits while they are turned", async () => {
  for (const dtype of ["f16", "bf16"] as const) {
    // All patterns but those of infinities and NaN.
    const exponent = dtype === "f16" ? 0x7c00 : 0x7f80;
    const x = Uint16Array.from({ length: 65536 }, (_, i) => ((i & exponent) === exponent ? 0 : i));
    const tensor = tensorOf(new Uint8Array(x.buffer), [128, 512], dtype);
    const { bytes } = await whole({ tensor, turned: true }, dtype);
    const found = new Uint16Array(bytes.buffer);
    for (let r = 0; r < 128; r++)
      for (let c = 0; c < 512; c++) if (found[c * 128 + r] !== x[r * 512 + c]) assert.unreachable(`${dtype} ${r} ${c}`);
  }
});

test.run();
