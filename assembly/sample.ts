// From logits to a token: what is forbidden, added and taken away; then the filters; then the temperature and the draw. docs/sampling.md
// has the order and the sources. Everything is f32 in a fixed order, sums f64, so a seed gives the same tokens everywhere.

import {
  SAMPLE_NAN,
  SAMPLE_NOTHING,
  SAMPLER_BIAS,
  SAMPLER_DRY,
  SAMPLER_DYNAMIC_RANGE,
  SAMPLER_FLAGS,
  SAMPLER_MASK,
  SAMPLER_PENALTIES,
  SAMPLER_SEED,
  SAMPLER_STEP,
  SAMPLER_TAU,
  SAMPLER_TEMPERATURE,
  SAMPLER_XTC_PROBABILITY,
  SAMPLER_XTC_THRESHOLD,
} from "./ops";
import { sampler_bias, sampler_counts, sampler_mask } from "./sample_area";
import { draw } from "./sample_draw";
import { dry } from "./sample_dry";
import { filter, filters } from "./sample_filters";
import { close } from "./sample_left";
import { mirostat } from "./sample_mirostat";
import { random } from "./sample_random";
import { add, forbid, penalize } from "./sample_scores";
import { beyond, select } from "./sample_select";
import { dynamic } from "./sample_temperature";
import { copy, exps, find, largest } from "./sample_weights";
import { array, LEFT_IDS, LEFT_SCORES, LEFT_WEIGHTS, SCORES, WEIGHTS } from "./sample_work";
import { exclude } from "./sample_xtc";

/** XTC throws its dice beside the draw: with another seed. */
const XTC_SEED: u64 = 0x5854435854435854;
const LARGEST: f32 = 3.4028234663852886e38;

// @ts-ignore: decorator
@inline
function finite(x: f32): bool {
  return abs<f32>(x) < Infinity;
}

/**
 * logits: `vocab` f32, left as they are; area: see `sample_area.ts`; work: `sampler_work` bytes. Answers a token, SAMPLE_NAN or
 * SAMPLE_NOTHING.
 */
export function sample(logits: usize, vocab: i32, area: usize, work: usize): i32 {
  let scores = array(work, vocab, SCORES);
  let weights = array(work, vocab, WEIGHTS);
  let top = copy(scores, logits, vocab);
  if (!finite(top)) return SAMPLE_NAN;
  const flags = load<u32>(area, SAMPLER_FLAGS);
  if (flags) {
    if (flags & SAMPLER_MASK) forbid(scores, vocab, area + sampler_mask(vocab));
    if (flags & SAMPLER_BIAS) add(scores, vocab, area + sampler_bias(vocab));
    if (flags & SAMPLER_PENALTIES) penalize(scores, vocab, area, area + sampler_counts(vocab));
    if (flags & SAMPLER_DRY) dry(scores, vocab, area, work);
    top = largest(scores, vocab);
    if (!finite(top)) return top == -Infinity ? SAMPLE_NOTHING : SAMPLE_NAN;
  }
  let temperature = load<f32>(area, SAMPLER_TEMPERATURE);
  if (temperature == 0) return find(scores, vocab, top);

  const seed = load<u64>(area, SAMPLER_SEED);
  const step = load<u32>(area, SAMPLER_STEP);
  const u = random(seed, step);
  if (load<f32>(area, SAMPLER_TAU) > 0) {
    return mirostat(area, scores, weights, vocab, top, min<f32>(1 / temperature, LARGEST), u);
  }

  let n = vocab;
  const filtered = filters(area, vocab);
  const chance = load<f32>(area, SAMPLER_XTC_PROBABILITY);
  const excluding = chance > 0 && random(seed ^ XTC_SEED, step) < <f64>chance;
  if (filtered || excluding) {
    const total = exps(weights, scores, vocab, top, 1);
    if (filtered) {
      n = filter(area, work, vocab, top, total);
      scores = array(work, vocab, LEFT_SCORES);
      weights = array(work, vocab, LEFT_WEIGHTS);
    }
    if (excluding) {
      exclude(scores, weights, n, <f32>(total * load<f32>(area, SAMPLER_XTC_THRESHOLD)));
      if (filtered) n = close(work, vocab, n);
    }
    top = largest(scores, n);
  }
  if (load<f32>(area, SAMPLER_DYNAMIC_RANGE) > 0) temperature = dynamic(area, temperature, scores, weights, n, top);
  const target = u * exps(weights, scores, n, top, min<f32>(1 / temperature, LARGEST));
  if (!filtered) return draw(weights, n, target);
  // In the order of the scores, likeliest first.
  const place = select(work, vocab, scores, weights, n, n, beyond(target));
  return load<i32>(array(work, vocab, LEFT_IDS) + (<usize>place << 2));
}
