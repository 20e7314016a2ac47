// matmul_codes_q8.ts again, in 8-bit arithmetic: the relaxed dot product of signed activations and codes of up to 7 bits without
// sign. Where the codes have no more than 7 bits, every engine gives the same integers, so the bits are those of the other file.
// Only relaxed builds have these kernels.

import {
  block_stride,
  blocks,
  Bytes,
  Halves,
  Nibbles,
  parts,
  Q8_SCALE,
  tile_bytes,
  tile_header,
} from "./blocks";
import { dot } from "./dot";
import { add, add_16, code_sum, low_halves } from "./matmul_codes_q8";
import { PIECE, Q8_BLOCK } from "./ops";

/** As `matmul_wide`, with codes from 0 to 127. scratch: 512 bytes. */
export function matmul_narrow<K, C>(
  out: usize,
  weights: usize,
  x: usize,
  inputs: i32,
  n: i32,
  offset: i32,
  scratch: usize,
): void {
  const count = blocks(inputs);
  const group = <usize>count * tile_bytes<K, C>();
  if (n == 1) {
    for (let g: usize = 0; g < 4; g++) {
      if (sizeof<C>() == sizeof<Bytes>()) column_8<K>(out + g * 32, weights + g * group, x, count, offset);
      else column_8_nibbles<K>(out + g * 32, weights + g * group, x, count, offset);
    }
    return;
  }
  memory.fill(out, 0, <usize>n * (PIECE * 4));
  rows_16<K, C>(out, weights, weights + group, x, count, n, offset, scratch);
  rows_16<K, C>(out + 64, weights + 2 * group, weights + 3 * group, x, count, n, offset, scratch);
}

/** 8 rows x 1 token. */
function column_8<K>(out: usize, w: usize, x: usize, count: i32, offset: i32): void {
  let low = f32x4.splat(0);
  let high = f32x4.splat(0);
  do {
    const s = v128.load32_splat(x, Q8_SCALE);
    let p = w + tile_header<K>();
    let q = x;
    for (let part: usize = 0; part < parts<K>(); part++) {
      const sum = code_sum<K>(x, part);
      let a = i32x4.splat(-offset * sum);
      let b = a;
      let c = i32x4.splat(0);
      let d = c;
      const end = q + 32 / parts<K>();
      do {
        let v = v128.load32_splat(q);
        a = dot(v, v128.load(p), a);
        b = dot(v, v128.load(p, 16), b);
        v = v128.load32_splat(q, 4);
        c = dot(v, v128.load(p, 32), c);
        d = dot(v, v128.load(p, 48), d);
        v = v128.load32_splat(q, 8);
        a = dot(v, v128.load(p, 64), a);
        b = dot(v, v128.load(p, 80), b);
        v = v128.load32_splat(q, 12);
        c = dot(v, v128.load(p, 96), c);
        d = dot(v, v128.load(p, 112), d);
        p += 128;
        q += 16;
      } while (q < end);
      const y = f32x4.splat(<f32>sum);
      low = add<K>(low, i32x4.add(a, c), w + part * 64, s, y);
      high = add<K>(high, i32x4.add(b, d), w + part * 64 + 16, s, y);
    }
    w += tile_bytes<K, Bytes>();
    x += Q8_BLOCK;
  } while (--count);
  v128.store(out, low);
  v128.store(out, high, 16);
}

function column_8_nibbles<K>(out: usize, w: usize, x: usize, count: i32, offset: i32): void {
  const mask = low_halves();
  let low = f32x4.splat(0);
  let high = f32x4.splat(0);
  do {
    const s = v128.load32_splat(x, Q8_SCALE);
    const sum = code_sum<K>(x, 0);
    let p = w + tile_header<K>();
    let q = x;
    let a = i32x4.splat(-offset * sum);
    let b = a;
    let c = i32x4.splat(0);
    let d = c;
    const end = q + 16;
    do {
      let codes = v128.load(p);
      let more = v128.load(p, 16);
      let u = v128.load32_splat(q);
      let v = v128.load32_splat(q, 16);
      a = dot(u, v128.and(codes, mask), a);
      b = dot(u, v128.and(more, mask), b);
      c = dot(v, v128.and(i16x8.shr_u(codes, 4), mask), c);
      d = dot(v, v128.and(i16x8.shr_u(more, 4), mask), d);
      codes = v128.load(p, 32);
      more = v128.load(p, 48);
      u = v128.load32_splat(q, 4);
      v = v128.load32_splat(q, 20);
      a = dot(u, v128.and(codes, mask), a);
      b = dot(u, v128.and(more, mask), b);
      c = dot(v, v128.and(i16x8.shr_u(codes, 4), mask), c);
      d = dot(v, v128.and(i16x8.shr_u(more, 4), mask), d);
      p += 64;
      q += 8;
    } while (q < end);
    const y = f32x4.splat(<f32>sum);
    low = add<K>(low, i32x4.add(a, c), w, s, y);
    high = add<K>(high, i32x4.add(b, d), w + 16, s, y);
    w += tile_bytes<K, Nibbles>();
    x += Q8_BLOCK;
  } while (--count);
  v128.store(out, low);
  v128.store(out, high, 16);
}

