// out[t][row] = sum over inputs of weights[row][input] * x[t][input], for one piece of 32 rows; weights as integer codes with f32
// scales, activations quantised to 8 bits per token and block (quantize.ts). The products under one scale are summed exactly
// in 32-bit integers; then, one rounding for each operation, blocks ascending, one chain per (row, token):
//
//   symmetric   sum = sum + f32(codes . q) * (scale * s)
//   minimum     sum = sum + (f32(codes . q) * (scale * s) + f32(sum of q) * (minimum * s))
//   halves      as minimum, but scale and minimum belong to 16 inputs: the first half of a block, then the second
//
// s and q are the activations' scale and codes. `blocks.ts` has the tiles. Codes that are stored without their sign, c + offset,
// lose the offset in the integers: codes . q = (c + offset) . q - offset * (sum of q).
//
// This file has the kernels in 16-bit arithmetic, which every build runs; matmul_codes_q8_narrow.ts has those in 8 bits.

import {
  blocks,
  Bytes,
  Halves,
  Minimum,
  Nibbles,
  parts,
  Q8_BOTH,
  Q8_SCALE,
  Q8_SUM,
  Q8_SUMS,
  Q8_WIDE,
  Symmetric,
  tile_bytes,
  tile_header,
} from "./blocks";
import { PIECE } from "./ops";

/**
 * out: n x 32 f32; weights: one piece of tiles of kind K with codes C, stored with `offset`; x: quantised activations of n tokens;
 * scratch: 1 kB.
 */
export function matmul_wide<K, C>(
  out: usize,
  weights: usize,
  x: usize,
  inputs: i32,
  n: i32,
  offset: i32,
  scratch: usize,
): void {
  const count = blocks(inputs);
  memory.fill(out, 0, <usize>n * (PIECE * 4));
  for (let rows: usize = 0; rows < 2; rows++) {
    if (n <= 2) {
      for (let t: usize = 0; t < <usize>n; t++) {
        const to = out + t * (PIECE * 4);
        const from = x + t * Q8_BOTH;
        if (sizeof<C>() == sizeof<Bytes>()) column_16<K>(to, weights, from, <usize>n * Q8_BOTH, count, offset);
        else column_16_nibbles<K>(to, weights, from, <usize>n * Q8_BOTH, count, offset);
      }
    } else rows_16<K, C>(out, weights, x, count, n, offset, scratch);
    weights += <usize>count * tile_bytes<K, C>();
    out += 64;
  }
}

/**
 * sum, brought forward by what one scale (and minimum) of four rows contributes. `w`: where their scales are; `q`: the sum of the
 * activation codes under that scale.
 */
// @ts-ignore: decorator
@inline
export function add<K>(sum: v128, products: v128, scale: v128, w: usize, s: v128, q: v128): v128 {
  const part = f32x4.mul(f32x4.convert_i32x4_s(products), f32x4.mul(scale, s));
  if (sizeof<K>() == sizeof<Symmetric>()) return f32x4.add(sum, part);
  return f32x4.add(sum, f32x4.add(part, f32x4.mul(q, f32x4.mul(v128.load(w, 64), s))));
}

/** The sum of the activation codes under one scale. */
// @ts-ignore: decorator
@inline
export function code_sum<K>(x: usize, part: usize): i32 {
  if (sizeof<K>() == sizeof<Halves>()) return load<i32>(x + part * 4, Q8_SUMS);
  return load<i32>(x, Q8_SUM);
}

/** 16 rows x 1 token, 8 rows after 8 rows; the sums are in memory. */
function column_16<K>(out: usize, w: usize, x: usize, stride: usize, count: i32, offset: i32): void {
  do {
    const s = v128.load32_splat(x, Q8_SCALE);
    for (let rows: usize = 0; rows < 64; rows += 32) {
      let p = w + tile_header<K>() + rows;
      let q = x + Q8_WIDE;
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
          a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 64), v));
          b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 72), v));
          c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 80), v));
          d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 88), v));
          v = v128.load64_splat(q, 16);
          a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 128), v));
          b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 136), v));
          c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 144), v));
          d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 152), v));
          v = v128.load64_splat(q, 24);
          a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 192), v));
          b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 200), v));
          c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 208), v));
          d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 216), v));
          p += 256;
          q += 32;
        } while (q < end);
        bring_8<K>(out + rows, a, b, c, d, code_sum<K>(x, part), offset, w + part * 128 + rows, s);
      }
    }
    w += tile_bytes<K, Bytes>();
    x += stride;
  } while (--count);
}

