// Activations in 8 bits: scale = max|x| / 127, codes = nearest-even(x / scale), per token and 32 channels.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Q8_BLOCK } from "../../assembly/ops.ts";
import { runs } from "../runs.ts";
import { everywhere, type Setting } from "./harness.ts";
import { blockAt, layoutOf } from "./quantized.ts";
import { Random } from "./random.ts";
import { quantizeActivations } from "./reference.ts";

/** Quantises n tokens of `channels` channels in one call per piece of `splits`, and compares every code and scale. */
function compare(
  { kernels, arena }: Setting,
  x: Float32Array,
  n: number,
  stride = x.length / n,
  cuts: number[] = [],
): void {
  arena.reset();
  const blocks = stride / 32;
  const src = arena.input(x);
  const dst = arena.output(kernels.quantized_bytes(stride, n));
  const layout = layoutOf(kernels);
  assert.is(dst.u8.length, blocks * n * layout.bytes);
  assert.ok(layout.bytes <= Q8_BLOCK);
  const ends = [0, ...cuts, blocks];
  for (let i = 1; i < ends.length; i++) kernels.quantize_q8(dst.at, src.at, stride * 4, ends[i - 1], ends[i], n);
  for (let b = 0; b < blocks; b++) {
    for (let t = 0; t < n; t++) {
      const expected = quantizeActivations(x, t * stride + b * 32);
      const { scale, sums, codes } = blockAt(layout, dst.u8, (b * n + t) * layout.bytes);
      const where = `token ${t}, block ${b}`;
      assert.ok(Object.is(scale, expected.scale), `${where}: scale ${scale}`);
      assert.ok(codes.length > 0);
      for (const found of codes) assert.equal(found, [...expected.codes], where);
      const sum = (from: number, to: number) => expected.codes.slice(from, to).reduce((a, b) => a + b, 0);
      assert.equal(sums, [sum(0, 16), sum(16, 32), sum(0, 32)], where);
      assert.ok(expected.codes.every((code) => Math.abs(code) <= 127));
    }
  }
}

everywhere("codes and scales of activations, whoever takes which blocks", (setting) => {
  const random = new Random(1);
  for (const n of [1, 2, 3, 16]) {
    for (const blocks of [1, 2, 7, 24]) {
      const x = random.spiky(n * blocks * 32);
      compare(setting, x, n);
      if (blocks > 2) compare(setting, x, n, blocks * 32, [1, 1, 5]);
    }
  }
});

everywhere("a block of zeros, of -0, of the largest and the smallest numbers", (setting) => {
  const block = (value: (i: number) => number) => Float32Array.from({ length: 32 }, (_, i) => value(i));
  const largest = 3.4028234663852886e38;
  for (const x of [
    block(() => 0),
    block(() => -0),
    block((i) => (i === 31 ? -1 : 0)),
    block((i) => (i % 2 ? largest : -largest)),
    block((i) => i * 2 ** -149),
    block((i) => (i + 100) * 2 ** -149),
    block((i) => 2 ** -130 * (i - 16)),
    block((i) => 2 ** -120 * (i - 16)),
    block((i) => i - 16 + 0.5), // scale 1/8: every quotient an integer and a half or so
    block((i) => (i === 0 ? 127 : i - 15.5)), // scale 1: ties, to even
    block((i) => (i === 0 ? -254 : (i - 15) * 3)), // scale 2
  ])
    compare(setting, x, 1);
});

everywhere("numbers half way between two codes, and their neighbours", (setting) => {
  const random = new Random(2);
  const neighbour = (x: number, step: number) => {
    const one = Float32Array.of(x);
    new Int32Array(one.buffer)[0] += step;
    return one[0];
  };
  for (let i = 0; i < 300; i++) {
    const top = Math.fround(Math.abs(random.bell()) + 0.01);
    const scale = Math.fround(top / 127);
    const x = Float32Array.from({ length: 32 }, () =>
      neighbour((random.below(253) - 126.5) * scale, random.below(5) - 2),
    );
    x[random.below(32)] = top;
    compare(setting, x, 1);
  }
});

everywhere("any activations", (setting) => {
  const number = fc.oneof(
    fc.float({ noNaN: true, noDefaultInfinity: true }),
    fc.float({ min: -8, max: 8, noNaN: true }),
    fc.integer({ min: -254, max: 254 }).map((i) => i / 2),
  );
  const block = fc.array(number, { minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(block, (x) => compare(setting, Float32Array.from(x), 1)),
    { numRuns: runs(200), seed: 1 },
  );
});

everywhere("an infinity or a NaN leaves a scale that is no number, and does not trap", (setting) => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    setting.arena.reset();
    const src = setting.arena.input(Float32Array.from({ length: 32 }, (_, i) => (i === 9 ? bad : i)));
    const layout = layoutOf(setting.kernels);
    const dst = setting.arena.output(layout.bytes);
    setting.kernels.quantize_q8(dst.at, src.at, 128, 0, 1, 1);
    const { scale, codes } = blockAt(layout, dst.u8, 0);
    assert.not(Number.isFinite(scale));
    assert.ok(codes.flat().every((code) => code === 0));
  }
});

test.run();
