// From scores to weights: what the largest is, and e^score in proportion to it.

import { max4 } from "./lanes";
import { exp } from "./math";

/** Lowest index of the largest; -1 when there is a NaN or an infinity on top. */
export function argmax(scores: usize, vocab: i32): i32 {
  let m = f32x4.splat(-Infinity);
  let i = 0;
  for (; i + 4 <= vocab; i += 4) m = f32x4.max(m, v128.load(scores + (<usize>i << 2)));
  let top = max4(m);
  for (; i < vocab; i++) top = max<f32>(top, load<f32>(scores + (<usize>i << 2)));
  if (!(abs<f32>(top) < Infinity)) return -1;
  for (i = 0; i < vocab; i++) if (load<f32>(scores + (<usize>i << 2)) == top) return i;
  return -1;
}

/** weights[i] = e^((scores[i] - top) * scale); answers their sum, ascending. Both arrays are padded to whole vectors. */
export function exps(weights: usize, scores: usize, vocab: i32, top: f32, scale: f32): f64 {
  const t = f32x4.splat(top);
  const s = f32x4.splat(scale);
  for (let i: usize = 0; i < <usize>vocab * 4; i += 16) {
    v128.store(weights + i, exp(f32x4.mul(f32x4.sub(v128.load(scores + i), t), s)));
  }
  let sum: f64 = 0;
  for (let i: usize = 0; i < <usize>vocab * 4; i += 4) sum += load<f32>(weights + i);
  return sum;
}