/** The sums of 8 rows, whose products lie as above, brought forward. */
// @ts-ignore: decorator
@inline
function bring_8<K>(
  out: usize,
  a: v128,
  b: v128,
  c: v128,
  d: v128,
  sum: i32,
  offset: i32,
  w: usize,
  s: v128,
): void {
  const o = i32x4.splat(offset * sum);
  const y = f32x4.splat(<f32>sum);
  a = i32x4.sub(i32x4.add(v128.shuffle<i32>(a, b, 0, 2, 4, 6), v128.shuffle<i32>(a, b, 1, 3, 5, 7)), o);
  c = i32x4.sub(i32x4.add(v128.shuffle<i32>(c, d, 0, 2, 4, 6), v128.shuffle<i32>(c, d, 1, 3, 5, 7)), o);
  bring<K>(out, a, v128.load(w), w, s, y);
  bring<K>(out + 16, c, v128.load(w, 16), w + 16, s, y);
}

const FIFTEEN = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15]);

/** A mask of the low halves, read from memory: engines rebuild literal vectors at every use. */
// @ts-ignore: decorator
@inline
export function low_halves(): v128 {
  return v128.load(FIFTEEN);
}

/** The same with nibbles: a step holds 4 inputs and the 4 inputs 16 further. */
function column_16_nibbles<K>(out: usize, w: usize, x: usize, stride: usize, count: i32, offset: i32): void {
  const mask = low_halves();
  do {
    const s = v128.load32_splat(x, Q8_SCALE);
    for (let rows: usize = 0; rows < 64; rows += 32) {
      let p = w + tile_header<K>() + rows;
      let q = x + Q8_WIDE;
      let a = i32x4.splat(0);
      let b = a;
      let c = a;
      let d = a;
      const end = q + 32;
      do {
        const u = v128.load64_splat(q);
        const v = v128.load64_splat(q, 32);
        let codes = v128.load(p);
        let near = v128.and(codes, mask);
        let far = i8x16.shr_u(codes, 4);
        a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(near), u));
        b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(near), u));
        a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(far), v));
        b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(far), v));
        codes = v128.load(p, 16);
        near = v128.and(codes, mask);
        far = i8x16.shr_u(codes, 4);
        c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(near), u));
        d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(near), u));
        c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(far), v));
        d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(far), v));
        p += 64;
        q += 8;
      } while (q < end);
      bring_8<K>(out + rows, a, b, c, d, code_sum<K>(x, 0), offset, w + rows, s);
    }
    w += tile_bytes<K, Nibbles>();
    x += stride;
  } while (--count);
}

/** 16 rows x n tokens: each tile's codes are widened to 16 bits once, and serve all tokens from the scratch. */
function rows_16<K, C>(out: usize, w: usize, x: usize, count: i32, n: i32, offset: i32, scratch: usize): void {
  const even = <usize>(n & ~1);
  do {
    if (sizeof<C>() == sizeof<Bytes>()) widen_bytes(scratch, w + tile_header<K>());
    else widen_nibbles(scratch, w + tile_header<K>());
    tiles_16x2<K>(out, scratch, x, x + even * Q8_BOTH, w, offset);
    x += even * Q8_BOTH;
    if (n & 1) {
      tile_16x1<K>(out + even * (PIECE * 4), scratch, x, w, offset);
      x += Q8_BOTH;
    }
    w += tile_bytes<K, C>();
  } while (--count);
}

