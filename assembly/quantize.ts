// Activations to 8 bits, per token and block of 32 inputs: see `blocks.ts` for the layout, docs/numerics.md for why.

import { block_stride, Q8_SCALE, Q8_SUM, Q8_SUMS, Q8_WIDE, row_bytes } from "./blocks";
import { max4 } from "./lanes";
import { BLOCK, Q8_BLOCK } from "./ops";

/** dst: one activation block; src: 32 f32. */
export function quantize_block_q8(dst: usize, src: usize): void {
  let m = f32x4.max(f32x4.abs(v128.load(src)), f32x4.abs(v128.load(src, 16)));
  m = f32x4.max(m, f32x4.max(f32x4.abs(v128.load(src, 32)), f32x4.abs(v128.load(src, 48))));
  m = f32x4.max(m, f32x4.max(f32x4.abs(v128.load(src, 64)), f32x4.abs(v128.load(src, 80))));
  m = f32x4.max(m, f32x4.max(f32x4.abs(v128.load(src, 96)), f32x4.abs(v128.load(src, 112))));
  let s: f32 = max4(m) / 127;
  // A subnormal scale has too few digits for codes up to 127, and nothing that small counts: the block is zeros.
  if (s < 1.17549435e-38) s = 0;
  store<f32>(dst, s, Q8_SCALE);
  if (s == 0) {
    for (let i: usize = 0; i < <usize>Q8_BLOCK; i += 16) v128.store(dst + i, i32x4.splat(0));
    return;
  }
  const d = f32x4.splat(s);
  for (let half: usize = 0; half < 2; half++) {
    const p = codes_8(src, d);
    const q = codes_8(src + 32, d);
    v128.store(dst + half * 32, p, Q8_WIDE);
    v128.store(dst + half * 32, q, Q8_WIDE + 16);
    v128.store(dst + half * 16, i8x16.narrow_i16x8_s(p, q));
    const one = i16x8.splat(1);
    store<i32>(dst + half * 4, sum4_i32(i32x4.add(i32x4.dot_i16x8_s(p, one), i32x4.dot_i16x8_s(q, one))), Q8_SUMS);
    src += 64;
  }
  store<i32>(dst, load<i32>(dst, Q8_SUMS) + load<i32>(dst, Q8_SUMS + 4), Q8_SUM);
}

/** Eight codes in 16 bits. */
// @ts-ignore: decorator
@inline
function codes_8(src: usize, d: v128): v128 {
  return i16x8.narrow_i32x4_s(
    i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(src), d))),
    i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(src, 16), d))),
  );
}

// @ts-ignore: decorator
@inline
function sum4_i32(v: v128): i32 {
  return (
    i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + (i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3))
  );
}

/**
 * dst: quantised activations of n tokens; src: n rows of `stride` bytes, whole blocks of f32; the blocks from `first` up to `last`.
 */
export function quantize_q8(dst: usize, src: usize, stride: usize, first: i32, last: i32, n: i32): void {
  for (let b = first; b < last; b++) {
    const to = dst + <usize>b * block_stride(n);
    const from = src + <usize>b * (BLOCK * 4);
    for (let t = 0; t < n; t++) quantize_block_q8(to + <usize>t * Q8_BLOCK, from + <usize>t * stride);
  }
}

/** Bytes that `quantize_q8` fills for n tokens of so many channels. */
export function quantized_bytes(channels: i32, n: i32): usize {
  return (row_bytes(channels) / (BLOCK * 4)) * block_stride(n);
}
