// f32 to q8_0, q5_1, q5_0, q4_1 and q4_0 as GGML's reference quantisers do it, bit by bit, and to our own q7_0; what that costs
// each number, and what happens to numbers that do not fit.
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { T_BF16, T_F16, T_F32 } from "../../assembly/ops.ts";
import { bytesSource } from "../../src/bytes/source.ts";
import { readGguf } from "../../src/weights/gguf.ts";
import { runs } from "../runs.ts";
import { fixture } from "../weights/support.ts";
import { FORMATS, formatOf, meant, QUANTIZED, quantizeBlock, rowBytes, valueAt } from "./formats.ts";
import { everywhere, once, type Setting } from "./harness.ts";
import { Random } from "./random.ts";
import { BF16, decode, encode, F16 } from "./reference.ts";

type Name = (typeof QUANTIZED)[number];

/** Rows of f32 to a type. */
function quantize({ arena, kernels }: Setting, name: Name, x: Float32Array, rows: number): Uint8Array {
  arena.reset();
  const format = formatOf(name);
  const columns = x.length / rows;
  const dst = arena.output(rows * rowBytes(format, columns));
  const scratch = arena.output(Math.ceil(columns / 32) * 128 + 384);
  kernels.convert(dst.at, format.id, arena.input(x).at, T_F32, rows, columns, scratch.at);
  return dst.u8;
}

/** The same by the reference; a short last block is filled up with zeros. */
function reference(name: Name, x: Float32Array, rows: number): Uint8Array {
  const format = formatOf(name);
  const columns = x.length / rows;
  const blocks = Math.ceil(columns / 32);
  const file = new Uint8Array(rows * blocks * format.bytes);
  for (let b = 0; b < rows * blocks; b++) {
    const row = x.subarray(Math.floor(b / blocks) * columns, (Math.floor(b / blocks) + 1) * columns);
    const block = Float32Array.from({ length: 32 }, (_, i) => row[(b % blocks) * 32 + i] ?? 0);
    file.set(quantizeBlock(name, block), b * format.bytes);
  }
  return file;
}

function compare(setting: Setting, name: Name, x: Float32Array, rows: number, what: string): void {
  const expected = once(`${name} ${what}`, () => reference(name, x, rows));
  const found = quantize(setting, name, x, rows);
  if (Buffer.compare(found, expected) === 0) return;
  const at = expected.findIndex((byte, i) => found[i] !== byte);
  const { bytes } = formatOf(name);
  assert.unreachable(
    `${name}, ${what}: block ${Math.floor(at / bytes)}, byte ${at % bytes} is ${found[at]}, not ${expected[at]}`,
  );
}

/** Blocks of every size there is, one after another: down to where scales vanish in f16, and up to where minimums are near f16's end. */
function blocks(): Float32Array {
  return once("blocks", () => {
    const random = new Random(1);
    const all: number[] = [];
    const block = (value: (i: number) => number) => {
      for (let i = 0; i < 32; i++) all.push(value(i));
    };
    for (let e = -149; e <= 7; e++) {
      const [plain, spiky] = [random.bells(32), random.spiky(32, 30)];
      block((i) => plain[i] * 2 ** e);
      block((i) => spiky[i] * 2 ** e);
      block((i) => (plain[i] + 5) * 2 ** e); // all positive
      block((i) => (plain[i] - 5) * 2 ** e);
      block(() => 2 ** e);
      block(() => -1.1 * 2 ** e);
      block((i) => (i === 17 ? 2 ** e : 0));
      block((i) => (i === 31 ? -(2 ** e) : 0));
      block((i) => (i % 2 ? 2 ** e : -(2 ** e))); // two of the same size: the first counts
      block((i) => (i % 2 ? -(2 ** e) : 2 ** e));
      // Halves of codes: which way they go, from both sides.
      for (const codes of [254, 126, 31, 30, 16, 15])
        block((i) => (i === 0 ? codes : random.below(codes * 2) / 2) * 2 ** e);
      for (const codes of [127, 63, 16, 8])
        block((i) => (i === 0 ? -codes : random.below(codes * 4) / 2 - codes) * 2 ** e);
    }
    block(() => 0);
    block(() => -0);
    block((i) => (i % 3 ? 0 : -0));
    return Float32Array.from(all);
  });
}

