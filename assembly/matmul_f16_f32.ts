// As matmul_f32_f32, with f16 or bf16 weights: widened exactly, then the same chains, so the bits are those of the f32 kernel.

import { f16_scale, lower_f16, upper_f16, upper_mask } from "./lanes";
import { tiles_f32 } from "./matmul_f32_f32";

/** Inputs whose weights are widened at a time, if there are many tokens: 8 kB, which then serve all of them. */
const CHUNK: i32 = 64;
/** Up to how many tokens weights are widened for every two tokens anew: bf16 takes less to widen than to store and load again. */
const FEW_F16 = 2;
const FEW_BF16 = 4;

/** out: n x 32 f32; weights: one piece; x: n rows of `stride` bytes; scratch: 8 kB. */
export function matmul_f16_f32(out: usize, weights: usize, x: usize, stride: usize, inputs: i32, n: i32, scratch: usize): void {
  matmul_16<i16>(out, weights, x, stride, inputs, n, scratch);
}

/** The same for bf16. */
export function matmul_bf16_f32(out: usize, weights: usize, x: usize, stride: usize, inputs: i32, n: i32, scratch: usize): void {
  matmul_16<u16>(out, weights, x, stride, inputs, n, scratch);
}

function matmul_16<T>(out: usize, weights: usize, x: usize, stride: usize, inputs: i32, n: i32, scratch: usize): void {
  if (n <= (isSigned<T>() ? FEW_F16 : FEW_BF16)) {
    let t = 0;
    for (; t + 2 <= n; t += 2) {
      const to = out + <usize>t * 128;
      const from = x + <usize>t * stride;
      columns_16x2<T>(to, weights, from, stride, inputs);
      columns_16x2<T>(to + 64, weights + 32, from, stride, inputs);
    }
    if (t < n) column_32<T>(out + <usize>t * 128, weights, x + <usize>t * stride, inputs);
    // An activation that became infinite when it took over the weights' factor has spoilt every sum.
    if (!isSigned<T>() || finite(out, n)) return;
  }
  memory.fill(out, 0, <usize>n * 128);
  for (let k = 0; k < inputs; k += CHUNK) {
    const count = min(CHUNK, inputs - k);
    widen<T>(scratch, weights, <usize>count * 64);
    weights += <usize>count * 64;
    tiles_f32(out, scratch, x + <usize>k * 4, stride, count, n);
  }
}

function finite(out: usize, n: i32): bool {
  let zeros = f32x4.splat(0);
  const end = out + <usize>n * 128;
  for (; out < end; out += 16) zeros = f32x4.add(zeros, f32x4.sub(v128.load(out), v128.load(out)));
  return i32x4.all_true(f32x4.eq(zeros, zeros));
}

// Eight weights become two vectors: the upper halves of their f32, the lower halves, the two interleaved. T is i16 for f16,
// u16 for bf16, of which the weight itself is the upper half. What comes of f16 is too small by a factor, a power of two.

// @ts-ignore: decorator
@inline
function upper<T>(h: v128, mask: v128): v128 {
  return isSigned<T>() ? upper_f16(h, mask) : h;
}

// @ts-ignore: decorator
@inline
function lower<T>(h: v128): v128 {
  return isSigned<T>() ? lower_f16(h) : i16x8.splat(0);
}

/** The first four of eight. */
// @ts-ignore: decorator
@inline
function near(lower: v128, upper: v128): v128 {
  return v128.shuffle<i16>(lower, upper, 0, 8, 1, 9, 2, 10, 3, 11);
}

/** The last four. */
// @ts-ignore: decorator
@inline
function far(lower: v128, upper: v128): v128 {
  return v128.shuffle<i16>(lower, upper, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** A number in all lanes, times the factor of the weights: a product is the same whichever of the two has it. */
// @ts-ignore: decorator
@inline
function scaled<T>(x: v128): v128 {
  return isSigned<T>() ? f32x4.mul(x, f16_scale()) : x;
}

/** `bytes` of weights to f32. */
function widen<T>(to: usize, from: usize, bytes: usize): void {
  const mask = upper_mask();
  const end = from + bytes;
  do {
    const h = v128.load(from);
    const u = upper<T>(h, mask);
    const l = lower<T>(h);
    v128.store(to, scaled<T>(near(l, u)));
    v128.store(to, scaled<T>(far(l, u)), 16);
    from += 16;
    to += 32;
  } while (from < end);
}

/** One token: 32 chains at once, 8 vectors. */
function column_32<T>(out: usize, w: usize, x: usize, inputs: i32): void {
  const mask = upper_mask();
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  const end = x + <usize>inputs * 4;
  do {
    const s = scaled<T>(v128.load32_splat(x));
    let h = v128.load(w);
    let u = upper<T>(h, mask);
    let l = lower<T>(h);
    a0 = f32x4.add(a0, f32x4.mul(near(l, u), s));
    a1 = f32x4.add(a1, f32x4.mul(far(l, u), s));
    h = v128.load(w, 16);
    u = upper<T>(h, mask);
    l = lower<T>(h);
    a2 = f32x4.add(a2, f32x4.mul(near(l, u), s));
    a3 = f32x4.add(a3, f32x4.mul(far(l, u), s));
    h = v128.load(w, 32);
    u = upper<T>(h, mask);
    l = lower<T>(h);
    a4 = f32x4.add(a4, f32x4.mul(near(l, u), s));
    a5 = f32x4.add(a5, f32x4.mul(far(l, u), s));
    h = v128.load(w, 48);
    u = upper<T>(h, mask);
    l = lower<T>(h);
    a6 = f32x4.add(a6, f32x4.mul(near(l, u), s));
    a7 = f32x4.add(a7, f32x4.mul(far(l, u), s));
    x += 4;
    w += 64;
  } while (x < end);
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, a2, 32);
  v128.store(out, a3, 48);
  v128.store(out, a4, 64);
  v128.store(out, a5, 80);
  v128.store(out, a6, 96);
  v128.store(out, a7, 112);
}

/** Two tokens: 16 rows, of 64 bytes for every input. */
function columns_16x2<T>(out: usize, w: usize, x: usize, stride: usize, inputs: i32): void {
  const mask = upper_mask();
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const end = x + <usize>inputs * 4;
  do {
    const s = scaled<T>(v128.load32_splat(x));
    const t = scaled<T>(v128.load32_splat(x + stride));
    let h = v128.load(w);
    let u = upper<T>(h, mask);
    let l = lower<T>(h);
    let v = near(l, u);
    a0 = f32x4.add(a0, f32x4.mul(v, s));
    b0 = f32x4.add(b0, f32x4.mul(v, t));
    v = far(l, u);
    a1 = f32x4.add(a1, f32x4.mul(v, s));
    b1 = f32x4.add(b1, f32x4.mul(v, t));
    h = v128.load(w, 16);
    u = upper<T>(h, mask);
    l = lower<T>(h);
    v = near(l, u);
    a2 = f32x4.add(a2, f32x4.mul(v, s));
    b2 = f32x4.add(b2, f32x4.mul(v, t));
    v = far(l, u);
    a3 = f32x4.add(a3, f32x4.mul(v, s));
    b3 = f32x4.add(b3, f32x4.mul(v, t));
    x += 4;
    w += 64;
  } while (x < end);
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, a2, 32);
  v128.store(out, a3, 48);
  v128.store(out, b0, 128);
  v128.store(out, b1, 144);
  v128.store(out, b2, 160);
  v128.store(out, b3, 176);
}
