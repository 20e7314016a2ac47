// RWKV-7's time mixing for whole heads, token after token: everything between the projections and the output matrix. With the
// paper's letters, per head of N channels, S[value i][key j]:
//
//   w = exp(-e^-0.5 sigmoid(w0 + w_lora))        a = sigmoid(a0 + a_lora)
//   kk = k * k_k / |k * k_k|                      k = k * (1 + (a - 1) * k_a)
//   v = v + (v_first - v) * sigmoid(v0 + v_lora)  (layer 0 gives v_first)
//   S = S diag(w) + (S (-kk)) (kk * a)^T + v k^T   y = S r
//   out = (group_norm(y) + (r . k * r_k) v) * g

//
// S is gone through once per token: while a row is updated, it is also multiplied by the next token's -kk, if that is of the same
// session. So everything that depends on a token alone is found one token ahead.

import { row_bytes } from "./blocks";
import { sum4 } from "./lanes";
import { exp, sigmoid } from "./math";
import { is_first } from "./mix";
import { mean, normed, rstd } from "./norm";
import { ROW_BYTES, ROW_FROM, ROW_TO } from "./ops";

const MINUS_EXP_MINUS_HALF: f32 = -0.60653067;

/**
 * What the scan multiplies a row of S by, for each four channels: w, kk * a, k, r of this token, -kk of the next; STEP bytes. So one
 * address leads through all of them.
 */
const KKA: usize = 16;
const KEY: usize = 32;
const R: usize = 48;
const NEXT: usize = 64;
const STEP: usize = 80;

// Whether the scan prepares the next token, as types, so that each gets machine code of its own.
type Goes = u8;
type Ends = u16;

/**
 * acts: r, k, v and the LoRA outputs w, a, v, g, each n rows, `act_stride` bytes apart (layer 0 has no v LoRA: that one is not read).
 * params: vectors w0, a0, v0, k_k, k_a, r_k, ln_x weight, ln_x bias, one after another. state: offset of S in a slot.
 * first_values: n rows, written by layer 0 (`is_layer0`) and read by the others. out: n rows. Heads from `first` up to `last`.
 * scratch: 14 x head_size f32.
 */
export function wkv7(
  table: usize,
  n: i32,
  acts: usize,
  act_stride: usize,
  params: usize,
  channels: i32,
  head_size: i32,
  eps: f32,
  state: usize,
  first_values: usize,
  is_layer0: bool,
  out: usize,
  first: i32,
  last: i32,
  scratch: usize,
): void {
  const row = row_bytes(channels);
  const size = <usize>head_size * 4;
  const y = scratch;
  const removed = y + size;
  // Of this token and of the next: what the scan wants, then the values.
  let now = removed + size;
  let next = now + size * 6;
  for (let h = first; h < last; h++) {
    const at = <usize>h * size;
    const param = params + at;
    const offset = state + at * head_size;
    let input = acts + at;
    let first_value = first_values + at;
    // A token's -kk stands with the token before it.
    let bonus = prepare(now, next + NEXT, input, act_stride, param, row, first_value, is_layer0, size);
    for (let t = 0; t < n; t++) {
      const entry = table + <usize>t * ROW_BYTES;
      const to = <usize>load<u32>(entry, ROW_TO) + offset;
      let from = to;
      if (is_first(table, t)) {
        from = <usize>load<u32>(entry, ROW_FROM) + offset;
        multiply(removed, from, next + NEXT, size);
      }
      const value = now + size * 5;
      const gate = input + act_stride * 6;
      const b = f32x4.splat(bonus);
      input += row;
      first_value += row;
      if (t + 1 < n) {
        bonus = prepare(next, now + NEXT, input, act_stride, param, row, first_value, is_layer0, size);
      }
      if (t + 1 < n && !is_first(table, t + 1)) scan<Goes>(y, to, from, now, value, removed, size);
      else scan<Ends>(y, to, from, now, value, removed, size);

      const m = mean(y, head_size);
      const rs = f32x4.splat(rstd(y, head_size, m, eps));
      const mv = f32x4.splat(m);
      const o = out + <usize>t * row + at;
      for (let c: usize = 0; c < size; c += 16) {
        const z = normed(v128.load(y + c), mv, rs, v128.load(param + row * 6 + c), v128.load(param + row * 7 + c));
        v128.store(o + c, f32x4.mul(f32x4.add(z, f32x4.mul(b, v128.load(value + c))), v128.load(gate + c)));
      }
      const other = now;
      now = next;
      next = other;
    }
  }
}

/**
 * What depends on one token alone. into: w, kk * a, k, r as the scan wants them, then the values; minus_kk: where -kk goes, a vector
 * every STEP bytes. Answers (r . k * r_k).
 */
