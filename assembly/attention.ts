// Causal softmax attention over a cache of keys and values, for the Transformer that `rwkv lab scaling` measures beside RWKV. No RWKV
// has it: only the builds of assembly/lab.ts do. Per head of N channels, for the token at position p:
//
//   s_j = q . k_j / sqrt(N)      out = sum over j <= p of e^(s_j - max s) v_j / sum over j <= p of e^(s_j - max s)
//
// Each s_j is one chain over the channels, the sum of weights four chains (index mod 4), each output one chain over the positions: the same
// however a prompt is cut. A head's cache, P positions rounded up to 16:
//
//   keys     P / 16 groups of N x 16 f32: for every channel those of 16 positions, one lane each
//   values   N / 16 strips of P x 16 f32: for every position 16 channels
//
// so that one token reads each of the two as streams, and four tokens of a prompt share what they read.

import { row_bytes } from "./blocks";
import { sum4 } from "./lanes";
import { exp } from "./math";
import { ROW_BYTES, ROW_POSITION } from "./ops";

/** Positions in a group of keys, channels in a strip of values; the same in bytes. */
const GROUP: i32 = 16;
const WIDE: usize = 64;

/**
 * acts: q, k, v, each n rows, `act_stride` bytes apart. All rows are of one session. keys, values: the cache, room for `positions`.
 * head_size: a multiple of 16. out: n rows. Heads from `first` up to `last`. room: 4 x head_size f32, then 4 x positions, rounded
 * up to 16.
 */
export function attention(
  table: usize,
  n: i32,
  acts: usize,
  act_stride: usize,
  keys: usize,
  values: usize,
  positions: i32,
  channels: i32,
  head_size: i32,
  out: usize,
  first: i32,
  last: i32,
  room: usize,
): void {
  const row = row_bytes(channels);
  const size = <usize>head_size * 4;
  const capacity = <usize>((positions + (GROUP - 1)) & -GROUP);
  const scores = room + size * 4;
  const start = load<i32>(table, ROW_POSITION);
  if (start + n > positions) unreachable();
  for (let h = first; h < last; h++) {
    const at = <usize>h * size;
    const k = keys + at * capacity;
    const v = values + at * capacity;
    for (let t = 0; t < n; t++) {
      const key = acts + act_stride + <usize>t * row + at;
      keep(k, v, capacity, start + t, key, key + act_stride, size);
    }
    let t = 0;
    for (; t + 4 <= n; t += 4) {
      const q = acts + <usize>t * row + at;
      const count = start + t + 4;
      const wide = (count + (GROUP - 1)) & -GROUP;
      for (let i = 0; i < 4; i++) scaled(room + <usize>i * size, q + <usize>i * row, size);
      scores4(scores, capacity * 4, k, room, size, wide);
      const o = out + <usize>t * row + at;
      const a = weights(scores, count - 3, wide);
      const b = weights(scores + capacity * 4, count - 2, wide);
      const c = weights(scores + capacity * 8, count - 1, wide);
      const d = weights(scores + capacity * 12, count, wide);
      mix4(o, row, v, capacity, scores, count, size);
      divide(o, a, size);
      divide(o + row, b, size);
      divide(o + row * 2, c, size);
      divide(o + row * 3, d, size);
    }
    for (; t < n; t++) {
      const count = start + t + 1;
      const wide = (count + (GROUP - 1)) & -GROUP;
      scaled(room, acts + <usize>t * row + at, size);
      scores1(scores, k, room, size, wide);
      const sum = weights(scores, count, wide);
      const o = out + <usize>t * row + at;
      mix1(o, v, capacity, scores, count, size);
      divide(o, sum, size);
    }
  }
}

/** Puts a head's key and value where the cache has them. */
function keep(k: usize, v: usize, capacity: usize, position: i32, key: usize, value: usize, size: usize): void {
  let to = k + <usize>(position / GROUP) * (size * GROUP) + <usize>(position % GROUP) * 4;
  const end = key + size;
  do {
    store<f32>(to, load<f32>(key));
    to += WIDE;
    key += 4;
  } while (key < end);
  to = v + <usize>position * WIDE;
  for (let c: usize = 0; c < size; c += WIDE) {
    v128.store(to, v128.load(value + c));
    v128.store(to, v128.load(value + c, 16), 16);
    v128.store(to, v128.load(value + c, 32), 32);
    v128.store(to, v128.load(value + c, 48), 48);
    to += capacity * WIDE;
  }
}

/** dst = q / sqrt(N). */
function scaled(dst: usize, q: usize, size: usize): void {
  const scale = f32x4.splat(<f32>1 / sqrt<f32>(<f32>(size >> 2)));
  for (let c: usize = 0; c < size; c += 16) v128.store(dst + c, f32x4.mul(v128.load(q + c), scale));
}

