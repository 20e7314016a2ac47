// Mirostat, version 2 (Basu et al. 2021): only tokens that surprise by at most mu bits may be drawn, and `accept` moves mu so that the
// surprise of what is drawn is tau on average.

import { exp1 } from "./math";
import { SAMPLER_DRAWN, SAMPLER_MU, SAMPLER_SURPRISE } from "./ops";
import { draw } from "./sample_draw";
import { log1 } from "./sample_temperature";
import { exps, sum } from "./sample_weights";
import { whole } from "./sample_work";

const LN2: f32 = 0.6931471805599453;
const LOG2E: f32 = 1.4426950408889634;

/** Draws from n scores with their greatest at `top`; `scale` is 1 / temperature; weights: room for n. Notes the surprise in the area. */
export function mirostat(area: usize, scores: usize, weights: usize, n: i32, top: f32, scale: f32, u: f64): i32 {
  const total = exps(weights, scores, n, top, scale);
  // Surprise above mu is probability below 2^-mu. The likeliest, of weight 1, may always be drawn.
  const least = min<f64>(1, total * exp1(-load<f32>(area, SAMPLER_MU) * LN2));
  const l = f32x4.splat(<f32>least);
  const end = weights + whole(n);
  for (let i = weights; i < end; i += 16) {
    const w = v128.load(i);
    v128.store(i, v128.and(w, f32x4.ge(w, l)));
  }
  const token = draw(weights, n, u * sum(weights, n));
  const distance = (top - load<f32>(scores + (<usize>token << 2))) * scale;
  store<u32>(area, token + 1, SAMPLER_DRAWN);
  store<f32>(area, (log1(<f32>total) + distance) * LOG2E, SAMPLER_SURPRISE);
  return token;
}
