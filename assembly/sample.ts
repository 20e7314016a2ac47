// From logits to a token. In this order: penalties; top-k and top-p over the untempered probabilities; temperature; the draw.
// Everything is f32 in a fixed order (running totals f64), so a seed gives the same tokens everywhere.

import { exp1 } from "./math";
import {
  SAMPLE_NAN,
  SAMPLE_NOTHING,
  SAMPLER_BIAS,
  SAMPLER_FLAGS,
  SAMPLER_FREQUENCY,
  SAMPLER_MASK,
  SAMPLER_PENALTIES,
  SAMPLER_PRESENCE,
  SAMPLER_REPETITION,
  SAMPLER_SEED,
  SAMPLER_STEP,
  SAMPLER_TEMPERATURE,
  SAMPLER_TOP_K,
  SAMPLER_TOP_P,
} from "./ops";
import { sampler_bias, sampler_counts, sampler_mask } from "./sample_area";
import { random } from "./sample_random";
import { argmax, exps } from "./sample_weights";

/**
 * logits: `vocab` f32, left as they are; area: see `sample_area.ts`; work: `sampler_work` bytes. Answers a token, SAMPLE_NAN or
 * SAMPLE_NOTHING.
 */
export function sample(logits: usize, vocab: i32, area: usize, work: usize): i32 {
  const params = area;
  const scores = work;
  const bytes = <usize>vocab * 4;
  memory.copy(scores, logits, bytes);
  const flags = load<u32>(area, SAMPLER_FLAGS);
  if (flags) {
    if (argmax(scores, vocab) < 0) return SAMPLE_NAN;
    if (flags & SAMPLER_MASK) forbid(scores, vocab, area + sampler_mask(vocab));
    if (flags & SAMPLER_BIAS) add(scores, vocab, area + sampler_bias(vocab));
    if (allForbidden(scores, vocab)) return SAMPLE_NOTHING;
    if (flags & SAMPLER_PENALTIES) penalize(scores, vocab, area, area + sampler_counts(vocab));
  }
  const best = argmax(scores, vocab);
  if (best < 0) return SAMPLE_NAN;
  const temperature = load<f32>(params, SAMPLER_TEMPERATURE);
  if (temperature == 0) return best;

  const top = load<f32>(scores + (<usize>best << 2));
  const weights = scores + ((bytes + 15) & ~15);
  const u = random(load<u64>(params, SAMPLER_SEED), load<u32>(params, SAMPLER_STEP));
  const top_k = load<u32>(params, SAMPLER_TOP_K);
  const top_p = load<f32>(params, SAMPLER_TOP_P);
  if (top_p >= 1 && (top_k == 0 || top_k >= <u32>vocab)) {
    const total = exps(weights, scores, vocab, top, 1 / temperature);
    return draw(weights, 0, vocab, u * total);
  }

  // Only the likeliest tokens can be kept, so only tokens above a threshold are sorted; it is lowered until it is low enough.
  const total = exps(weights, scores, vocab, top, 1);
  const ids = weights + ((bytes + 15) & ~15);
  const most = top_k == 0 || top_k > <u32>vocab ? vocab : <i32>top_k;
  const mass = top_p >= 1 ? Infinity : <f64>top_p * total;
  let count = 0;
  for (let threshold: f32 = 1.0 / 1024.0; ; threshold = threshold < 1e-30 ? -1 : threshold * threshold) {
    count = 0;
    let sum: f64 = 0;
    for (let i = 0; i < vocab; i++) {
      const p = load<f32>(weights + (<usize>i << 2));
      if (p > threshold) {
        store<i32>(ids + (<usize>count << 2), i);
        count++;
        sum += p;
      }
    }
    if (count >= most || sum >= mass || threshold < 0) break;
  }
  for (let i = (count >> 1) - 1; i >= 0; i--) sift(ids, scores, i, count);

  // Take from the heap: the token goes to the end of the array, which therefore fills from the back, likeliest last.
  let kept = 0;
  let sum: f64 = 0;
  while (kept < most && kept < count) {
    const id = load<i32>(ids);
    const end = ids + (<usize>(count - 1 - kept) << 2);
    store<i32>(ids, load<i32>(end));
    store<i32>(end, id);
    kept++;
    sift(ids, scores, 0, count - kept);
    sum += load<f32>(weights + (<usize>id << 2));
    if (sum >= mass) break;
  }
  let tempered: f64 = 0;
  const scale: f32 = 1 / temperature;
  for (let i = 0; i < kept; i++) {
    const id = load<i32>(ids + (<usize>(count - 1 - i) << 2));
    const w = exp1((load<f32>(scores + (<usize>id << 2)) - top) * scale);
    store<f32>(weights + (<usize>i << 2), w);
    tempered += w;
  }
  const chosen = draw(weights, 0, kept, u * tempered);
  return load<i32>(ids + (<usize>(count - 1 - chosen) << 2));
}

/** First index at which the running total passes `target`. */
function draw(weights: usize, first: i32, count: i32, target: f64): i32 {
  let sum: f64 = 0;
  let last = first;
  for (let i = first; i < count; i++) {
    const w = load<f32>(weights + (<usize>i << 2));
    if (w == 0) continue;
    sum += w;
    last = i;
    if (sum > target) break;
  }
  return last;
}

/** Does a come before b: a higher score, or the same and a lower id? */
// @ts-ignore: decorator
@inline
function before(scores: usize, a: i32, b: i32): bool {
  const x = load<f32>(scores + (<usize>a << 2));
  const y = load<f32>(scores + (<usize>b << 2));
  return x > y || (x == y && a < b);
}

function sift(ids: usize, scores: usize, at: i32, count: i32): void {
  const id = load<i32>(ids + (<usize>at << 2));
  for (;;) {
    let child = at * 2 + 1;
    if (child >= count) break;
    let c = load<i32>(ids + (<usize>child << 2));
    if (child + 1 < count) {
      const other = load<i32>(ids + (<usize>(child + 1) << 2));
      if (before(scores, other, c)) {
        c = other;
        child++;
      }
    }
    if (!before(scores, c, id)) break;
    store<i32>(ids + (<usize>at << 2), c);
    at = child;
  }
  store<i32>(ids + (<usize>at << 2), id);
}

function penalize(scores: usize, vocab: i32, params: usize, counts: usize): void {
  const repetition = load<f32>(params, SAMPLER_REPETITION);
  const presence = load<f32>(params, SAMPLER_PRESENCE);
  const frequency = load<f32>(params, SAMPLER_FREQUENCY);
  for (let i: usize = 0; i < <usize>vocab * 4; i += 4) {
    const n = load<f32>(counts + i);
    if (n == 0) continue;
    let s = load<f32>(scores + i);
    s = s > 0 ? s / repetition : s * repetition;
    store<f32>(scores + i, s - presence - n * frequency);
  }
}

function forbid(scores: usize, vocab: i32, mask: usize): void {
  for (let i: usize = 0; i < <usize>vocab; i++) {
    if (!((load<u32>(mask + ((i >> 5) << 2)) >> (<u32>i & 31)) & 1)) store<f32>(scores + (i << 2), -Infinity);
  }
}

function add(scores: usize, vocab: i32, bias: usize): void {
  for (let i: usize = 0; i < <usize>vocab * 4; i += 4) {
    store<f32>(scores + i, load<f32>(scores + i) + load<f32>(bias + i));
  }
}

function allForbidden(scores: usize, vocab: i32): bool {
  for (let i: usize = 0; i < <usize>vocab * 4; i += 4) if (load<f32>(scores + i) != -Infinity) return false;
  return true;
}