/** The f32 that is so many steps away from x; 0 has no neighbours here. */
const neighbour = (x: number, step: number) => {
  const one = Float32Array.of(x);
  if (one[0] === 0) return 0;
  new Int32Array(one.buffer)[0] += step;
  return one[0];
};

for (const name of QUANTIZED) {
  const format = formatOf(name);

  everywhere(`${name}: blocks of every size as the reference has them`, (setting) => {
    compare(setting, name, blocks(), 1, "every size");
  });

  everywhere(`${name}: rows of any length, the last block filled up with zeros`, (setting) => {
    for (const columns of [1, 16, 31, 32, 33, 96, 1000])
      compare(setting, name, new Random(columns).spiky(columns * 5, 20), 5, `${columns} columns`);
  });

  everywhere(`${name}: numbers next to where the code changes`, (setting) => {
    const random = new Random(2);
    const x = once(`edges ${name}`, () => {
      const all = new Float32Array(32 * 400);
      for (let b = 0; b < all.length; b += 32) {
        const top = Math.fround(Math.abs(random.bell()) + 0.01);
        const steps = { q8_0: 254, q7_0: 126, q5_1: 31, q5_0: 32, q4_1: 15, q4_0: 16 }[name];
        for (let i = 0; i < 32; i++)
          all[b + i] = neighbour(((random.below(steps) + 0.5) / steps) * 2 * top - top, random.below(5) - 2);
        all[b + random.below(32)] = -top;
        all[b + random.below(32)] = top;
      }
      return all;
    });
    compare(setting, name, x, 1, "edges");
  });

  everywhere(`${name}: any numbers that fit`, (setting) => {
    const number = fc.oneof(
      fc.float({ min: -60000, max: 60000, noNaN: true }),
      fc.float({ min: -1, max: 1, noNaN: true }),
      fc.integer({ min: -64, max: 64 }).map((i) => i / 4),
      fc.constantFrom(0, -0, 1e-45, -1e-38),
    );
    fc.assert(
      fc.property(fc.array(number, { minLength: 32, maxLength: 32 }), (values) => {
        const x = Float32Array.from(values);
        assert.equal([...quantize(setting, name, x, 1)], [...quantizeBlock(name, x)]);
      }),
      { numRuns: runs(150), seed: 1 },
    );
  });

  test(`${name}: no number moves further than its step allows`, () => {
    const x = Float32Array.from(blocks().subarray(0, 32 * Math.floor(blocks().length / 32)));
    const file = new DataView(reference(name, x, 1).buffer);
    for (let b = 0; b * 32 < x.length; b++) {
      const values = x.subarray(b * 32, b * 32 + 32);
      const top = values.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
      const range = Math.max(...values) - Math.min(...values);
      // An f16 is off by 2^-11 of itself, or 2^-25; the scale's error counts as often as the code says.
      const off = (v: number) => Math.max(Math.abs(v) * 2 ** -11, 2 ** -25);
      const [step, reach, extra] = {
        q8_0: [top / 127, 127, 0],
        q7_0: [top / 63, 0, 0],
        q5_1: [range / 31, 31, off(top)],
        // The lowest code is one further from 0 than the highest: what lies there may be a whole step off.
        q5_0: [top / 8, 16, 0],
        q4_1: [range / 15, 15, off(top)],
        q4_0: [top / 4, 8, 0],
      }[name];
      const bound =
        (step / 2) * 1.0001 + reach * off(name.endsWith("_0") && reach > 0 ? top / reach : step) + extra + 1e-37 * 127;
      for (let i = 0; i < 32; i++) {
        const error = Math.abs(meant(valueAt(format, file, 0, b * 32 + i)) - values[i]);
        assert.ok(error <= bound, `${name}, block ${b}: ${values[i]} is off by ${error}, more than ${bound}`);
      }
    }
  });

  everywhere(`${name}: numbers that are none do not trap`, (setting) => {
    const { kernels, arena } = setting;
    const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38, -3.4e38, 1e-45];
    for (const value of bad)
      for (const other of bad) {
        const x = Float32Array.from({ length: 64 }, (_, i) => (i === 9 ? value : i === 40 ? other : i === 41 ? 1 : 0));
        quantize(setting, name, x, 1);
      }
    // What is too large for an f16 scale leaves a block that not_finite finds; q7_0 has f32 scales.
    const limit = { q8_0: 65520 * 127, q7_0: 0, q5_1: 65520, q5_0: 65520 * 16, q4_1: 65520, q4_0: 65520 * 8 }[name];
    for (const sign of [1, -1]) {
      const finite = (size: number) => {
        const x = Float32Array.from({ length: 96 }, (_, i) => (i === 70 ? sign * size : 0));
        const file = quantize(setting, name, x, 1).slice();
        return kernels.not_finite(arena.copy(file).at, format.id, 96);
      };
      if (name === "q7_0") assert.is(finite(3.4e38), -1);
      else {
        // One-sided formats put the size of a positive number into the scale, that of a negative one into the minimum.
        const most = name.endsWith("_1") && sign > 0 ? limit * (name === "q4_1" ? 15 : 31) : limit;
        assert.is(finite(most * 0.999), -1, `${sign * most * 0.999}`);
        assert.is(finite(most), 2, `${sign * most}`);
      }
    }
  });
}

