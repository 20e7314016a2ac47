// Activations to 8 bits, per token and block of 32 inputs: see `blocks.ts` for the layout, docs/numerics.md for why.

import { block_stride, Q8_SCALE, Q8_SUM, Q8_SUMS, row_bytes } from "./blocks";
import { max4, sum4 } from "./lanes";
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
  const begin = dst;
  const end = src + BLOCK * 4;
  do {
    const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(src), d)));
    const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(src, 16), d)));
    v128.store(dst, i16x8.narrow_i32x4_s(a, b));
    src += 32;
    dst += 16;
  } while (src < end);
  const first = code_sum(begin);
  const second = code_sum(begin + 32);
  store<f32>(begin, first, Q8_SUMS);
  store<f32>(begin, second, Q8_SUMS + 4);
  store<f32>(begin, first + second, Q8_SUM);
}

/** The sum of 16 codes of 16 bits, exact. */
// @ts-ignore: decorator
@inline
function code_sum(at: usize): f32 {
  const one = i16x8.splat(1);
  const pairs = i32x4.add(i32x4.dot_i16x8_s(v128.load(at), one), i32x4.dot_i16x8_s(v128.load(at, 16), one));
  return sum4(f32x4.convert_i32x4_s(pairs));
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
