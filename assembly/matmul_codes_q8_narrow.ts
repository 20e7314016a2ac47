// matmul_codes_q8.ts again, in 8-bit arithmetic: dot products of signed activations and codes without sign, see dot.ts. Where those are
// exact, every engine gives the same integers, so the bits are those of the other file. Only relaxed builds have these kernels.

import {
  blocks,
  Bytes,
  Halves,
  Nibbles,
  parts,
  Q8_BOTH,
  Q8_NARROW,
  Q8_SCALE,
  tile_bytes,
  tile_header,
} from "./blocks";
import { Fours, ones, start, step, total } from "./dot";
import { add, code_sum, low_halves } from "./matmul_codes_q8";
import { PIECE } from "./ops";

/** Bytes of an activation block: where products are not summed in fours, there are codes in 16 bits too. */
// @ts-ignore: decorator
@inline
function token_bytes<D>(): usize {
  return sizeof<D>() == sizeof<Fours>() ? Q8_NARROW : Q8_BOTH;
}

/** As `matmul_wide`, with products summed as D says. scratch: 512 bytes. */
export function matmul_narrow<D, K, C>(
  out: usize,
  weights: usize,
  x: usize,
  inputs: i32,
  n: i32,
  offset: i32,
  scratch: usize,
): void {
  const count = blocks(inputs);
  const half = <usize>count * tile_bytes<K, C>();
  // Taking nibbles apart for later pays from four tokens on.
  if (n <= (sizeof<C>() == sizeof<Bytes>() ? 1 : 3)) {
    const stride = <usize>n * token_bytes<D>();
    for (let rows: usize = 0; rows < 2; rows++) {
      for (let t: usize = 0; t < <usize>n; t++) {
        const to = out + t * (PIECE * 4) + rows * 64;
        const from = x + t * token_bytes<D>();
        if (sizeof<C>() == sizeof<Bytes>()) column_16<D, K>(to, weights, from, stride, count, offset);
        else column_16_nibbles<D, K>(to, weights, from, stride, count, offset);
      }
      weights += half;
    }
    return;
  }
  memory.fill(out, 0, <usize>n * (PIECE * 4));
  rows_16<D, K, C>(out, weights, x, count, n, offset, scratch);
  rows_16<D, K, C>(out + 64, weights + half, x, count, n, offset, scratch);
}

/** 16 rows x 1 token. */
function column_16<D, K>(out: usize, w: usize, x: usize, stride: usize, count: i32, offset: i32): void {
  const one = ones();
  let r0 = f32x4.splat(0);
  let r1 = r0;
  let r2 = r0;
  let r3 = r0;
  do {
    const s = v128.load32_splat(x, Q8_SCALE);
    let c = w + tile_header<K>();
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
        a0 = step<D>(a0, u, v128.load(c), one, false);
        a1 = step<D>(a1, u, v128.load(c, 16), one, false);
        a2 = step<D>(a2, u, v128.load(c, 32), one, false);
        a3 = step<D>(a3, u, v128.load(c, 48), one, false);
        const v = v128.load32_splat(q, 4);
        a0 = step<D>(a0, v, v128.load(c, 64), one, false);
        a1 = step<D>(a1, v, v128.load(c, 80), one, false);
        a2 = step<D>(a2, v, v128.load(c, 96), one, false);
        a3 = step<D>(a3, v, v128.load(c, 112), one, false);
        c += 128;
        q += 8;
      } while (q < end);
      const y = f32x4.splat(<f32>sum);
      const d = w + part * 128;
      r0 = add<K>(r0, a0, v128.load(d), d, s, y);
      r1 = add<K>(r1, a1, v128.load(d, 16), d + 16, s, y);
      r2 = add<K>(r2, a2, v128.load(d, 32), d + 32, s, y);
      r3 = add<K>(r3, a3, v128.load(d, 48), d + 48, s, y);
    }
    w += tile_bytes<K, Bytes>();
    x += stride;
  } while (--count);
  v128.store(out, r0);
  v128.store(out, r1, 16);
  v128.store(out, r2, 32);
  v128.store(out, r3, 48);
}

