// What the model itself thinks of a token and of its rivals, whatever the samplers make of that.

import { log } from "./math";
import { argmax, exps } from "./sample_weights";

/** Likelier first, of equals the lower id. */
// @ts-ignore: decorator
@inline
function before(x: f32, a: i32, y: f32, b: i32): bool {
  return x > y || (x == y && a < b);
}

/**
 * Writes to dst: the natural logarithm of the token's probability under the logits, f32; its rank, u32, which is how many tokens come
 * before it, likelier ones and, of equals, lower ids; then the first `top` (at most `vocab`) tokens in that order, each as its id,
 * u32, and its logarithm, f32. All logarithms are NaN when the logits are not numbers. work: `sampler_work` bytes.
 */
export function logprobs(logits: usize, vocab: i32, token: i32, dst: usize, top: i32, work: usize): void {
  const best = argmax(logits, vocab);
  const bytes = <usize>vocab << 2;
  let offset: f32 = NaN;
  let highest: f32 = 0;
  if (best >= 0) {
    highest = load<f32>(logits + (<usize>best << 2));
    const total = <f32>exps(work, logits, vocab, highest, 1);
    offset = f32x4.extract_lane(log(f32x4.splat(total)), 0);
  }
  const own = load<f32>(logits + (<usize>token << 2));
  let rank = 0;
  for (let i: usize = 0; i < bytes; i += 4) rank += <i32>before(load<f32>(logits + i), <i32>(i >> 2), own, token);
  store<f32>(dst, own - highest - offset);
  store<i32>(dst, rank, 4);

  // A sorted list grows by what comes before its last.
  const list = dst + 8;
  let count = 0;
  for (let i = 0; i < vocab; i++) {
    const x = load<f32>(logits + (<usize>i << 2));
    let at = count;
    for (; at > 0; at--) {
      const entry = list + (<usize>(at - 1) << 3);
      if (!(x > load<f32>(entry, 4))) break;
      if (at < top) store<u64>(entry, load<u64>(entry), 8);
    }
    if (at == top) continue;
    store<i32>(list + (<usize>at << 3), i);
    store<f32>(list + (<usize>at << 3), x, 4);
    if (count < top) count++;
  }
  for (let i = 0; i < count; i++) {
    const entry = list + (<usize>i << 3);
    store<f32>(entry, load<f32>(entry, 4) - highest - offset, 4);
  }
}
