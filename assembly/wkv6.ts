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
 * itself. head_size: a multiple of 8. state: offset of S in a slot. out: n rows. Heads from `first` up to `last`. scratch:
 * 2 x head_size f32.
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
        // In two rounds, in each of which none waits for another.
        for (let c: usize = 0; c < size; c += 16) {
          v128.store(decay + c, exp(f32x4.add(v128.load(param + c), v128.load(lora + c))));
        }
        for (let c: usize = 0; c < size; c += 16) v128.store(decay + c, exp(f32x4.neg(v128.load(decay + c))));
      }
      let bonus = f32x4.splat(0);
      for (let c: usize = 0; c < size; c += 16) {
        const rk = f32x4.mul(v128.load(r + c), v128.load(k + c));
        bonus = f32x4.add(bonus, f32x4.mul(rk, v128.load(param + row + c)));
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
 * y = r S_from; S_to = diag(w) S_from + k^T v. Eight values at a time, whose sums stay in registers, by two rows of S, that is two keys;
 * each value's sum is one chain, keys ascending. `size`: bytes of a vector.
 */
function scan(y: usize, to: usize, from: usize, decay: usize, key: usize, value: usize, r: usize, size: usize): void {
  // From a row that is read to the one that is written.
  const over = to - from;
  const end = r + size;
  for (let c: usize = 0; c < size; c += 32) {
    const v = v128.load(value + c);
    const u = v128.load(value + c, 16);
    let p = f32x4.splat(0);
    let q = p;
    let s = from + c;
    let i = r;
    let d = decay;
    let k = key;
    do {
      const ra = v128.load32_splat(i);
      const wa = v128.load32_splat(d);
      const ka = v128.load32_splat(k);
      const rb = v128.load32_splat(i, 4);
      const wb = v128.load32_splat(d, 4);
      const kb = v128.load32_splat(k, 4);
      let a = v128.load(s);
      p = f32x4.add(p, f32x4.mul(ra, a));
      v128.store(s + over, f32x4.add(f32x4.mul(wa, a), f32x4.mul(ka, v)));
      a = v128.load(s, 16);
      q = f32x4.add(q, f32x4.mul(ra, a));
      v128.store(s + over, f32x4.add(f32x4.mul(wa, a), f32x4.mul(ka, u)), 16);
      s += size;
      a = v128.load(s);
      p = f32x4.add(p, f32x4.mul(rb, a));
      v128.store(s + over, f32x4.add(f32x4.mul(wb, a), f32x4.mul(kb, v)));
      a = v128.load(s, 16);
      q = f32x4.add(q, f32x4.mul(rb, a));
      v128.store(s + over, f32x4.add(f32x4.mul(wb, a), f32x4.mul(kb, u)), 16);
      s += size;
      i += 8;
      d += 8;
      k += 8;
    } while (i < end);
    v128.store(y + c, p);
    v128.store(y + c, q, 16);
  }
}
