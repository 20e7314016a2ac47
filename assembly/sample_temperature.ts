// The temperature that follows the entropy.

import { exp1, log } from "./math";
import { SAMPLER_DYNAMIC_EXPONENT, SAMPLER_DYNAMIC_RANGE } from "./ops";
import { allowed, distances, exps } from "./sample_weights";

/** Natural logarithm of a positive normal number. */
// @ts-ignore: decorator
@inline
export function log1(x: f32): f32 {
  return f32x4.extract_lane(log(f32x4.splat(x)), 0);
}

/**
 * From temperature - range (or 0) to temperature + range, as the entropy of the n tokens goes from 0 to that of even odds. weights: room
 * for n.
 */
export function dynamic(area: usize, temperature: f32, scores: usize, weights: usize, n: i32, top: f32): f32 {
  const range = load<f32>(area, SAMPLER_DYNAMIC_RANGE);
  const exponent = load<f32>(area, SAMPLER_DYNAMIC_EXPONENT);
  const low = max<f32>(0, temperature - range);
  const high = temperature + range;
  const count = allowed(scores, n);
  let share: f32 = 0;
  if (count > 1) {
    const total = exps(weights, scores, n, top, 1);
    const entropy = log1(<f32>total) + <f32>(distances(weights, scores, n, top) / total);
    share = min<f32>(1, entropy / log1(<f32>count));
    if (exponent != 1) share = share > 1e-30 ? exp1(exponent * log1(share)) : 0;
  }
  return low + (high - low) * share;
}
