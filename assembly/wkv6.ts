// The time mixing of RWKV-5 and RWKV-6 for whole heads, token after token: everything between the projections and the output
// matrix. They differ in the decay alone, which version 5 has learnt once and version 6 computes from every token. With the
// paper's letters, per head of N channels, S[key i][value j]:
//
//   y = r S + (r . (u * k)) v       S = diag(w) S + k^T v       w = exp(-exp(time_decay + its LoRA)) in version 6
//   out = group_norm(y) * g         (version 5.0 has no g)

import { row_bytes } from "./blocks";
import { sum4 } from "./lanes";
import { exp } from "./math";
import { is_first } from "./mix";
import { mean, normed, rstd } from "./norm";
import { ROW_BYTES, ROW_FROM, ROW_TO, WKV6_DECAY, WKV6_GATE } from "./ops";

/**
 * acts: r, k, v, g and the LoRA's w, each n rows, `act_stride` bytes apart; g is read if `parts` has WKV6_GATE, w if it has
 * WKV6_DECAY. params: vectors time_decay, u, ln_x weight, ln_x bias, one after another; without WKV6_DECAY the first one is w
 * itself. state: offset of S in a slot. out: n rows. Heads from `first` up to `last`. scratch: 2 x head_size f32.
 */
export function wkv6(
  table: usize,
  n: i32,
  acts: usize,
  act_stride: usize,
  params: usize,
  channels: i32,
  head_size: i32,
  eps: f32,
  state: usize,
  parts: i32,
  out: usize,
  first: i32,
  last: i32,
  scratch: usize,
): void {
  const row = row_bytes(channels);
  const size = <usize>head_size * 4;
  const y = scratch;
  for (let h = first; h < last; h++) {
    const at = <usize>h * size;
    const param = params + at;
    const offset = state + at * head_size;
    let decay = param;
    for (let t = 0; t < n; t++) {
      const entry = table + <usize>t * ROW_BYTES;
      const r = acts + <usize>t * row + at;
      const k = r + act_stride;
      const v = k + act_stride;
      const g = v + act_stride;
      if (parts & WKV6_DECAY) {
        const lora = g + act_stride;
        decay = scratch + size;
        for (let c: usize = 0; c < size; c += 16) {
          const w = f32x4.add(v128.load(param + c), v128.load(lora + c));
          v128.store(decay + c, exp(f32x4.neg(exp(w))));
        }
      }
      let bonus = f32x4.splat(0);
      for (let c: usize = 0; c < size; c += 16) {
        const rk = f32x4.mul(v128.load(r + c), v128.load(k + c));
        bonus = f32x4.add(bonus, f32x4.mul(rk, v128.load(param + row + c)));
        v128.store(y + c, f32x4.splat(0));
      }
      const to = <usize>load<u32>(entry, ROW_TO) + offset;
      const from = is_first(table, t) ? <usize>load<u32>(entry, ROW_FROM) + offset : to;
      scan(y, to, from, decay, k, v, r, size);
      const b = f32x4.splat(sum4(bonus));
      for (let c: usize = 0; c < size; c += 16) {
        v128.store(y + c, f32x4.add(v128.load(y + c), f32x4.mul(b, v128.load(v + c))));
      }

      const m = mean(y, head_size);
      const rs = f32x4.splat(rstd(y, head_size, m, eps));
      const mv = f32x4.splat(m);
      const o = out + <usize>t * row + at;
      for (let c: usize = 0; c < size; c += 16) {
        let z = normed(v128.load(y + c), mv, rs, v128.load(param + row * 2 + c), v128.load(param + row * 3 + c));
        if (parts & WKV6_GATE) z = f32x4.mul(z, v128.load(g + c));
        v128.store(o + c, z);
      }
    }
  }
}

/**
 * y = y + r S_from; S_to = diag(w) S_from + k^T v. Two rows of S, that is two keys, at a time; each value's sum is one chain, keys
 * ascending. `size`: bytes of a vector.
 */
function scan(y: usize, to: usize, from: usize, decay: usize, key: usize, value: usize, r: usize, size: usize): void {
  const last = r + size;
  do {
    const ra = v128.load32_splat(r);
    const rb = v128.load32_splat(r, 4);
    const wa = v128.load32_splat(decay);
    const wb = v128.load32_splat(decay, 4);
    const ka = v128.load32_splat(key);
    const kb = v128.load32_splat(key, 4);
    let c: usize = 0;
    do {
      const v = v128.load(value + c);
      const a = v128.load(from + c);
      const b = v128.load(from + size + c);
      const sum = f32x4.add(v128.load(y + c), f32x4.mul(ra, a));
      v128.store(y + c, f32x4.add(sum, f32x4.mul(rb, b)));
      v128.store(to + c, f32x4.add(f32x4.mul(wa, a), f32x4.mul(ka, v)));
      v128.store(to + size + c, f32x4.add(f32x4.mul(wb, b), f32x4.mul(kb, v)));
      c += 16;
    } while (c < size);
    r += 8;
    decay += 8;
    key += 8;
    from += size * 2;
    to += size * 2;
  } while (r < last);
}