function column_16_nibbles<D, K>(out: usize, w: usize, x: usize, stride: usize, count: i32, offset: i32): void {
  const one = ones();
  const mask = low_halves();
  let r0 = f32x4.splat(0);
  let r1 = r0;
  let r2 = r0;
  let r3 = r0;
  do {
    const s = v128.load32_splat(x, Q8_SCALE);
    const sum = code_sum<K>(x, 0);
    let c = w + tile_header<K>();
    let q = x;
    const o = i32x4.splat(-offset * sum);
    let a0 = start<D>(o, true);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    const end = q + 16;
    do {
      const u = v128.load32_splat(q);
      const v = v128.load32_splat(q, 16);
      let both = v128.load(c);
      a0 = step<D>(a0, u, v128.and(both, mask), one, true);
      a0 = step<D>(a0, v, v128.and(i16x8.shr_u(both, 4), mask), one, true);
      both = v128.load(c, 16);
      a1 = step<D>(a1, u, v128.and(both, mask), one, true);
      a1 = step<D>(a1, v, v128.and(i16x8.shr_u(both, 4), mask), one, true);
      both = v128.load(c, 32);
      a2 = step<D>(a2, u, v128.and(both, mask), one, true);
      a2 = step<D>(a2, v, v128.and(i16x8.shr_u(both, 4), mask), one, true);
      both = v128.load(c, 48);
      a3 = step<D>(a3, u, v128.and(both, mask), one, true);
      a3 = step<D>(a3, v, v128.and(i16x8.shr_u(both, 4), mask), one, true);
      c += 64;
      q += 4;
    } while (q < end);
    const y = f32x4.splat(<f32>sum);
    r0 = add<K>(r0, total<D>(a0, o, one, true), v128.load(w), w, s, y);
    r1 = add<K>(r1, total<D>(a1, o, one, true), v128.load(w, 16), w + 16, s, y);
    r2 = add<K>(r2, total<D>(a2, o, one, true), v128.load(w, 32), w + 32, s, y);
    r3 = add<K>(r3, total<D>(a3, o, one, true), v128.load(w, 48), w + 48, s, y);
    w += tile_bytes<K, Nibbles>();
    x += stride;
  } while (--count);
  v128.store(out, r0);
  v128.store(out, r1, 16);
  v128.store(out, r2, 32);
  v128.store(out, r3, 48);
}

/** 16 rows x n tokens. Bytes are used where they are; nibbles are taken apart once per tile, for all tokens. */
function rows_16<D, K, C>(
  out: usize,
  w: usize,
  x: usize,
  count: i32,
  n: i32,
  offset: i32,
  scratch: usize,
): void {
  const even = <usize>(n & ~1);
  do {
    let codes = w + tile_header<K>();
    if (sizeof<C>() == sizeof<Nibbles>()) {
      open_nibbles(scratch, codes);
      codes = scratch;
    }
    tiles_16x2<D, K, C>(out, codes, x, x + even * token_bytes<D>(), w, offset);
    x += even * token_bytes<D>();
    if (n & 1) {
      tile_16x1<D, K, C>(out + even * (PIECE * 4), codes, x, w, offset);
      x += token_bytes<D>();
    }
    w += tile_bytes<K, C>();
  } while (--count);
}

/** Nibbles of 16 rows x 32 inputs as bytes. */
function open_nibbles(to: usize, codes: usize): void {
  const mask = low_halves();
  const end = to + 256;
  do {
    const both = v128.load(codes);
    v128.store(to, v128.and(both, mask));
    v128.store(to, v128.and(i16x8.shr_u(both, 4), mask), 256);
    codes += 16;
    to += 16;
  } while (to < end);
}

