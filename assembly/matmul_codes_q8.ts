// out[t][row] = sum over inputs of weights[row][input] * x[t][input], for one piece of 32 rows; weights as 8-bit codes with
// f32 scales, activations quantised to 8 bits per token and block (quantize.ts). The products under one scale are summed exactly
// in 32-bit integers; then, one rounding for each operation, blocks ascending, one chain per (row, token):
//
//   symmetric   sum = sum + f32(codes . q) * (scale * s)
//   minimum     sum = sum + (f32(codes . q) * (scale * s) + f32(sum of q) * (minimum * s))
//   halves      as minimum, but scale and minimum belong to 16 inputs: the first half of a block, then the second
//
// s and q are the activations' scale and codes. `blocks.ts` has the tiles.

import { block_stride, blocks, Q8_SCALE, Q8_SUM, Q8_SUMS, tile_bytes, tile_header } from "./blocks";
import { PIECE, Q8_BLOCK } from "./ops";

// The three kinds of tiles, as types, so that each gets code of its own.
type Symmetric = u8;
type Minimum = u16;
type Halves = u32;

/** out: n x 32 f32; weights: one piece; x: quantised activations of n tokens; scratch: 1 kB. */
export function matmul_q8_0_q8(out: usize, weights: usize, x: usize, inputs: i32, n: i32, scratch: usize): void {
  matmul<Symmetric>(out, weights, x, inputs, n, scratch);
}
export function matmul_q8_1_q8(out: usize, weights: usize, x: usize, inputs: i32, n: i32, scratch: usize): void {
  matmul<Minimum>(out, weights, x, inputs, n, scratch);
}
export function matmul_q8_16_q8(out: usize, weights: usize, x: usize, inputs: i32, n: i32, scratch: usize): void {
  matmul<Halves>(out, weights, x, inputs, n, scratch);
}

function matmul<K>(out: usize, weights: usize, x: usize, inputs: i32, n: i32, scratch: usize): void {
  const count = blocks(inputs);
  const group = <usize>count * tile_bytes<K>();
  if (n <= 2) {
    for (let t = 0; t < n; t++) {
      const to = out + <usize>t * (PIECE * 4);
      const from = x + <usize>t * Q8_BLOCK;
      for (let g: usize = 0; g < 4; g++) column_8<K>(to + g * 32, weights + g * group, from, block_stride(n), count);
    }
    return;
  }
  memory.fill(out, 0, <usize>n * (PIECE * 4));
  rows_16<K>(out, weights, weights + group, x, count, n, scratch);
  rows_16<K>(out + 64, weights + 2 * group, weights + 3 * group, x, count, n, scratch);
}

/** sum, brought forward by what one scale (and minimum) of four rows contributes. `w`: where their scales are. */
// @ts-ignore: decorator
@inline
function add<K>(sum: v128, products: v128, w: usize, s: v128, codes: v128): v128 {
  const part = f32x4.mul(f32x4.convert_i32x4_s(products), f32x4.mul(v128.load(w), s));
  if (sizeof<K>() == sizeof<Symmetric>()) return f32x4.add(sum, part);
  return f32x4.add(sum, f32x4.add(part, f32x4.mul(codes, f32x4.mul(v128.load(w, 32), s))));
}

/** The sum of the activation codes under one scale. */
// @ts-ignore: decorator
@inline
function code_sum<K>(x: usize, part: usize): v128 {
  if (sizeof<K>() == sizeof<Symmetric>()) return f32x4.splat(0);
  if (sizeof<K>() == sizeof<Minimum>()) return v128.load32_splat(x, Q8_SUM);
  return v128.load32_splat(x + part * 4, Q8_SUMS);
}

// @ts-ignore: decorator
@inline
function parts<K>(): usize {
  return sizeof<K>() == sizeof<Halves>() ? 2 : 1;
}

/** 8 rows x 1 token. Two rounds per block, so that no engine has to spill. */
function column_8<K>(out: usize, w: usize, x: usize, stride: usize, count: i32): void {
  let low = f32x4.splat(0);
  let high = f32x4.splat(0);
  do {
    const s = v128.load32_splat(x, Q8_SCALE);
    let p = w + tile_header<K>();
    let q = x;
    for (let part: usize = 0; part < parts<K>(); part++) {
      // Even lanes take inputs 0 and 1 of a step, odd lanes inputs 2 and 3; rows 0 1, 2 3, 4 5, 6 7.
      let a = i32x4.splat(0);
      let b = a;
      let c = a;
      let d = a;
      const end = q + 64 / parts<K>();
      do {
        let v = v128.load64_splat(q);
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p), v));
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 8), v));
        c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 16), v));
        d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 24), v));
        v = v128.load64_splat(q, 8);
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 32), v));
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 40), v));
        c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 48), v));
        d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 56), v));
        v = v128.load64_splat(q, 16);
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 64), v));
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 72), v));
        c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 80), v));
        d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 88), v));
        v = v128.load64_splat(q, 24);
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 96), v));
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 104), v));
        c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 112), v));
        d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 120), v));
        p += 128;
        q += 32;
      } while (q < end);
      const codes = code_sum<K>(x, part);
      a = i32x4.add(v128.shuffle<i32>(a, b, 0, 2, 4, 6), v128.shuffle<i32>(a, b, 1, 3, 5, 7));
      c = i32x4.add(v128.shuffle<i32>(c, d, 0, 2, 4, 6), v128.shuffle<i32>(c, d, 1, 3, 5, 7));
      low = add<K>(low, a, w + part * 64, s, codes);
      high = add<K>(high, c, w + part * 64 + 16, s, codes);
    }
    w += tile_bytes<K>();
    x += stride;
  } while (--count);
  v128.store(out, low);
  v128.store(out, high, 16);
}

