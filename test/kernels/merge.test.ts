// Low-rank changes: weight + sum * (strength * (alpha / rank)), each operation rounded to f32.
import { test } from "uvu";
import { everywhere, same } from "./harness.ts";
import { Random } from "./random.ts";

const f = Math.fround;

everywhere("any count of rows and numbers, bit by bit, and nothing beside them", ({ kernels, arena }) => {
  const random = new Random(11);
  for (const [strength, alpha, rank] of [
    [1, 32, 64],
    [0.3, 7, 3],
    [-100, 1e6, 1],
    [0, 5, 5],
  ]) {
    for (const count of [1, 3, 4, 31, 32]) {
      for (const n of [1, 2, 32]) {
        arena.reset();
        const width = count + random.below(5);
        const [weights, sums] = [random.bells(n * width), random.bells(n * 32)];
        const dst = arena.copy(weights);
        kernels.merge(dst.at, width * 4, arena.input(sums).at, count, n, strength, alpha, rank);
        const factor = f(f(strength) * f(f(alpha) / rank));
        const expected = weights.map((w, i) => {
          const [t, c] = [Math.floor(i / width), i % width];
          return c < count ? f(w + f(sums[t * 32 + c] * factor)) : w;
        });
        same(dst.f32, expected, `${count} of ${width}, ${n} rows, ${strength} * ${alpha} / ${rank}`);
      }
    }
  }
});

test.run();