/** 16 rows (two groups) x n tokens. Bytes are used where they are; nibbles are taken apart once per block, for all tokens. */
function rows_16<K, C>(
  out: usize,
  w0: usize,
  w1: usize,
  x: usize,
  count: i32,
  n: i32,
  offset: i32,
  scratch: usize,
): void {
  const stride = block_stride(n);
  do {
    let c0 = w0 + tile_header<K>();
    let c1 = w1 + tile_header<K>();
    if (sizeof<C>() == sizeof<Nibbles>()) {
      open_nibbles(scratch, c0);
      open_nibbles(scratch + 256, c1);
      c0 = scratch;
      c1 = scratch + 256;
    }
    let to = out;
    let from = x;
    let t = 0;
    for (; t + 2 <= n; t += 2) {
      tile_16x2<K>(to, c0, c1, from, w0, w1, offset);
      to += 2 * (PIECE * 4);
      from += 2 * Q8_BLOCK;
    }
    if (t < n) tile_16x1<K>(to, c0, c1, from, w0, w1, offset);
    w0 += tile_bytes<K, C>();
    w1 += tile_bytes<K, C>();
    x += stride;
  } while (--count);
}

/** Nibbles of 8 rows x 32 inputs as bytes. */
function open_nibbles(to: usize, codes: usize): void {
  const mask = low_halves();
  const end = to + 128;
  do {
    const both = v128.load(codes);
    v128.store(to, v128.and(both, mask));
    v128.store(to, v128.and(i16x8.shr_u(both, 4), mask), 128);
    codes += 16;
    to += 16;
  } while (to < end);
}

/** 16 rows x 2 tokens x one block: 8 vectors of sums, carried by a loop of four inputs per round. */
function tile_16x2<K>(out: usize, c0: usize, c1: usize, x: usize, w0: usize, w1: usize, offset: i32): void {
  let q = x;
  for (let part: usize = 0; part < parts<K>(); part++) {
    const sum = code_sum<K>(x, part);
    const other = code_sum<K>(x + Q8_BLOCK, part);
    let a0 = i32x4.splat(-offset * sum);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = i32x4.splat(-offset * other);
    let b1 = b0;
    let b2 = b0;
    let b3 = b0;
    const end = q + 32 / parts<K>();
    do {
      const u = v128.load32_splat(q);
      const v = v128.load32_splat(q, Q8_BLOCK);
      const k0 = v128.load(c0);
      const k1 = v128.load(c0, 16);
      a0 = dot(u, k0, a0);
      b0 = dot(v, k0, b0);
      a1 = dot(u, k1, a1);
      b1 = dot(v, k1, b1);
      const k2 = v128.load(c1);
      const k3 = v128.load(c1, 16);
      a2 = dot(u, k2, a2);
      b2 = dot(v, k2, b2);
      a3 = dot(u, k3, a3);
      b3 = dot(v, k3, b3);
      c0 += 32;
      c1 += 32;
      q += 4;
    } while (q < end);
    const d0 = w0 + part * 64;
    const d1 = w1 + part * 64;
    add_16<K>(out, a0, a1, a2, a3, d0, d1, v128.load32_splat(x, Q8_SCALE), f32x4.splat(<f32>sum));
    const r = v128.load32_splat(x + Q8_BLOCK, Q8_SCALE);
    add_16<K>(out + 128, b0, b1, b2, b3, d0, d1, r, f32x4.splat(<f32>other));
  }
}

function tile_16x1<K>(out: usize, c0: usize, c1: usize, x: usize, w0: usize, w1: usize, offset: i32): void {
  let q = x;
  for (let part: usize = 0; part < parts<K>(); part++) {
    const sum = code_sum<K>(x, part);
    let a0 = i32x4.splat(-offset * sum);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    const end = q + 32 / parts<K>();
    do {
      const u = v128.load32_splat(q);
      a0 = dot(u, v128.load(c0), a0);
      a1 = dot(u, v128.load(c0, 16), a1);
      a2 = dot(u, v128.load(c1), a2);
      a3 = dot(u, v128.load(c1, 16), a3);
      c0 += 32;
      c1 += 32;
      q += 4;
    } while (q < end);
    const d0 = w0 + part * 64;
    const d1 = w1 + part * 64;
    add_16<K>(out, a0, a1, a2, a3, d0, d1, v128.load32_splat(x, Q8_SCALE), f32x4.splat(<f32>sum));
  }
}
