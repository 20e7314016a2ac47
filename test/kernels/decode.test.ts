// Every number format of GGML to f32: exactly as ggml defines it, block by block, whatever the bytes.
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { T_F32 } from "../../assembly/ops.ts";
import { bytesSource } from "../../src/bytes/source.ts";
import { DTYPES } from "../../src/weights/dtype.ts";
import { readGguf } from "../../src/weights/gguf.ts";
import { FORMATS, type Format, meant, rowBytes, valueAt } from "./formats.ts";
import { everywhere, once, type Setting } from "./harness.ts";
import { Random } from "./random.ts";
import { encode, F16 } from "./reference.ts";

/** Equal as numbers, so that 0 and -0 are the same; NaN equals NaN. */
function equal(actual: Float32Array, expected: Float32Array, what: string): void {
  assert.is(actual.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i] || (Number.isNaN(actual[i]) && Number.isNaN(expected[i]))) continue;
    assert.unreachable(`${what}: number ${i} is ${actual[i]}, not ${expected[i]}`);
  }
}

/** Rows of a file to f32. */
function convert({ arena, kernels }: Setting, type: number, file: Uint8Array, rows: number, columns: number) {
  arena.reset();
  const src = arena.input(file);
  const dst = arena.output(rows * columns * 4);
  const scratch = arena.output(Math.ceil(columns / 32) * 128 + 384);
  kernels.convert(dst.at, T_F32, src.at, type, rows, columns, scratch.at);
  return dst.f32;
}

const fixture = new Uint8Array(readFileSync("test/fixtures/quants.gguf"));
const { tensors } = await readGguf(bytesSource("quants.gguf", fixture));
const expected: Record<string, string> = JSON.parse(readFileSync("test/fixtures/quants.expected.json", "utf8")).values;

everywhere("quants.gguf: every type decodes to exactly what it is said to", (setting) => {
  assert.is(tensors.length, Object.keys(DTYPES).length);
  for (const { name, dtype, offset, bytes } of tensors) {
    const values = new Float32Array(Uint8Array.from(Buffer.from(expected[name.toUpperCase()], "base64")).buffer);
    const file = fixture.subarray(offset, offset + bytes);
    equal(convert(setting, DTYPES[dtype].id, file, 4, 512), values, name);
  }
});

test("the reference decodes quants.gguf exactly, too", () => {
  for (const { name, dtype, offset } of tensors) {
    const format = FORMATS.find((one) => one.name === dtype);
    if (!format) continue;
    const values = new Float32Array(Uint8Array.from(Buffer.from(expected[name.toUpperCase()], "base64")).buffer);
    const file = new DataView(fixture.buffer);
    equal(
      Float32Array.from(values, (_, i) => meant(valueAt(format, file, offset, i))),
      values,
      name,
    );
  }
});

/** f16 at the ends of what there is: zeros, the smallest and largest subnormal and normal numbers. */
const EXTREMES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x7bff, 0xfbff];

/** `count` blocks of random bytes; `scale` gives what each scale is set to, by default any finite f16. */
function randomBlocks(format: Format, count: number, random: Random, scale?: () => number): Uint8Array {
  const file = Uint8Array.from({ length: count * format.bytes }, () => random.below(256));
  const view = new DataView(file.buffer);
  for (let b = 0; b < count; b++) {
    for (const at of format.scales) {
      if (format.name === "q7_0")
        view.setFloat32(b * format.bytes, random.bell() * 2 ** (random.below(200) - 100), true);
      else {
        let bits = scale?.() ?? random.below(65536);
        while ((bits & 0x7c00) === 0x7c00) bits = random.below(65536);
        view.setUint16(b * format.bytes + at, bits, true);
      }
    }
  }
  return file;
}

/** What rows of blocks decode to, by the reference. */
function decoded(format: Format, file: Uint8Array, rows: number, columns: number): Float32Array {
  const view = new DataView(file.buffer, file.byteOffset);
  const stride = rowBytes(format, columns);
  return Float32Array.from({ length: rows * columns }, (_, i) =>
    meant(valueAt(format, view, Math.floor(i / columns) * stride, i % columns)),
  );
}

