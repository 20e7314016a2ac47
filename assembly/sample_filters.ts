// Which tokens may be drawn. Probabilities are those of the whole distribution, before any temperature: a filter changes them for
// nobody. weight = e^(score - top), so a probability is weight / total.

import { exp1 } from "./math";
import { SAMPLER_MIN_P, SAMPLER_TOP_K, SAMPLER_TOP_N_SIGMA, SAMPLER_TOP_P, SAMPLER_TYPICAL_P } from "./ops";
import { close, markAfter, markBelow, near } from "./sample_left";
import { select } from "./sample_select";
import { array, LEFT_KEYS, LEFT_SCORES, LEFT_WEIGHTS, SCORES, WEIGHTS, whole } from "./sample_work";
import { deviation, distances, largest, sum } from "./sample_weights";

/** How far from the top the tokens are that are looked at first, in nats. Then thrice as far, and again. */
const FIRST_REACH: f32 = 10;
const LAST_REACH: f32 = 90;

/** Is any filter on? */
export function filters(area: usize, vocab: i32): bool {
  const topK = load<u32>(area, SAMPLER_TOP_K);
  return (
    load<f32>(area, SAMPLER_TOP_P) < 1 ||
    (topK > 0 && topK < <u32>vocab) ||
    load<f32>(area, SAMPLER_MIN_P) > 0 ||
    load<f32>(area, SAMPLER_TYPICAL_P) > 0 ||
    load<f32>(area, SAMPLER_TOP_N_SIGMA) > 0
  );
}

/** From all scores and weights to the tokens that are left, at least one; answers how many. */
export function filter(area: usize, work: usize, vocab: i32, top: f32, total: f64): i32 {
  const all = array(work, vocab, SCORES);
  const scores = array(work, vocab, LEFT_SCORES);
  const weights = array(work, vocab, LEFT_WEIGHTS);
  const keys = array(work, vocab, LEFT_KEYS);
  const topK = load<u32>(area, SAMPLER_TOP_K);
  const topP = load<f32>(area, SAMPLER_TOP_P);
  const minP = load<f32>(area, SAMPLER_MIN_P);
  const typicalP = load<f32>(area, SAMPLER_TYPICAL_P);
  const sigmas = load<f32>(area, SAMPLER_TOP_N_SIGMA);

  const most = topK == 0 || topK > <u32>vocab ? vocab : <i32>topK;
  const mass = topP >= 1 ? Infinity : <f64>topP * total;
  const typicalMass = <f64>typicalP * total;
  const spread = sigmas > 0 ? sigmas * deviation(all, vocab, top) : Infinity;
  const mean =
    typicalP > 0 ? <f32>(distances(array(work, vocab, WEIGHTS), all, vocab, top) / total) : 0;

  // What is far from the top is rarely asked for, so it is left out unless it turns out to matter.
  let n = 0;
  for (let reach = FIRST_REACH; ; reach = reach < LAST_REACH ? reach * 3 : Infinity) {
    // Top-n-sigma, and top-k.
    n = near(work, vocab, top, min<f32>(reach, spread));
    const complete = reach >= spread || n >= most;
    if (n > most) {
      markAfter(scores, n, scores, select(work, vocab, scores, weights, n, most, Infinity));
      n = close(work, vocab, n);
    }
    if (typicalP > 0) {
      // A surprise is ln total + distance, and the entropy is the mean of that: what is compared is distance and mean distance.
      untypical(keys, scores, n, top, mean);
      const place = select(work, vocab, keys, weights, n, n, typicalMass);
      const here = sum(weights, n) >= typicalMass && -load<f32>(keys + (<usize>place << 2)) < reach - mean;
      if (!complete && !here) continue;
      markAfter(scores, n, keys, place);
      n = close(work, vocab, n);
      break;
    }
    if (complete || sum(weights, n) >= mass || minP > exp1(-reach) * 1.01) break;
  }

  if (topP < 1) {
    markAfter(scores, n, scores, select(work, vocab, scores, weights, n, n, mass));
    n = close(work, vocab, n);
  }
  if (minP > 0) {
    markBelow(scores, n, weights, minP * largest(weights, n));
    n = close(work, vocab, n);
  }
  return n;
}

/** keys[i] = -|distance from the top - mean|: the more typical come first. */
function untypical(keys: usize, scores: usize, n: i32, top: f32, mean: f32): void {
  const t = f32x4.splat(top);
  const m = f32x4.splat(mean);
  const end = whole(n);
  for (let i: usize = 0; i < end; i += 16) {
    const d = f32x4.sub(f32x4.sub(t, v128.load(scores + i)), m);
    v128.store(keys + i, f32x4.neg(f32x4.abs(d)));
  }
}