function prepare(
  into: usize,
  minus_kk: usize,
  input: usize,
  act_stride: usize,
  param: usize,
  row: usize,
  first_value: usize,
  is_layer0: bool,
  size: usize,
): f32 {
  const one = f32x4.splat(1);
  const factor = f32x4.splat(MINUS_EXP_MINUS_HALF);
  const value = into + size * 5;
  // First the sigmoids alone: none waits for another.
  let z = into;
  let p = param;
  let i = input + act_stride * 3;
  for (let c: usize = 0; c < size; c += 16) {
    v128.store(z, sigmoid(f32x4.add(v128.load(p), v128.load(i))));
    v128.store(z, sigmoid(f32x4.add(v128.load(p + row), v128.load(i + act_stride))), KKA);
    if (!is_layer0) {
      v128.store(value + c, sigmoid(f32x4.add(v128.load(p + row * 2), v128.load(i + act_stride * 2))));
    }
    z += STEP;
    p += 16;
    i += 16;
  }
  let norm = f32x4.splat(0);
  let bonus = f32x4.splat(0);
  let d = minus_kk;
  z = into;
  p = param + row * 3;
  i = input;
  for (let c: usize = 0; c < size; c += 16) {
    v128.store(z, exp(f32x4.mul(factor, v128.load(z))));
    const r = v128.load(i);
    v128.store(z, r, R);
    const k = v128.load(i + act_stride);
    let v = v128.load(i + act_stride * 2);
    if (is_layer0) v128.store(first_value + c, v);
    else v = f32x4.add(v, f32x4.mul(f32x4.sub(v128.load(first_value + c), v), v128.load(value + c)));
    v128.store(value + c, v);
    const kk = f32x4.mul(k, v128.load(p));
    v128.store(d, kk);
    norm = f32x4.add(norm, f32x4.mul(kk, kk));
    const a = v128.load(z, KKA);
    const key = f32x4.mul(k, f32x4.add(one, f32x4.mul(f32x4.sub(a, one), v128.load(p + row))));
    v128.store(z, key, KEY);
    bonus = f32x4.add(bonus, f32x4.mul(f32x4.mul(r, key), v128.load(p + row * 2)));
    z += STEP;
    d += STEP;
    p += 16;
    i += 16;
  }
  const length = f32x4.splat(max<f32>(sqrt<f32>(sum4(norm)), 1e-12));
  z = into;
  d = minus_kk;
  do {
    const kk = f32x4.div(v128.load(d), length);
    v128.store(d, f32x4.neg(kk));
    v128.store(z, f32x4.mul(kk, v128.load(z, KKA)), KKA);
    z += STEP;
    d += STEP;
  } while (z < value);
  return sum4(bonus);
}

/** removed = S z, two rows of S at a time; z: a vector every STEP bytes. `size`: bytes of a row. */
function multiply(removed: usize, s: usize, z: usize, size: usize): void {
  const end = removed + size;
  do {
    let p = f32x4.splat(0);
    let q = p;
    let from = z;
    const last = s + size;
    do {
      const a = v128.load(from);
      p = f32x4.add(p, f32x4.mul(v128.load(s), a));
      q = f32x4.add(q, f32x4.mul(v128.load(s + size), a));
      s += 16;
      from += STEP;
    } while (s < last);
    store<f32>(removed, sum4(p));
    store<f32>(removed, sum4(q), 4);
    removed += 8;
    s += size;
  } while (removed < end);
}

/**
 * S_to = S_from diag(w) + removed (kk * a)^T + v k^T; y = S_to r; and, if it goes on, removed = S_to (-kk of the next). Two rows of S
 * at a time. z: what to multiply with, see above; `size`: bytes of a row.
 */
function scan<N>(y: usize, to: usize, from: usize, z: usize, value: usize, removed: usize, size: usize): void {
  const end = y + size;
  // From a row that is read to the one that is written.
  const over = to - from;
  do {
    const sa = v128.load32_splat(removed);
    const sb = v128.load32_splat(removed, 4);
    const va = v128.load32_splat(value);
    const vb = v128.load32_splat(value, 4);
    let p = f32x4.splat(0);
    let q = p;
    let m = p;
    let n = p;
    let by = z;
    const last = from + size;
    do {
      const below = from + size;
      const w = v128.load(by);
      let a = f32x4.mul(v128.load(from), w);
      let b = f32x4.mul(v128.load(below), w);
      const kka = v128.load(by, KKA);
      a = f32x4.add(a, f32x4.mul(sa, kka));
      b = f32x4.add(b, f32x4.mul(sb, kka));
      const k = v128.load(by, KEY);
      a = f32x4.add(a, f32x4.mul(va, k));
      b = f32x4.add(b, f32x4.mul(vb, k));
      v128.store(from + over, a);
      v128.store(below + over, b);
      const r = v128.load(by, R);
      p = f32x4.add(p, f32x4.mul(a, r));
      q = f32x4.add(q, f32x4.mul(b, r));
      if (sizeof<N>() == sizeof<Goes>()) {
        const kk = v128.load(by, NEXT);
        m = f32x4.add(m, f32x4.mul(a, kk));
        n = f32x4.add(n, f32x4.mul(b, kk));
      }
      from += 16;
      by += STEP;
    } while (from < last);
    store<f32>(y, sum4(p));
    store<f32>(y, sum4(q), 4);
    if (sizeof<N>() == sizeof<Goes>()) {
      store<f32>(removed, sum4(m));
      store<f32>(removed, sum4(n), 4);
    }
    y += 8;
    value += 8;
    removed += 8;
    from += size;
  } while (y < end);
}
