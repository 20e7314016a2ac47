// XTC, "exclude top choices": of several tokens that are likely enough, all but the least likely go.

import { whole } from "./sample_work";

/** Marks those of n scores whose weights are at least `least`, but the last of them in the order, when there are two or more. */
export function exclude(scores: usize, weights: usize, n: i32, least: f32): void {
  const l = f32x4.splat(least);
  const none = f32x4.splat(-Infinity);
  const end = whole(n);
  let count = 0;
  let kept: usize = 0;
  for (let i: usize = 0; i < end; i += 16) {
    const likely = v128.and(f32x4.ge(v128.load(weights + i), l), f32x4.gt(v128.load(scores + i), none));
    for (let bits = i32x4.bitmask(likely); bits; bits &= bits - 1) {
      const at = i + (<usize>ctz(bits) << 2);
      if (count++ == 0 || load<f32>(scores + at) <= load<f32>(scores + kept)) kept = at;
    }
  }
  if (count < 2) return;
  const score = load<f32>(scores + kept);
  for (let i: usize = 0; i < end; i += 16) {
    const s = v128.load(scores + i);
    v128.store(scores + i, v128.bitselect(none, s, f32x4.ge(v128.load(weights + i), l)));
  }
  store<f32>(scores + kept, score);
}
