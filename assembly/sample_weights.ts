// Sums and extremes over many scores. Arrays are filled up to whole vectors, scores with -Infinity, whose weight is 0. Sums are f64
// in a fixed order: two lanes for even and odd places of each half vector, then those.

import { max4 } from "./lanes";
import { exp } from "./math";
import { pad, whole } from "./sample_work";

/** 0, 1, 2, 3 and 4, 4, 4, 4: read from memory, as engines rebuild literal vectors at every use. */
const IOTA = memory.data<i32>([0, 1, 2, 3, 4, 4, 4, 4]);

// @ts-ignore: decorator
@inline
export function iota(): v128 {
  return v128.load(IOTA);
}

// @ts-ignore: decorator
@inline
export function fours(): v128 {
  return v128.load(IOTA, 16);
}

/** The upper two lanes of four, as f64. */
// @ts-ignore: decorator
@inline
export function upper(v: v128): v128 {
  return f64x2.promote_low_f32x4(i64x2.shuffle(v, v, 1, 1));
}

// @ts-ignore: decorator
@inline
export function sum2(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

/** Copies n numbers, fills the last vector with -Infinity, and answers the largest, or NaN if there is one. */
export function copy(dst: usize, src: usize, n: i32): f32 {
  let a = f32x4.splat(-Infinity);
  let b = a;
  let odd = i32x4.splat(0);
  const end = <usize>n << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const v = v128.load(src + i);
    const w = v128.load(src + i, 16);
    v128.store(dst + i, v);
    v128.store(dst + i, w, 16);
    a = f32x4.pmax(a, v);
    b = f32x4.pmax(b, w);
    // Not equal to itself is NaN.
    odd = v128.or(odd, v128.or(f32x4.ne(v, v), f32x4.ne(w, w)));
  }
  let top: f32 = v128.any_true(odd) ? f32.NaN : max4(f32x4.pmax(a, b));
  for (; i < end; i += 4) {
    const x = load<f32>(src + i);
    store<f32>(dst + i, x);
    top = max<f32>(top, x);
  }
  pad(dst, n, -Infinity);
  return top;
}

/** The largest of whole vectors without NaN. */
export function largest(scores: usize, n: i32): f32 {
  let m = f32x4.splat(-Infinity);
  const end = scores + whole(n);
  for (let i = scores; i < end; i += 16) m = f32x4.pmax(m, v128.load(i));
  return max4(m);
}

/** The first place of a number that is among n. */
export function find(scores: usize, n: i32, x: f32): i32 {
  const v = f32x4.splat(x);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const equal = i32x4.bitmask(f32x4.eq(v128.load(scores + (<usize>i << 2)), v));
    if (equal) return i + ctz(equal);
  }
  while (load<f32>(scores + (<usize>i << 2)) != x) i++;
  return i;
}

/** Lowest index of the largest of n scores, which need no padding; -1 when there is a NaN or an infinity on top. */
export function argmax(scores: usize, vocab: i32): i32 {
  let m = f32x4.splat(-Infinity);
  let i = 0;
  for (; i + 4 <= vocab; i += 4) m = f32x4.max(m, v128.load(scores + (<usize>i << 2)));
  let top = max4(m);
  for (; i < vocab; i++) top = max<f32>(top, load<f32>(scores + (<usize>i << 2)));
  if (!(abs<f32>(top) < Infinity)) return -1;
  return find(scores, vocab, top);
}

/** Below this, weights are 0: they would become subnormal, which is slow and means nothing. */
const NOTHING: f32 = -87;

/** weights[i] = e^((scores[i] - top) * scale); answers their sum. */
export function exps(weights: usize, scores: usize, n: i32, top: f32, scale: f32): f64 {
  const t = f32x4.splat(top);
  const s = f32x4.splat(scale);
  const nothing = f32x4.splat(NOTHING);
  const end = whole(n);
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  for (let i: usize = 0; i < end; i += 16) {
    const x = f32x4.mul(f32x4.sub(v128.load(scores + i), t), s);
    const w = v128.and(exp(f32x4.pmax(nothing, x)), f32x4.ge(x, nothing));
    v128.store(weights + i, w);
    a = f64x2.add(a, f64x2.promote_low_f32x4(w));
    b = f64x2.add(b, upper(w));
  }
  return sum2(f64x2.add(a, b));
}

/** The sum of the weights in whole vectors. */
export function sum(weights: usize, n: i32): f64 {
  const end = weights + whole(n);
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  for (let i = weights; i < end; i += 16) {
    const w = v128.load(i);
    a = f64x2.add(a, f64x2.promote_low_f32x4(w));
    b = f64x2.add(b, upper(w));
  }
  return sum2(f64x2.add(a, b));
}

/** The sum of weight times distance from the top: the mean distance, times the sum of the weights. */
export function distances(weights: usize, scores: usize, n: i32, top: f32): f64 {
  const t = f32x4.splat(top);
  // Beyond this the weight is 0, which times infinity would not be 0.
  const far = f32x4.splat(1000);
  const end = whole(n);
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  for (let i: usize = 0; i < end; i += 16) {
    const w = v128.load(weights + i);
    const d = f32x4.min(f32x4.sub(t, v128.load(scores + i)), far);
    a = f64x2.add(a, f64x2.mul(f64x2.promote_low_f32x4(w), f64x2.promote_low_f32x4(d)));
    b = f64x2.add(b, f64x2.mul(upper(w), upper(d)));
  }
  return sum2(f64x2.add(a, b));
}

/** The standard deviation of the scores that are not -Infinity. */
export function deviation(scores: usize, n: i32, top: f32): f32 {
  const t = f32x4.splat(top);
  const none = f32x4.splat(-Infinity);
  const end = whole(n);
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let c = f64x2.splat(0);
  let d = f64x2.splat(0);
  let count = i32x4.splat(0);
  for (let i: usize = 0; i < end; i += 16) {
    const s = v128.load(scores + i);
    const is = f32x4.gt(s, none);
    const x = v128.and(f32x4.sub(s, t), is);
    const low = f64x2.promote_low_f32x4(x);
    const high = upper(x);
    a = f64x2.add(a, low);
    b = f64x2.add(b, high);
    c = f64x2.add(c, f64x2.mul(low, low));
    d = f64x2.add(d, f64x2.mul(high, high));
    count = i32x4.sub(count, is);
  }
  const m = <f64>count4(count);
  const mean = sum2(f64x2.add(a, b)) / m;
  return <f32>sqrt<f64>(max<f64>(0, sum2(f64x2.add(c, d)) / m - mean * mean));
}

/** How many scores are not -Infinity. */
export function allowed(scores: usize, n: i32): i32 {
  const none = f32x4.splat(-Infinity);
  const end = scores + whole(n);
  let count = i32x4.splat(0);
  for (let i = scores; i < end; i += 16) count = i32x4.sub(count, f32x4.gt(v128.load(i), none));
  return count4(count);
}

// @ts-ignore: decorator
@inline
export function count4(v: v128): i32 {
  return (
    i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3)
  );
}
