// Layer norm, token shift and the linear mixes of a layer's input, in one pass over the channels.
//
// With xx = norm(x) of this token and p = norm(x) of the token before (the session's state for its first row here):
//   dst[j] = xx + (p - xx) * mu[j]        for each of `mixes` vectors mu
// or, where the mu depend on the token (version 6), xx and p - xx themselves, for `lerp` to go on with.
// The session's last row is kept in its new state. Every rank does all tokens for its own blocks of 32 channels, and finds the
// norm's mean and deviation itself: that is cheaper than waiting for each other, and the same bits.

import { q8_bytes, row_bytes } from "./blocks";
import { mean, normed, rstd } from "./norm";
import { BLOCK, ROW_BYTES, ROW_FROM, ROW_TO } from "./ops";
import { quantize_block_q8 } from "./quantize";

/** Is row t the first of its session in this batch? Rows of a session are neighbours that write the same slot. */
// @ts-ignore: decorator
@inline
export function is_first(table: usize, t: i32): bool {
  const row = table + <usize>t * ROW_BYTES;
  return t == 0 || load<u32>(row, ROW_TO) != load<u32>(row - ROW_BYTES, ROW_TO);
}

// @ts-ignore: decorator
@inline
export function is_last(table: usize, t: i32, n: i32): bool {
  const row = table + <usize>t * ROW_BYTES;
  return t == n - 1 || load<u32>(row, ROW_TO) != load<u32>(row + ROW_BYTES, ROW_TO);
}

/**
 * x: n rows of f32; weight, bias: the norm's; state: offset of the shift vector in a slot; mu: `mixes` vectors;
 * dst: `mixes` outputs, `dst_stride` bytes apart, each n rows; with a `mu` of 0 two outputs, xx and p - xx; q8: where output j goes
 * quantised as well if bit j of `q8_mask` is set, `q8_stride` bytes apart. Blocks from `first` up to `last`. All rows and vectors
 * are whole blocks of f32.
 */
export function norm_mix(
  table: usize,
  n: i32,
  x: usize,
  channels: i32,
  weight: usize,
  bias: usize,
  eps: f32,
  state: usize,
  mu: usize,
  mixes: i32,
  dst: usize,
  dst_stride: usize,
  q8: usize,
  q8_stride: usize,
  q8_mask: u32,
  first: i32,
  last: i32,
): void {
  const row = row_bytes(channels);
  const begin = <usize>first * (BLOCK * 4);
  const end = <usize>last * (BLOCK * 4);
  let m = f32x4.splat(0);
  let r = m;
  for (let t = 0; t < n; t++) {
    const now = x + <usize>t * row;
    const before_m = m;
    const before_r = r;
    const found = mean(now, channels);
    m = f32x4.splat(found);
    r = f32x4.splat(rstd(now, channels, found, eps));
    const entry = table + <usize>t * ROW_BYTES;
    const fresh = is_first(table, t);
    const keep = is_last(table, t, n) ? <usize>load<u32>(entry, ROW_TO) + state : 0;
    const old = fresh ? <usize>load<u32>(entry, ROW_FROM) + state : now - row;
    const to = dst + <usize>t * row;
    for (let c = begin; c < end; c += 16) {
      const w = v128.load(weight + c);
      const b = v128.load(bias + c);
      const xx = normed(v128.load(now + c), m, r, w, b);
      let p = v128.load(old + c);
      if (!fresh) p = normed(p, before_m, before_r, w, b);
      if (keep) v128.store(keep + c, xx);
      const d = f32x4.sub(p, xx);
      let out = to + c;
      if (!mu) {
        v128.store(out, xx);
        v128.store(out + dst_stride, d);
        continue;
      }
      let from = mu + c;
      for (let j = 0; j < mixes; j++) {
        v128.store(out, f32x4.add(xx, f32x4.mul(d, v128.load(from))));
        from += row;
        out += dst_stride;
      }
    }
    for (let j = 0; j < mixes; j++) {
      if (!((q8_mask >> j) & 1)) continue;
      const blocks_q8 = q8 + <usize>j * q8_stride + <usize>t * q8_bytes();
      for (let b = first; b < last; b++) {
        quantize_block_q8(blocks_q8 + <usize>b * <usize>n * q8_bytes(), to + <usize>j * dst_stride + <usize>b * (BLOCK * 4));
      }
    }
  }
}

/**
 * dst[j] = xx + dx * (mu[j] + m[j]) for `mixes` vectors mu and inputs m, of n rows each, `m_stride` bytes apart; an m of 0 is none.
 * dst: as many outputs, `dst_stride` bytes apart. Blocks of 32 channels from `first` up to `last`.
 */
export function lerp(
  n: i32,
  xx: usize,
  dx: usize,
  channels: i32,
  mu: usize,
  mixes: i32,
  m: usize,
  m_stride: usize,
  dst: usize,
  dst_stride: usize,
  first: i32,
  last: i32,
): void {
  const row = row_bytes(channels);
  const begin = <usize>first * (BLOCK * 4);
  const end = <usize>last * (BLOCK * 4);
  for (let j = 0; j < mixes; j++) {
    for (let t = 0; t < n; t++) {
      const at = <usize>t * row;
      for (let c = begin; c < end; c += 16) {
        let u = v128.load(mu + c);
        if (m) u = f32x4.add(u, v128.load(m + at + c));
        v128.store(dst + at + c, f32x4.add(v128.load(xx + at + c), f32x4.mul(v128.load(dx + at + c), u)));
      }
    }
    mu += row;
    if (m) m += m_stride;
    dst += dst_stride;
  }
}
