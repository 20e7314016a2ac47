// DRY, "don't repeat yourself" (Weidmann 2024): what would continue a repetition becomes less likely, the more the longer the
// repetition is. The end of the text repeats an earlier place when the tokens before both are the same; breakers end a repetition.

import {
  SAMPLER_DRY_ALLOWED,
  SAMPLER_DRY_BASE,
  SAMPLER_DRY_MULTIPLIER,
  SAMPLER_DRY_RANGE,
  SAMPLER_HISTORY,
  SAMPLER_SEEN,
} from "./ops";
import { sampler_breakers, sampler_history } from "./sample_area";
import { array, buckets, WEIGHTS } from "./sample_work";

/** No penalty is larger, so that scores stay finite. */
const MOST: f64 = 1e30;

// @ts-ignore: decorator
@inline
function at(list: usize, i: i32): i32 {
  return load<i32>(list + (<usize>i << 2));
}

// @ts-ignore: decorator
@inline
function set(list: usize, i: i32, value: i32): void {
  store<i32>(list + (<usize>i << 2), value);
}

/** Takes from the scores of tokens that would continue a repetition. work: see `sample_work.ts`; its weights are overwritten. */
export function dry(scores: usize, vocab: i32, area: usize, work: usize): void {
  const breakers = area + sampler_breakers(vocab);
  const history = area + sampler_history(vocab);
  const seen = load<u32>(area, SAMPLER_SEEN);
  const n = <i32>min<u32>(min<u32>(seen, SAMPLER_HISTORY), load<u32>(area, SAMPLER_DRY_RANGE));
  const allowed = load<i32>(area, SAMPLER_DRY_ALLOWED);
  if (n < 2) return;
  // The latest token first. How far back there is no breaker is as long as a repetition can be.
  const tokens = buckets(work, vocab);
  let longest = n;
  for (let i = n - 1; i >= 0; i--) {
    const token = load<i32>(history + (<usize>((seen - 1 - i) & (SAMPLER_HISTORY - 1)) << 2));
    set(tokens, i, token);
    if (isBreaker(breakers, token)) longest = i;
  }
  if (longest < allowed) return;

  // same[i]: how many tokens from i on are those from 0 on. (The Z-function: all that is known from earlier matches is used.)
  const same = tokens + (SAMPLER_HISTORY << 2);
  // Per token that came after such a place: the longest.
  const length = array(work, vocab, WEIGHTS);
  let left = 0;
  let right = 0;
  for (let i = 1; i < n; i++) {
    let z = i < right ? min<i32>(right - i, at(same, i - left)) : 0;
    while (i + z < n && at(tokens, z) == at(tokens, i + z)) z++;
    set(same, i, z);
    if (i + z > right) {
      left = i;
      right = i + z;
    }
    set(length, at(tokens, i - 1), 0);
  }
  for (let i = 1; i < n; i++) {
    const token = at(tokens, i - 1);
    set(length, token, max<i32>(at(length, token), min<i32>(at(same, i), longest)));
  }
  const multiplier = <f64>load<f32>(area, SAMPLER_DRY_MULTIPLIER);
  const base = <f64>load<f32>(area, SAMPLER_DRY_BASE);
  for (let i = 1; i < n; i++) {
    const token = at(tokens, i - 1);
    const repeated = at(length, token);
    if (repeated < allowed || isBreaker(breakers, token)) continue;
    set(length, token, 0); // once per token
    const score = scores + (<usize>token << 2);
    store<f32>(score, load<f32>(score) - <f32>min<f64>(MOST, multiplier * power(base, repeated - allowed)));
  }
}

// @ts-ignore: decorator
@inline
function isBreaker(breakers: usize, token: i32): bool {
  return <bool>((load<u32>(breakers + (<usize>(token >> 5) << 2)) >> (token & 31)) & 1);
}

/** base^exponent for whole exponents from 0. */
function power(base: f64, exponent: i32): f64 {
  let result: f64 = 1;
  for (; exponent; exponent >>= 1, base *= base) if (exponent & 1) result *= base;
  return result;
}
