// RWKV-4's time mixing, channel by channel, token after token: everything between the projections and the output matrix. A
// channel remembers weighted sums of values (aa) and of weights (bb), both divided by e^pp, so that no exponent overflows:
//
//   q = max(pp, u + k)          out = r (e^(pp - q) aa + e^(u + k - q) v) / (e^(pp - q) bb + e^(u + k - q))
//   q = max(pp + w, k)          aa = e^(pp + w - q) aa + e^(k - q) v      bb = e^(pp + w - q) bb + e^(k - q)      pp = q
//
// w = -exp(time_decay), u = time_first. A fresh session has aa = bb = 0 and pp = -1e30.

import { row_bytes } from "./blocks";
import { exp } from "./math";
import { is_first, is_last } from "./mix";
import { BLOCK, ROW_BYTES, ROW_FROM, ROW_TO } from "./ops";

/**
 * acts: r (after its sigmoid), k, v, each n rows, `act_stride` bytes apart. params: vectors u and w, one after the other.
 * aa, bb, pp: their offsets in a slot. out: n rows. Blocks of 32 channels from `first` up to `last`.
 */
export function wkv4(
  table: usize,
  n: i32,
  acts: usize,
  act_stride: usize,
  params: usize,
  channels: i32,
  aa: usize,
  bb: usize,
  pp: usize,
  out: usize,
  first: i32,
  last: i32,
): void {
  const row = row_bytes(channels);
  const end = <usize>last * (BLOCK * 4);
  for (let c = <usize>first * (BLOCK * 4); c < end; c += 16) {
    const u = v128.load(params + c);
    const w = v128.load(params + row + c);
    let a = f32x4.splat(0);
    let b = a;
    let p = a;
    for (let t = 0; t < n; t++) {
      const entry = table + <usize>t * ROW_BYTES;
      if (is_first(table, t)) {
        const from = <usize>load<u32>(entry, ROW_FROM) + c;
        a = v128.load(from + aa);
        b = v128.load(from + bb);
        p = v128.load(from + pp);
      }
      const at = <usize>t * row + c;
      const k = v128.load(acts + at + act_stride);
      const v = v128.load(acts + at + act_stride * 2);
      const now = f32x4.add(u, k);
      let q = f32x4.max(p, now);
      let e = exp(f32x4.sub(p, q));
      let f = exp(f32x4.sub(now, q));
      const over = f32x4.add(f32x4.mul(e, a), f32x4.mul(f, v));
      const under = f32x4.add(f32x4.mul(e, b), f);
      v128.store(out + at, f32x4.mul(v128.load(acts + at), f32x4.div(over, under)));
      const later = f32x4.add(p, w);
      q = f32x4.max(later, k);
      e = exp(f32x4.sub(later, q));
      f = exp(f32x4.sub(k, q));
      a = f32x4.add(f32x4.mul(e, a), f32x4.mul(f, v));
      b = f32x4.add(f32x4.mul(e, b), f);
      p = q;
      if (is_last(table, t, n)) {
        const to = <usize>load<u32>(entry, ROW_TO) + c;
        v128.store(to + aa, a);
        v128.store(to + bb, b);
        v128.store(to + pp, p);
      }
    }
  }
}