/** 16 rows x 32 inputs to 16 bits, two inputs at a time: 64 bytes for each pair of inputs. */
function widen_bytes(to: usize, codes: usize): void {
  const end = to + 1024;
  do {
    for (let rows: usize = 0; rows < 64; rows += 16) {
      const a = v128.load_ext<i8>(codes);
      const b = v128.load_ext<i8>(codes, 8);
      v128.store(to + rows, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
      v128.store(to + rows, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 64);
      codes += 16;
    }
    to += 128;
  } while (to < end);
}

function widen_nibbles(to: usize, codes: usize): void {
  const mask = low_halves();
  const end = to + 512;
  do {
    for (let rows: usize = 0; rows < 64; rows += 16) {
      const both = v128.load(codes);
      const near = v128.and(both, mask);
      const far = i8x16.shr_u(both, 4);
      let a = i16x8.extend_low_i8x16_u(near);
      let b = i16x8.extend_high_i8x16_u(near);
      v128.store(to + rows, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
      v128.store(to + rows, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 64);
      a = i16x8.extend_low_i8x16_u(far);
      b = i16x8.extend_high_i8x16_u(far);
      v128.store(to + rows, v128.shuffle<i32>(a, b, 0, 2, 4, 6), 512);
      v128.store(to + rows, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 576);
      codes += 16;
    }
    to += 128;
  } while (to < end);
}

/** 16 rows x 1 block x the tokens from x to `last`, two at a time: 8 vectors of sums, carried by a loop of 2 inputs per round. */
function tiles_16x2<K>(out: usize, codes: usize, x: usize, last: usize, w: usize, offset: i32): void {
  do {
    let c = codes;
    let q = x + Q8_WIDE;
    for (let part: usize = 0; part < parts<K>(); part++) {
      const sum = code_sum<K>(x, part);
      const other = code_sum<K>(x + Q8_BOTH, part);
      let a0 = i32x4.splat(-offset * sum);
      let a1 = a0;
      let a2 = a0;
      let a3 = a0;
      let b0 = i32x4.splat(-offset * other);
      let b1 = b0;
      let b2 = b0;
      let b3 = b0;
      const end = q + 64 / parts<K>();
      do {
        const u = v128.load32_splat(q);
        const v = v128.load32_splat(q, Q8_BOTH);
        const k0 = v128.load(c);
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(k0, u));
        b0 = i32x4.add(b0, i32x4.dot_i16x8_s(k0, v));
        const k1 = v128.load(c, 16);
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(k1, u));
        b1 = i32x4.add(b1, i32x4.dot_i16x8_s(k1, v));
        const k2 = v128.load(c, 32);
        a2 = i32x4.add(a2, i32x4.dot_i16x8_s(k2, u));
        b2 = i32x4.add(b2, i32x4.dot_i16x8_s(k2, v));
        const k3 = v128.load(c, 48);
        a3 = i32x4.add(a3, i32x4.dot_i16x8_s(k3, u));
        b3 = i32x4.add(b3, i32x4.dot_i16x8_s(k3, v));
        c += 64;
        q += 4;
      } while (q < end);
      const d = w + part * 128;
      const d0 = v128.load(d);
      const d1 = v128.load(d, 16);
      const d2 = v128.load(d, 32);
      const d3 = v128.load(d, 48);
      let y = f32x4.splat(<f32>sum);
      let s = v128.load32_splat(x, Q8_SCALE);
      bring<K>(out, a0, d0, d, s, y);
      bring<K>(out + 16, a1, d1, d + 16, s, y);
      bring<K>(out + 32, a2, d2, d + 32, s, y);
      bring<K>(out + 48, a3, d3, d + 48, s, y);
      y = f32x4.splat(<f32>other);
      s = v128.load32_splat(x + Q8_BOTH, Q8_SCALE);
      bring<K>(out + 128, b0, d0, d, s, y);
      bring<K>(out + 144, b1, d1, d + 16, s, y);
      bring<K>(out + 160, b2, d2, d + 32, s, y);
      bring<K>(out + 176, b3, d3, d + 48, s, y);
    }
    out += 2 * (PIECE * 4);
    x += 2 * Q8_BOTH;
  } while (x < last);
}

/** The sums of four rows and one token in memory, brought forward by one scale. */
// @ts-ignore: decorator
@inline
function bring<K>(out: usize, products: v128, scale: v128, w: usize, s: v128, q: v128): void {
  v128.store(out, add<K>(v128.load(out), products, scale, w, s, q));
}

function tile_16x1<K>(out: usize, codes: usize, x: usize, w: usize, offset: i32): void {
  let c = codes;
  const s = v128.load32_splat(x, Q8_SCALE);
  let q = x + Q8_WIDE;
  for (let part: usize = 0; part < parts<K>(); part++) {
    const sum = code_sum<K>(x, part);
    let a0 = i32x4.splat(-offset * sum);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    const end = q + 64 / parts<K>();
    do {
      const u = v128.load32_splat(q);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load(c), u));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load(c, 16), u));
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load(c, 32), u));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load(c, 48), u));
      c += 64;
      q += 4;
    } while (q < end);
    const d = w + part * 128;
    const y = f32x4.splat(<f32>sum);
    bring<K>(out, a0, v128.load(d), d, s, y);
    bring<K>(out + 16, a1, v128.load(d, 16), d + 16, s, y);
    bring<K>(out + 32, a2, v128.load(d, 32), d + 32, s, y);
    bring<K>(out + 48, a3, v128.load(d, 48), d + 48, s, y);
  }
}