/** The scores of one query with positions 0 to `count` - 1, a multiple of 16. */
function scores1(scores: usize, k: usize, q: usize, size: usize, count: i32): void {
  const last = scores + (<usize>count << 2);
  do {
    sums1x16(scores, q, q + size, k);
    k += size * GROUP;
    scores += WIDE;
  } while (scores < last);
}

/** The same for four queries, `stride` bytes of scores apart: eight positions at a time. */
function scores4(scores: usize, stride: usize, k: usize, q: usize, size: usize, count: i32): void {
  const last = scores + (<usize>count << 2);
  do {
    sums4x8(scores, stride, q, q + size, size, k);
    sums4x8(scores + 32, stride, q, q + size, size, k + 32);
    k += size * GROUP;
    scores += WIDE;
  } while (scores < last);
}

/** 16 numbers: the sum over x (up to `end`) of x_i times the 16 at `from` + i * WIDE. One chain for each. */
function sums1x16(out: usize, x: usize, end: usize, from: usize): void {
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  do {
    const xi = v128.load32_splat(x);
    a = f32x4.add(a, f32x4.mul(xi, v128.load(from)));
    b = f32x4.add(b, f32x4.mul(xi, v128.load(from, 16)));
    c = f32x4.add(c, f32x4.mul(xi, v128.load(from, 32)));
    d = f32x4.add(d, f32x4.mul(xi, v128.load(from, 48)));
    from += WIDE;
    x += 4;
  } while (x < end);
  v128.store(out, a);
  v128.store(out, b, 16);
  v128.store(out, c, 32);
  v128.store(out, d, 48);
}

/** The same for four x, `stride` bytes apart, and eight numbers each, `row` bytes of output apart. */
function sums4x8(out: usize, row: usize, x: usize, end: usize, stride: usize, from: usize): void {
  const stride3 = stride * 3;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  do {
    const y0 = v128.load(from);
    const y1 = v128.load(from, 16);
    let xi = v128.load32_splat(x);
    a0 = f32x4.add(a0, f32x4.mul(xi, y0));
    a1 = f32x4.add(a1, f32x4.mul(xi, y1));
    xi = v128.load32_splat(x + stride);
    b0 = f32x4.add(b0, f32x4.mul(xi, y0));
    b1 = f32x4.add(b1, f32x4.mul(xi, y1));
    xi = v128.load32_splat(x + stride * 2);
    c0 = f32x4.add(c0, f32x4.mul(xi, y0));
    c1 = f32x4.add(c1, f32x4.mul(xi, y1));
    xi = v128.load32_splat(x + stride3);
    d0 = f32x4.add(d0, f32x4.mul(xi, y0));
    d1 = f32x4.add(d1, f32x4.mul(xi, y1));
    from += WIDE;
    x += 4;
  } while (x < end);
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out + row, b0);
  v128.store(out + row, b1, 16);
  v128.store(out + row * 2, c0);
  v128.store(out + row * 2, c1, 16);
  v128.store(out + row * 3, d0);
  v128.store(out + row * 3, d1, 16);
}

/** Scores become e^(s - max s), of `count` positions; those from there up to `wide` become 0. Answers the sum. */
function weights(scores: usize, count: i32, wide: i32): f32 {
  for (let j = count; j < wide; j++) store<f32>(scores + (<usize>j << 2), -Infinity);
  const end = scores + (<usize>wide << 2);
  let m = v128.load(scores);
  for (let s = scores + 16; s < end; s += 16) m = f32x4.max(m, v128.load(s));
  m = f32x4.max(m, v128.shuffle<i32>(m, m, 2, 3, 0, 1));
  m = f32x4.max(m, v128.shuffle<i32>(m, m, 1, 0, 3, 2));
  let sum = f32x4.splat(0);
  for (let s = scores; s < end; s += 16) {
    const e = exp(f32x4.sub(v128.load(s), m));
    v128.store(s, e);
    sum = f32x4.add(sum, e);
  }
  return sum4(sum);
}

/** out = the weighted sum of the values at positions 0 to `count` - 1. */
function mix1(out: usize, v: usize, capacity: usize, scores: usize, count: i32, size: usize): void {
  const end = scores + (<usize>count << 2);
  for (let c: usize = 0; c < size; c += WIDE) {
    sums1x16(out + c, scores, end, v);
    v += capacity * WIDE;
  }
}

/** The same for four tokens, `row` bytes of output apart: eight channels at a time. */
function mix4(out: usize, row: usize, v: usize, capacity: usize, scores: usize, count: i32, size: usize): void {
  const stride = capacity * 4;
  const end = scores + (<usize>count << 2);
  for (let c: usize = 0; c < size; c += WIDE) {
    sums4x8(out + c, row, scores, end, stride, v);
    sums4x8(out + c + 32, row, scores, end, stride, v + 32);
    v += capacity * WIDE;
  }
}

function divide(out: usize, sum: f32, size: usize): void {
  const by = f32x4.splat(sum);
  for (let c: usize = 0; c < size; c += 16) v128.store(out + c, f32x4.div(v128.load(out + c), by));
}
