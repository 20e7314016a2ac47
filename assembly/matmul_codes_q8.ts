// out[t][row] = sum over inputs of weights[row][input] * x[t][input], for one piece of 32 rows; q8_0 weights, activations
// quantised to 8 bits per token and block (quantize.ts). In each block the products are summed exactly in 32-bit integers; then
//   sum = sum + f32(block's integer) * (weight scale * activation scale)
// with one rounding for each of the four operations, blocks ascending: one chain per (row, token).

import { block_stride, blocks, Q8_SCALE } from "./blocks";
import { PIECE, Q8_0_TILE, Q8_BLOCK } from "./ops";

/** out: n x 32 f32; weights: one piece; x: quantised activations of n tokens; scratch: 1 kB. */
export function matmul_q8_0_q8(out: usize, weights: usize, x: usize, inputs: i32, n: i32, scratch: usize): void {
  const count = blocks(inputs);
  const group = <usize>count * Q8_0_TILE;
  if (n <= 2) {
    for (let t = 0; t < n; t++) {
      for (let g = 0; g < 4; g++) {
        column_8(out + <usize>(t * PIECE + g * 8) * 4, weights + <usize>g * group, x + <usize>t * Q8_BLOCK, block_stride(n), count);
      }
    }
    return;
  }
  memory.fill(out, 0, <usize>n * (PIECE * 4));
  rows_16(out, weights, weights + group, x, count, n, scratch);
  rows_16(out + 64, weights + 2 * group, weights + 3 * group, x, count, n, scratch);
}

/** 8 rows x 1 token. Two rounds per block, so that no engine has to spill. */
function column_8(out: usize, w: usize, x: usize, stride: usize, count: i32): void {
  let low = f32x4.splat(0);
  let high = f32x4.splat(0);
  do {
    // Even lanes take inputs 0 and 1 of a step, odd lanes inputs 2 and 3; rows 0 1, 2 3, 4 5, 6 7.
    let a = i32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    let p = w;
    let q = x;
    const end = x + 64;
    do {
      let v = v128.load64_splat(q);
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 32), v));
      b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 40), v));
      c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 48), v));
      d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 56), v));
      v = v128.load64_splat(q, 8);
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 64), v));
      b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 72), v));
      c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 80), v));
      d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 88), v));
      v = v128.load64_splat(q, 16);
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 96), v));
      b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 104), v));
      c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 112), v));
      d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 120), v));
      v = v128.load64_splat(q, 24);
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 128), v));
      b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 136), v));
      c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 144), v));
      d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 152), v));
      p += 128;
      q += 32;
    } while (q < end);
    const s = v128.load32_splat(x, Q8_SCALE);
    a = i32x4.add(v128.shuffle<i32>(a, b, 0, 2, 4, 6), v128.shuffle<i32>(a, b, 1, 3, 5, 7));
    c = i32x4.add(v128.shuffle<i32>(c, d, 0, 2, 4, 6), v128.shuffle<i32>(c, d, 1, 3, 5, 7));
    low = f32x4.add(low, f32x4.mul(f32x4.convert_i32x4_s(a), f32x4.mul(v128.load(w), s)));
    high = f32x4.add(high, f32x4.mul(f32x4.convert_i32x4_s(c), f32x4.mul(v128.load(w, 16), s)));
    w += Q8_0_TILE;
    x += stride;
  } while (--count);
  v128.store(out, low);
  v128.store(out, high, 16);
}

/** 16 rows (two groups) x n tokens: each block's codes are widened to 16 bits once, and serve all tokens from the scratch. */
function rows_16(out: usize, w0: usize, w1: usize, x: usize, count: i32, n: i32, scratch: usize): void {
  do {
    widen_8(scratch, w0);
    widen_8(scratch + 32, w1);
    const d0 = v128.load(w0);
    const d1 = v128.load(w0, 16);
    const d2 = v128.load(w1);
    const d3 = v128.load(w1, 16);
    let to = out;
    let t = 0;
    for (; t + 2 <= n; t += 2) {
      tile_16x2(to, scratch, x, d0, d1, d2, d3);
      to += 2 * (PIECE * 4);
      x += 2 * Q8_BLOCK;
    }
    if (t < n) {
      tile_16x1(to, scratch, x, d0, d1, d2, d3);
      x += Q8_BLOCK;
    }
    w0 += Q8_0_TILE;
    w1 += Q8_0_TILE;
  } while (--count);
}

/** 8 rows x 32 inputs to 16 bits, two inputs at a time: per pair of inputs 2 vectors of 4 rows, 64 bytes from pair to pair. */
function widen_8(to: usize, tile: usize): void {
  const end = to + 1024;
  do {
    let a = v128.load_ext<i8>(tile, 32);
    let b = v128.load_ext<i8>(tile, 40);
    v128.store(to, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
    v128.store(to, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 64);
    a = v128.load_ext<i8>(tile, 48);
    b = v128.load_ext<i8>(tile, 56);
    v128.store(to, v128.shuffle<i32>(a, b, 0, 2, 4, 6), 16);
    v128.store(to, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 80);
    tile += 32;
    to += 128;
  } while (to < end);
}

/** 16 rows x 2 tokens x one block: 8 vectors of integer sums, carried by a loop of two inputs per round. */
function tile_16x2(out: usize, w: usize, x: usize, d0: v128, d1: v128, d2: v128, d3: v128): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const end = x + 64;
  do {
    const u = v128.load32_splat(x);
    const v = v128.load32_splat(x, Q8_BLOCK);
    const w0 = v128.load(w);
    const w1 = v128.load(w, 16);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, u));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, v));
    const w2 = v128.load(w, 32);
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, u));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, v));
    const w3 = v128.load(w, 48);
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(w2, u));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(w2, v));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(w3, u));
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(w3, v));
    w += 64;
    x += 4;
  } while (x < end);
  const s = v128.load32_splat(x); // the scale follows the codes
  scale_add(out, a0, d0, s);
  scale_add(out + 16, a1, d1, s);
  scale_add(out + 32, a2, d2, s);
  scale_add(out + 48, a3, d3, s);
  const r = v128.load32_splat(x, Q8_BLOCK);
  scale_add(out + 128, b0, d0, r);
  scale_add(out + 144, b1, d1, r);
  scale_add(out + 160, b2, d2, r);
  scale_add(out + 176, b3, d3, r);
}

function tile_16x1(out: usize, w: usize, x: usize, d0: v128, d1: v128, d2: v128, d3: v128): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  const end = x + 64;
  do {
    const u = v128.load32_splat(x);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load(w), u));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load(w, 16), u));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load(w, 32), u));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load(w, 48), u));
    w += 64;
    x += 4;
  } while (x < end);
  const s = v128.load32_splat(x);
  scale_add(out, a0, d0, s);
  scale_add(out + 16, a1, d1, s);
  scale_add(out + 32, a2, d2, s);
  scale_add(out + 48, a3, d3, s);
}

// @ts-ignore: decorator
@inline
function scale_add(out: usize, sum: v128, d: v128, s: v128): void {
  v128.store(out, f32x4.add(v128.load(out), f32x4.mul(f32x4.convert_i32x4_s(sum), f32x4.mul(d, s))));
}