/** 16 rows (two groups) x n tokens: each block's codes are widened to 16 bits once, and serve all tokens from the scratch. */
function rows_16<K>(out: usize, w0: usize, w1: usize, x: usize, count: i32, n: i32, scratch: usize): void {
  do {
    widen_8(scratch, w0 + tile_header<K>());
    widen_8(scratch + 32, w1 + tile_header<K>());
    let to = out;
    let t = 0;
    for (; t + 2 <= n; t += 2) {
      tile_16x2<K>(to, scratch, x, w0, w1);
      to += 2 * (PIECE * 4);
      x += 2 * Q8_BLOCK;
    }
    if (t < n) {
      tile_16x1<K>(to, scratch, x, w0, w1);
      x += Q8_BLOCK;
    }
    w0 += tile_bytes<K>();
    w1 += tile_bytes<K>();
  } while (--count);
}

/** 8 rows x 32 inputs to 16 bits, two inputs at a time: per pair of inputs 2 vectors of 4 rows, 64 bytes from pair to pair. */
function widen_8(to: usize, codes: usize): void {
  const end = to + 1024;
  do {
    let a = v128.load_ext<i8>(codes);
    let b = v128.load_ext<i8>(codes, 8);
    v128.store(to, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
    v128.store(to, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 64);
    a = v128.load_ext<i8>(codes, 16);
    b = v128.load_ext<i8>(codes, 24);
    v128.store(to, v128.shuffle<i32>(a, b, 0, 2, 4, 6), 16);
    v128.store(to, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 80);
    codes += 32;
    to += 128;
  } while (to < end);
}

/** 16 rows x 2 tokens x one block: 8 vectors of integer sums, carried by a loop of two inputs per round. */
function tile_16x2<K>(out: usize, w: usize, x: usize, w0: usize, w1: usize): void {
  const s = v128.load32_splat(x, Q8_SCALE);
  const r = v128.load32_splat(x + Q8_BLOCK, Q8_SCALE);
  let q = x;
  for (let part: usize = 0; part < parts<K>(); part++) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = a0;
    let b1 = a0;
    let b2 = a0;
    let b3 = a0;
    const end = q + 64 / parts<K>();
    do {
      const u = v128.load32_splat(q);
      const v = v128.load32_splat(q, Q8_BLOCK);
      const c0 = v128.load(w);
      const c1 = v128.load(w, 16);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(c0, u));
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(c0, v));
      const c2 = v128.load(w, 32);
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(c1, u));
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(c1, v));
      const c3 = v128.load(w, 48);
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(c2, u));
      b2 = i32x4.add(b2, i32x4.dot_i16x8_s(c2, v));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(c3, u));
      b3 = i32x4.add(b3, i32x4.dot_i16x8_s(c3, v));
      w += 64;
      q += 4;
    } while (q < end);
    const d0 = w0 + part * 64;
    const d1 = w1 + part * 64;
    const y = code_sum<K>(x, part);
    add_at<K>(out, a0, d0, s, y);
    add_at<K>(out + 16, a1, d0 + 16, s, y);
    add_at<K>(out + 32, a2, d1, s, y);
    add_at<K>(out + 48, a3, d1 + 16, s, y);
    const z = code_sum<K>(x + Q8_BLOCK, part);
    add_at<K>(out + 128, b0, d0, r, z);
    add_at<K>(out + 144, b1, d0 + 16, r, z);
    add_at<K>(out + 160, b2, d1, r, z);
    add_at<K>(out + 176, b3, d1 + 16, r, z);
  }
}

function tile_16x1<K>(out: usize, w: usize, x: usize, w0: usize, w1: usize): void {
  const s = v128.load32_splat(x, Q8_SCALE);
  let q = x;
  for (let part: usize = 0; part < parts<K>(); part++) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    const end = q + 64 / parts<K>();
    do {
      const u = v128.load32_splat(q);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load(w), u));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load(w, 16), u));
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load(w, 32), u));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load(w, 48), u));
      w += 64;
      q += 4;
    } while (q < end);
    const d0 = w0 + part * 64;
    const d1 = w1 + part * 64;
    const y = code_sum<K>(x, part);
    add_at<K>(out, a0, d0, s, y);
    add_at<K>(out + 16, a1, d0 + 16, s, y);
    add_at<K>(out + 32, a2, d1, s, y);
    add_at<K>(out + 48, a3, d1 + 16, s, y);
  }
}

// @ts-ignore: decorator
@inline
function add_at<K>(out: usize, products: v128, w: usize, s: v128, codes: v128): void {
  v128.store(out, add<K>(v128.load(out), products, w, s, codes));
}
