// Layer norm of one row: mean and variance are four partial sums each, in a fixed order.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { padded } from "./batch.ts";
import { everywhere, near, same } from "./harness.ts";
import { Random } from "./random.ts";
import { exactNorm, norm } from "./reference.ts";

const EPS = 1e-5;

everywhere("layer_norm of any width, bit by bit, and close to float64", ({ kernels, arena }) => {
  const random = new Random(20);
  const counts = Array.from({ length: 70 }, (_, i) => i + 1);
  for (const count of [...counts, 96, 100, 768, 2047, 2049]) {
    for (const scale of [1, 1e-3, 1e4]) {
      arena.reset();
      const x = random.spiky(count).map((v) => v * scale + scale);
      const weight = random.bells(count);
      const bias = random.bells(count);
      const [row, w, b] = [x, weight, bias].map((values) => arena.input(padded([values])));
      const dst = arena.output(row.u8.length);
      kernels.layer_norm(dst.at, row.at, w.at, b.at, count, EPS);
      const found = dst.f32.subarray(0, count);
      same(found, norm(x, weight, bias, EPS), `${count} channels`);
      // A row of equal numbers (or of one) has no variance but what rounding leaves: nothing to compare.
      if (count > 4) near(found, exactNorm(x, weight, bias, EPS), 2e-5 * Math.sqrt(count), `${count} channels`);
      assert.ok(
        dst.f32.subarray(count).every((v) => v === 0),
        "padding stays zero",
      );

      const place = arena.copy(padded([x]));
      kernels.layer_norm(place.at, place.at, w.at, b.at, count, EPS);
      same(place.f32, dst.f32, `${count} channels in place`);
    }
  }
});

everywhere("layer_norm of zeros gives the bias, of infinities and NaN no number", ({ kernels, arena }) => {
  const ones = arena.input(new Float32Array(32).fill(1));
  const bias = arena.input(Float32Array.from({ length: 32 }, (_, i) => i));
  const dst = arena.output(128);
  const run = (x: Float32Array) => kernels.layer_norm(dst.at, arena.input(x).at, ones.at, bias.at, 32, EPS);
  run(new Float32Array(32));
  same(dst.f32, bias.f32, "zeros");
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    run(new Float32Array(32).fill(bad, 7, 8));
    assert.ok(dst.f32.every((v) => Number.isNaN(v)));
  }
});

test.run();
