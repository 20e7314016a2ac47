// Draws in the order of the ids.

import { whole } from "./sample_work";
import { sum } from "./sample_weights";

/** Bytes of weights that are summed at once. */
const STRIDE: usize = 1024;

/** The first of n places at which the sum of the weights passes `target`; if none does, the last that has any weight. */
export function draw(weights: usize, n: i32, target: f64): i32 {
  let total: f64 = 0;
  const end = whole(n);
  for (let i: usize = 0; i < end; i += STRIDE) {
    const stop = min<usize>(i + STRIDE, end);
    const block = total + sum(weights + i, <i32>((stop - i) >> 2));
    if (block <= target) {
      total = block;
      continue;
    }
    for (let j = i; j < stop; j += 4) {
      total += load<f32>(weights + j);
      if (total > target) return <i32>(j >> 2);
    }
  }
  let last = end - 4;
  while (last > 0 && load<f32>(weights + last) == 0) last -= 4;
  return <i32>(last >> 2);
}