for (const format of FORMATS) {
  const { name, id, values } = format;

  everywhere(`${name}: any bytes, on any scale`, (setting) => {
    const random = new Random(id);
    const [rows, columns] = [5, values * 8];
    const cases = once(`any ${name}`, () =>
      [undefined, () => EXTREMES[random.below(EXTREMES.length)], () => 0x3c00].map((scale) => {
        const file = randomBlocks(format, rows * 8, random, scale);
        return { file, values: decoded(format, file, rows, columns) };
      }),
    );
    for (const { file, values } of cases) equal(convert(setting, id, file, rows, columns), values, name);
  });

  everywhere(`${name}: every byte of a block counts where it should, and nowhere else`, (setting) => {
    const { file, values: all } = once(`bytes ${name}`, () => {
      // One block as it is, then one for every bit that is turned.
      const first = randomBlocks(format, 1, new Random(id + 1), () => 0x3555);
      const file = new Uint8Array(format.bytes * (1 + format.bytes * 8));
      for (let b = 0; b <= format.bytes * 8; b++) {
        file.set(first, b * format.bytes);
        if (b > 0) file[b * format.bytes + ((b - 1) >> 3)] ^= 1 << ((b - 1) & 7);
      }
      return { file, values: decoded(format, file, 1 + format.bytes * 8, values) };
    });
    equal(convert(setting, id, file, 1 + format.bytes * 8, values), all, name);
  });

  everywhere(`${name}: rows that are no whole blocks; to_f32 writes units of 32 and nothing beyond`, (setting) => {
    const { arena, kernels } = setting;
    const random = new Random(id + 2);
    for (const columns of [1, 31, 32, 33, 40, 96, 255, 256, 257, 300]) {
      const file = randomBlocks(format, 3 * Math.ceil(columns / values), random);
      const wanted = decoded(format, file, 3, columns);
      equal(convert(setting, id, file, 3, columns), wanted, `${name}, ${columns} columns`);
      arena.reset();
      const dst = arena.output(Math.ceil(columns / 32) * 128);
      kernels.to_f32(dst.at, arena.input(file).at, id, columns, arena.output(384).at);
      equal(dst.f32.subarray(0, columns), wanted.subarray(0, columns), `${name}, one row of ${columns}`);
    }
  });

  everywhere(`${name}: not_finite finds each scale that is no number, in the first block that has one`, (setting) => {
    const { arena, kernels } = setting;
    const count = 4;
    const file = randomBlocks(format, count, new Random(id + 3), () => EXTREMES[8]);
    // All that is not a scale may hold anything.
    for (const filler of [undefined, 0xff, 0x7c]) {
      arena.reset();
      const region = arena.copy(file);
      const view = new DataView(region.u8.buffer, region.at);
      const poisonable = (at: number) => format.scales.some((s) => at >= s && at < s + (name === "q7_0" ? 4 : 2));
      if (filler !== undefined)
        for (let i = 0; i < file.length; i++) if (!poisonable(i % format.bytes)) region.u8[i] = filler;
      assert.is(kernels.not_finite(region.at, id, count * values), -1);
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        for (const scale of format.scales) {
          for (const b of [3, 2, 0]) {
            const at = b * format.bytes + scale;
            const before = region.u8.slice(at, at + 4);
            if (name === "q7_0") view.setFloat32(at, value, true);
            else view.setUint16(at, encode(F16, value), true);
            assert.is(kernels.not_finite(region.at, id, count * values), b, `${value} at ${at}`);
            // Blocks beyond the count are not looked at; one that is begun is.
            assert.is(kernels.not_finite(region.at, id, b * values), -1);
            assert.is(kernels.not_finite(region.at, id, b * values + 1), b);
            region.u8.set(before, at);
          }
        }
      }
    }
  });

  everywhere(`${name}: bytes that mean infinities and NaN decode without a trap`, (setting) => {
    const random = new Random(id + 4);
    const file = Uint8Array.from({ length: format.bytes * 64 }, () => random.below(4) && 0xff - random.below(4));
    convert(setting, id, file, 8, values * 8);
  });
}

everywhere("sizes: stored_bytes counts whole blocks, piece_bytes whole tiles", ({ kernels }) => {
  for (const format of FORMATS) {
    const { id, bytes, values, tile, name } = format;
    if (name !== "q7_0") assert.equal(DTYPES[name], { id, values, bytes });
    for (const columns of [1, 32, 33, 255, 256, 257, 2048]) {
      assert.is(kernels.stored_bytes(id, columns), rowBytes(format, columns));
      const codes = ["q4_0", "q4_1", "q4_k"].includes(name) ? 128 : 256;
      assert.is(kernels.piece_bytes(id, columns), Math.ceil(columns / 32) * 4 * (codes + 32 * tile));
    }
  }
});

test.run();
