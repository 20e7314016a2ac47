// RWKV-7's time mixing for whole heads, token after token: everything between the projections and the output matrix. With the
// paper's letters, per head of N channels, S[value i][key j]:
//
//   w = exp(-e^-0.5 sigmoid(w0 + w_lora))        a = sigmoid(a0 + a_lora)
//   kk = k * k_k / |k * k_k|                      k = k * (1 + (a - 1) * k_a)
//   v = v + (v_first - v) * sigmoid(v0 + v_lora)  (layer 0 gives v_first)
//   S = S diag(w) + (S (-kk)) (kk * a)^T + v k^T   y = S r
//   out = (group_norm(y) + (r . k * r_k) v) * g

import { row_bytes } from "./blocks";
import { sum4 } from "./lanes";
import { exp, sigmoid } from "./math";
import { is_first } from "./mix";
import { mean, normed, rstd } from "./norm";
import { ROW_BYTES, ROW_FROM, ROW_TO } from "./ops";

const MINUS_EXP_MINUS_HALF: f32 = -0.60653067;

/**
 * acts: r, k, v and the LoRA outputs w, a, v, g, each n rows, `act_stride` bytes apart (layer 0 has no v LoRA: that one is not read).
 * params: vectors w0, a0, v0, k_k, k_a, r_k, ln_x weight, ln_x bias, one after another. state: offset of S in a slot.
 * first_values: n rows, written by layer 0 (`is_layer0`) and read by the others. out: n rows. Heads from `first` up to `last`.
 * scratch: 6 x head_size f32.
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
  const nkk = scratch;
  const kka = nkk + size;
  const decay = kka + size;
  const key = decay + size;
  const value = key + size;
  const y = value + size;
  const one = f32x4.splat(1);
  for (let h = first; h < last; h++) {
    const at = <usize>h * size;
    const param = params + at;
    const offset = state + at * head_size;
    for (let t = 0; t < n; t++) {
      const entry = table + <usize>t * ROW_BYTES;
      const r_ = acts + <usize>t * row + at;
      const k_ = r_ + act_stride;
      const v_ = k_ + act_stride;
      const w_lora = v_ + act_stride;
      const a_lora = w_lora + act_stride;
      const v_lora = a_lora + act_stride;
      const g_ = v_lora + act_stride;
      const v_first = first_values + <usize>t * row + at;

      let norm = f32x4.splat(0);
      let bonus = f32x4.splat(0);
      for (let c: usize = 0; c < size; c += 16) {
        const p = param + c;
        const k = v128.load(k_ + c);
        const w = sigmoid(f32x4.add(v128.load(p), v128.load(w_lora + c)));
        v128.store(decay + c, exp(f32x4.mul(f32x4.splat(MINUS_EXP_MINUS_HALF), w)));
        const a = sigmoid(f32x4.add(v128.load(p + row), v128.load(a_lora + c)));
        v128.store(kka + c, a);
        const kk = f32x4.mul(k, v128.load(p + row * 3));
        v128.store(nkk + c, kk);
        norm = f32x4.add(norm, f32x4.mul(kk, kk));
        const k2 = f32x4.mul(k, f32x4.add(one, f32x4.mul(f32x4.sub(a, one), v128.load(p + row * 4))));
        v128.store(key + c, k2);
        bonus = f32x4.add(bonus, f32x4.mul(f32x4.mul(v128.load(r_ + c), k2), v128.load(p + row * 5)));
        let v = v128.load(v_ + c);
        if (is_layer0) v128.store(v_first + c, v);
        else {
          const mix = sigmoid(f32x4.add(v128.load(p + row * 2), v128.load(v_lora + c)));
          v = f32x4.add(v, f32x4.mul(f32x4.sub(v128.load(v_first + c), v), mix));
        }
        v128.store(value + c, v);
      }
      const length = f32x4.splat(max<f32>(sqrt<f32>(sum4(norm)), 1e-12));
      for (let c: usize = 0; c < size; c += 16) {
        const kk = f32x4.div(v128.load(nkk + c), length);
        v128.store(nkk + c, f32x4.neg(kk));
        v128.store(kka + c, f32x4.mul(kk, v128.load(kka + c)));
      }

      const to = <usize>load<u32>(entry, ROW_TO) + offset;
      const from = is_first(table, t) ? <usize>load<u32>(entry, ROW_FROM) + offset : to;
      scan(y, to, from, nkk, kka, decay, key, value, r_, size);

      const m = mean(y, head_size);
      const rs = f32x4.splat(rstd(y, head_size, m, eps));
      const mv = f32x4.splat(m);
      const b = f32x4.splat(sum4(bonus));
      const o = out + <usize>t * row + at;
      for (let c: usize = 0; c < size; c += 16) {
        const z = normed(v128.load(y + c), mv, rs, v128.load(param + row * 6 + c), v128.load(param + row * 7 + c));
        v128.store(o + c, f32x4.mul(f32x4.add(z, f32x4.mul(b, v128.load(value + c))), v128.load(g_ + c)));
      }
    }
  }
}

/** S_to = S_from diag(w) + (S_from nkk) kka^T + v k^T; y = S_to r. Two rows of S at a time. `size`: bytes of a vector. */
function scan(
  y: usize,
  to: usize,
  from: usize,
  nkk: usize,
  kka: usize,
  decay: usize,
  key: usize,
  value: usize,
  r: usize,
  size: usize,
): void {
  const last = y + size;
  do {
    let p = f32x4.splat(0);
    let q = p;
    let c: usize = 0;
    do {
      const z = v128.load(nkk + c);
      p = f32x4.add(p, f32x4.mul(v128.load(from + c), z));
      q = f32x4.add(q, f32x4.mul(v128.load(from + size + c), z));
      c += 16;
    } while (c < size);
    const sa = f32x4.splat(sum4(p));
    const sb = f32x4.splat(sum4(q));
    const va = v128.load32_splat(value);
    const vb = v128.load32_splat(value, 4);
    p = f32x4.splat(0);
    q = p;
    c = 0;
    do {
      const w = v128.load(decay + c);
      const b = v128.load(kka + c);
      const k = v128.load(key + c);
      const z = v128.load(r + c);
      const s = f32x4.add(
        f32x4.add(f32x4.mul(v128.load(from + c), w), f32x4.mul(sa, b)),
        f32x4.mul(va, k),
      );
      v128.store(to + c, s);
      p = f32x4.add(p, f32x4.mul(s, z));
      const u = f32x4.add(
        f32x4.add(f32x4.mul(v128.load(from + size + c), w), f32x4.mul(sb, b)),
        f32x4.mul(vb, k),
      );
      v128.store(to + size + c, u);
      q = f32x4.add(q, f32x4.mul(u, z));
      c += 16;
    } while (c < size);
    store<f32>(y, sum4(p));
    store<f32>(y, sum4(q), 4);
    y += 8;
    value += 8;
    from += size * 2;
    to += size * 2;
  } while (y < last);
}
