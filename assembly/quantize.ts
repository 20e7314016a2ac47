// Activations to 8 bits, per token and block of 32 inputs: see `blocks.ts` for the layout, docs/numerics.md for why.

import { q8_bytes, q8_wide, Q8_SCALE, Q8_WIDE, row_bytes } from "./blocks";
import { ones } from "./dot";
import { BLOCK } from "./ops";

/** In all lanes: all bits but the sign, 127, and 1.5 * 2^23, beside which there is no room for a fraction. */
const NUMBERS = memory.data<u32>([0x7fffffff, 0x42fe0000, 0x4b400000]);
const SIZE: usize = 0;
const MOST: usize = 4;
const NO_FRACTION: usize = 8;

// @ts-ignore: decorator
@inline
function number(at: usize): v128 {
  return v128.load32_splat(NUMBERS + at);
}

/** dst: one activation block; src: 32 f32. */
export function quantize_block_q8(dst: usize, src: usize): void {
  // The bits of positive floats are in the order of the floats, NaN above all.
  const size = number(SIZE);
  let m = i32x4.max_u(v128.and(v128.load(src), size), v128.and(v128.load(src, 16), size));
  let k = i32x4.max_u(v128.and(v128.load(src, 32), size), v128.and(v128.load(src, 48), size));
  m = i32x4.max_u(m, i32x4.max_u(v128.and(v128.load(src, 64), size), v128.and(v128.load(src, 80), size)));
  k = i32x4.max_u(k, i32x4.max_u(v128.and(v128.load(src, 96), size), v128.and(v128.load(src, 112), size)));
  m = i32x4.max_u(m, k);
  m = i32x4.max_u(m, v128.shuffle<i32>(m, m, 2, 3, 0, 1));
  m = i32x4.max_u(m, v128.shuffle<i32>(m, m, 1, 0, 3, 2));
  const d = f32x4.div(m, number(MOST));
  const s = f32x4.extract_lane(d, 0);
  // A subnormal scale has too few digits for codes up to 127, and nothing that small counts: the block is zeros. Without codes
  // is also a block with an infinity or a NaN, whose scale is enough to spoil every sum.
  if (!(s >= 1.17549435e-38 && s <= f32.MAX_VALUE)) {
    for (let i: usize = 0; i < q8_bytes(); i += 16) v128.store(dst + i, i32x4.splat(0));
    store<f32>(dst, s < 1.17549435e-38 ? 0 : s, Q8_SCALE);
    return;
  }
  const big = number(NO_FRACTION);
  const a = codes_8(src, d, big);
  const b = codes_8(src + 32, d, big);
  const e = codes_8(src + 64, d, big);
  const f = codes_8(src + 96, d, big);
  if (ASC_FEATURE_RELAXED_SIMD) {
    v128.store(dst, i8x16.narrow_i16x8_s(a, b));
    v128.store(dst, i8x16.narrow_i16x8_s(e, f), 16);
  }
  if (q8_wide()) {
    v128.store(dst, a, Q8_WIDE);
    v128.store(dst, b, Q8_WIDE + 16);
    v128.store(dst, e, Q8_WIDE + 32);
    v128.store(dst, f, Q8_WIDE + 48);
  }
  // Sums of four codes, of eight, of the halves, of all.
  const one = ones();
  const near = i32x4.dot_i16x8_s(i16x8.add(a, b), one);
  const far = i32x4.dot_i16x8_s(i16x8.add(e, f), one);
  const eights = i32x4.add(v128.shuffle<i32>(near, far, 0, 1, 4, 5), v128.shuffle<i32>(near, far, 2, 3, 6, 7));
  const halves = i32x4.add(eights, v128.shuffle<i32>(eights, eights, 1, 0, 3, 2));
  const all = i32x4.add(halves, v128.shuffle<i32>(halves, halves, 2, 3, 0, 1));
  v128.store(dst, v128.shuffle<i32>(v128.shuffle<i32>(d, halves, 0, 4, 6, 6), all, 0, 1, 2, 4), Q8_SCALE);
}

/** Eight codes in 16 bits: x / d to the nearest integer, which is what the last bits are of a sum with a large number. */
// @ts-ignore: decorator
@inline
function codes_8(src: usize, d: v128, big: v128): v128 {
  return i16x8.narrow_i32x4_s(
    i32x4.sub(f32x4.add(f32x4.div(v128.load(src), d), big), big),
    i32x4.sub(f32x4.add(f32x4.div(v128.load(src, 16), d), big), big),
  );
}

/**
 * dst: quantised activations of n tokens; src: n rows of `stride` bytes, whole blocks of f32; the blocks from `first` up to `last`.
 */
export function quantize_q8(dst: usize, src: usize, stride: usize, first: i32, last: i32, n: i32): void {
  let to = dst + <usize>first * <usize>n * q8_bytes();
  for (let b = first; b < last; b++) {
    let from = src + <usize>b * (BLOCK * 4);
    for (let t = 0; t < n; t++) {
      quantize_block_q8(to, from);
      from += stride;
      to += q8_bytes();
    }
  }
}

/** Bytes that `quantize_q8` fills for n tokens of so many channels. */
export function quantized_bytes(channels: i32, n: i32): usize {
  return (row_bytes(channels) / (BLOCK * 4)) * <usize>n * q8_bytes();
}