/** SHA-256 over the 13 large matrices of v7.q8_0.gguf, v7.q5_1.gguf and v7.q4_0.gguf, which another program made of v7.f32.gguf. */
const MADE_ELSEWHERE = {
  q8_0: "9c32f9c332c440bfb5cfdf67b676017402a63ec01604a5c893c457a038c93d53",
  q5_1: "66ef0347b89d1d76dcc9f4de7bdbc9ba492e424318f0b54acca4c753de7e0937",
  q4_0: "b15d0df6544acfe1bdf7ba087cc4f288434e983b749872c3dfb5000958bcf669",
} as const;

const open = async (name: string) => {
  const bytes = fixture(name);
  const { tensors } = await readGguf(bytesSource(name, bytes));
  return tensors.map((tensor) => ({ ...tensor, data: bytes.slice(tensor.offset, tensor.offset + tensor.bytes) }));
};
const floats = await open("v7.f32.gguf");
const large = (await open("v7.q8_0.gguf")).filter(({ dtype }) => dtype === "q8_0").map(({ name }) => name);

everywhere("v7.f32.gguf: its matrices become the very blocks that another program made of them", (setting) => {
  assert.is(large.length, 13);
  for (const [type, digest] of Object.entries(MADE_ELSEWHERE)) {
    const hash = createHash("sha256");
    for (const name of large) {
      const { data } = floats.find((tensor) => tensor.name === name)!;
      hash.update(quantize(setting, type as Name, new Float32Array(data.buffer), 1));
    }
    assert.is(hash.digest("hex"), digest, type);
  }
});

everywhere("every type to every type that can be written goes through f32", (setting) => {
  const { arena, kernels } = setting;
  const random = new Random(3);
  const [rows, columns] = [3, 256];
  for (const from of FORMATS) {
    const file = Uint8Array.from({ length: rows * rowBytes(from, columns) }, () => random.below(256));
    const view = new DataView(file.buffer);
    for (let at = 0; at < file.length; at += from.bytes)
      for (const scale of from.scales) {
        if (from.name === "q7_0") view.setFloat32(at, random.bell(), true);
        else view.setUint16(at + scale, encode(F16, random.bell() / 16), true);
      }
    const x = Float32Array.from({ length: rows * columns }, (_, i) =>
      meant(valueAt(from, view, Math.floor(i / columns) * rowBytes(from, columns), i % columns)),
    );
    const convert = (to: number, bytes: number) => {
      arena.reset();
      const dst = arena.output(bytes);
      const scratch = arena.output(columns * 4 + 384);
      kernels.convert(dst.at, to, arena.input(file).at, from.id, rows, columns, scratch.at);
      return dst;
    };
    for (const name of QUANTIZED) {
      const to = formatOf(name);
      const found = convert(to.id, rows * rowBytes(to, columns)).u8;
      const expected = to === from ? file : reference(name, x, rows);
      assert.is(Buffer.compare(found, expected), 0, `${from.name} to ${name}`);
    }
    for (const [type, small] of [
      [T_F16, F16],
      [T_BF16, BF16],
    ] as const) {
      const found = convert(type, rows * columns * 2).u16;
      for (let i = 0; i < x.length; i++)
        assert.is(decode(small, found[i]), decode(small, encode(small, x[i] || 0)), `${from.name} to type ${type}`);
    }
  }
});

test.run();