/** 16 rows x 1 block x the tokens from x to `last`, two at a time: 8 vectors of sums, carried by a loop of 8 inputs per round. */
function tiles_16x2<D, K, C>(
  out: usize,
  codes: usize,
  x: usize,
  last: usize,
  w: usize,
  offset: i32,
): void {
  const one = ones();
  const nibbles = sizeof<C>() == sizeof<Nibbles>();
  do {
    let c = codes;
    let q = x;
    for (let part: usize = 0; part < parts<K>(); part++) {
      const sum = code_sum<K>(x, part);
      const other = code_sum<K>(x + token_bytes<D>(), part);
      let o = i32x4.splat(-offset * sum);
      let a0 = start<D>(o, nibbles);
      let a1 = a0;
      let a2 = a0;
      let a3 = a0;
      let b0 = start<D>(i32x4.splat(-offset * other), nibbles);
      let b1 = b0;
      let b2 = b0;
      let b3 = b0;
      const end = q + 32 / parts<K>();
      do {
        let u = v128.load32_splat(q);
        let v = v128.load32_splat(q, sizeof<D>() == sizeof<Fours>() ? Q8_NARROW : Q8_BOTH);
        const k0 = v128.load(c);
        a0 = step<D>(a0, u, k0, one, nibbles);
        b0 = step<D>(b0, v, k0, one, nibbles);
        const k1 = v128.load(c, 16);
        a1 = step<D>(a1, u, k1, one, nibbles);
        b1 = step<D>(b1, v, k1, one, nibbles);
        const k2 = v128.load(c, 32);
        a2 = step<D>(a2, u, k2, one, nibbles);
        b2 = step<D>(b2, v, k2, one, nibbles);
        const k3 = v128.load(c, 48);
        a3 = step<D>(a3, u, k3, one, nibbles);
        b3 = step<D>(b3, v, k3, one, nibbles);
        u = v128.load32_splat(q, 4);
        v = v128.load32_splat(q, sizeof<D>() == sizeof<Fours>() ? Q8_NARROW + 4 : Q8_BOTH + 4);
        const l0 = v128.load(c, 64);
        a0 = step<D>(a0, u, l0, one, nibbles);
        b0 = step<D>(b0, v, l0, one, nibbles);
        const l1 = v128.load(c, 80);
        a1 = step<D>(a1, u, l1, one, nibbles);
        b1 = step<D>(b1, v, l1, one, nibbles);
        const l2 = v128.load(c, 96);
        a2 = step<D>(a2, u, l2, one, nibbles);
        b2 = step<D>(b2, v, l2, one, nibbles);
        const l3 = v128.load(c, 112);
        a3 = step<D>(a3, u, l3, one, nibbles);
        b3 = step<D>(b3, v, l3, one, nibbles);
        c += 128;
        q += 8;
      } while (q < end);
      const d = w + part * 128;
      const d0 = v128.load(d);
      const d1 = v128.load(d, 16);
      const d2 = v128.load(d, 32);
      const d3 = v128.load(d, 48);
      let y = f32x4.splat(<f32>sum);
      let s = v128.load32_splat(x, Q8_SCALE);
      bring<D, K>(out, a0, o, d0, d, s, y, one, nibbles);
      bring<D, K>(out + 16, a1, o, d1, d + 16, s, y, one, nibbles);
      bring<D, K>(out + 32, a2, o, d2, d + 32, s, y, one, nibbles);
      bring<D, K>(out + 48, a3, o, d3, d + 48, s, y, one, nibbles);
      o = i32x4.splat(-offset * other);
      y = f32x4.splat(<f32>other);
      s = v128.load32_splat(x + token_bytes<D>(), Q8_SCALE);
      bring<D, K>(out + 128, b0, o, d0, d, s, y, one, nibbles);
      bring<D, K>(out + 144, b1, o, d1, d + 16, s, y, one, nibbles);
      bring<D, K>(out + 160, b2, o, d2, d + 32, s, y, one, nibbles);
      bring<D, K>(out + 176, b3, o, d3, d + 48, s, y, one, nibbles);
    }
    out += 2 * (PIECE * 4);
    x += 2 * token_bytes<D>();
  } while (x < last);
}

/** The sums of four rows and one token in memory, brought forward by one scale. */
// @ts-ignore: decorator
@inline
function bring<D, K>(
  out: usize,
  products: v128,
  offset: v128,
  scale: v128,
  w: usize,
  s: v128,
  q: v128,
  one: v128,
  nibbles: bool,
): void {
  v128.store(out, add<K>(v128.load(out), total<D>(products, offset, one, nibbles), scale, w, s, q));
}

function tile_16x1<D, K, C>(out: usize, c: usize, x: usize, w: usize, offset: i32): void {
  const one = ones();
  const nibbles = sizeof<C>() == sizeof<Nibbles>();
  const s = v128.load32_splat(x, Q8_SCALE);
  let q = x;
  for (let part: usize = 0; part < parts<K>(); part++) {
    const sum = code_sum<K>(x, part);
    const o = i32x4.splat(-offset * sum);
    let a0 = start<D>(o, nibbles);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    const end = q + 32 / parts<K>();
    do {
      const u = v128.load32_splat(q);
      a0 = step<D>(a0, u, v128.load(c), one, nibbles);
      a1 = step<D>(a1, u, v128.load(c, 16), one, nibbles);
      a2 = step<D>(a2, u, v128.load(c, 32), one, nibbles);
      a3 = step<D>(a3, u, v128.load(c, 48), one, nibbles);
      c += 64;
      q += 4;
    } while (q < end);
    const d = w + part * 128;
    const y = f32x4.splat(<f32>sum);
    bring<D, K>(out, a0, o, v128.load(d), d, s, y, one, nibbles);
    bring<D, K>(out + 16, a1, o, v128.load(d, 16), d + 16, s, y, one, nibbles);
    bring<D, K>(out + 32, a2, o, v128.load(d, 32), d + 32, s, y, one, nibbles);
    bring<D, K>(out + 48, a3, o, v128.load(d, 48), d + 48, s, y, one, nibbles);
  }
}
