// Means and deviations for layer norm, group norm and the L2 norm. Every sum is four partial sums (index mod 4), then
// (0 + 2) + (1 + 3), whatever the thread count or chunk: one rank adds up a whole vector.

import { sum4 } from "./lanes";

/** Lanes below `count` (1..3) of a vector, zeros above. */
// @ts-ignore: decorator
@inline
function tail(x: usize, count: i32): v128 {
  let v = v128.load32_zero(x);
  if (count > 1) v = f32x4.replace_lane(v, 1, load<f32>(x, 4));
  if (count > 2) v = f32x4.replace_lane(v, 2, load<f32>(x, 8));
  return v;
}

/** Mean of x[0..count). */
export function mean(x: usize, count: i32): f32 {
  let a = f32x4.splat(0);
  const end = x + (<usize>(count >> 2) << 4);
  for (; x < end; x += 16) a = f32x4.add(a, v128.load(x));
  if (count & 3) a = f32x4.add(a, tail(x, count & 3));
  return sum4(a) / <f32>count;
}

/** 1 / sqrt(variance + eps) of x[0..count), whose mean is given. */
export function rstd(x: usize, count: i32, mean: f32, eps: f32): f32 {
  const m = f32x4.splat(mean);
  let a = f32x4.splat(0);
  const end = x + (<usize>(count >> 2) << 4);
  for (; x < end; x += 16) {
    const d = f32x4.sub(v128.load(x), m);
    a = f32x4.add(a, f32x4.mul(d, d));
  }
  if (count & 3) {
    for (let i = 0; i < (count & 3); i++) {
      const d = load<f32>(x + (<usize>i << 2)) - mean;
      // Lane i, as the vectors above would have it.
      const v = f32x4.replace_lane(f32x4.splat(0), 0, d * d);
      if (i == 0) a = f32x4.add(a, v);
      else if (i == 1) a = f32x4.add(a, v128.shuffle<i32>(v, v, 1, 0, 1, 1));
      else a = f32x4.add(a, v128.shuffle<i32>(v, v, 1, 1, 0, 1));
    }
  }
  return <f32>1 / sqrt<f32>(sum4(a) / <f32>count + eps);
}

/** (x - mean) * rstd * weight + bias, four channels. */
// @ts-ignore: decorator
@inline
export function normed(x: v128, mean: v128, rstd: v128, weight: v128, bias: v128): v128 {
  return f32x4.add(f32x4.mul(f32x4.mul(f32x4.sub(x, mean), rstd), weight), bias);
}

/** Layer norm of one row: dst, x, weight, bias hold whole blocks of f32; padding stays zero when weight and bias are padded with zeros. */
export function layer_norm(dst: usize, x: usize, weight: usize, bias: usize, count: i32, eps: f32): void {
  const m = mean(x, count);
  const r = f32x4.splat(rstd(x, count, m, eps));
  const mv = f32x4.splat(m);
  const end = x + (<usize>((count + 31) >> 5) << 7);
  do {
    v128.store(dst, normed(v128.load(x), mv, r, v128.load(weight), v128.load(bias)));
    dst += 16;
    x += 16;
    weight += 16;
    bias += 16;
  } while (x < end);
}
