// What the model itself thinks of a token and of its rivals, whatever the samplers make of that.

import { log1 } from "./sample_temperature";
import { copy, count4, exps, fours, iota } from "./sample_weights";
import { array, SCORES, WEIGHTS, whole } from "./sample_work";

/**
 * Writes to dst: the natural logarithm of the token's probability under the logits, f32; its rank, u32, which is how many tokens come
 * before it, likelier ones and, of equals, lower ids; then the first `top` (at most `vocab`) tokens in that order, each as its id,
 * u32, and its logarithm, f32. All logarithms are NaN when the logits are not numbers. work: `sampler_work` bytes.
 */
export function logprobs(logits: usize, vocab: i32, token: i32, dst: usize, top: i32, work: usize): void {
  const scores = array(work, vocab, SCORES);
  const highest = copy(scores, logits, vocab);
  let shift: f32 = NaN;
  if (abs<f32>(highest) < Infinity) shift = log1(<f32>exps(array(work, vocab, WEIGHTS), scores, vocab, highest, 1));
  const own = load<f32>(scores + (<usize>token << 2));
  store<f32>(dst, own - highest - shift);
  store<i32>(dst, rank(scores, vocab, own, token), 4);
  const list = dst + 8;
  const count = min<i32>(top, vocab);
  likeliest(list, count, scores, vocab);
  for (let i = list; i < list + (<usize>count << 3); i += 8) store<f32>(i, load<f32>(i, 4) - highest - shift, 4);
}

function rank(scores: usize, n: i32, own: f32, place: i32): i32 {
  const x = f32x4.splat(own);
  const at = i32x4.splat(place);
  const step = fours();
  let places = iota();
  let count = i32x4.splat(0);
  const end = scores + whole(n);
  for (let i = scores; i < end; i += 16) {
    const s = v128.load(i);
    const before = v128.or(f32x4.gt(s, x), v128.and(f32x4.eq(s, x), i32x4.lt_s(places, at)));
    count = i32x4.sub(count, before);
    places = i32x4.add(places, step);
  }
  return count4(count);
}

/** The first `count` places and scores in the order of descending scores, of equals ascending places. */
function likeliest(list: usize, count: i32, scores: usize, n: i32): void {
  if (count == 0) return;
  const last = list + (<usize>(count - 1) << 3);
  for (let i = 0; i < count; i++) insert(list, i, i, load<f32>(scores + (<usize>i << 2)));
  let i = count;
  for (; i & 3 && i < n; i++) offer(list, count, last, i, load<f32>(scores + (<usize>i << 2)));
  for (; i < n; i += 4) {
    const v = v128.load(scores + (<usize>i << 2));
    if (!v128.any_true(f32x4.gt(v, f32x4.splat(load<f32>(last, 4))))) continue;
    // What fills the last vector is lower than any.
    for (let j = i; j < i + 4; j++) offer(list, count, last, j, load<f32>(scores + (<usize>j << 2)));
  }
}

/** Takes a place in, if it comes before the last of the list. */
function offer(list: usize, count: i32, last: usize, place: i32, score: f32): void {
  if (score > load<f32>(last, 4)) insert(list, count - 1, place, score);
}

/** Puts a place where it belongs among the first `count`, after its equals; what was at `count` is lost. */
function insert(list: usize, count: i32, place: i32, score: f32): void {
  let at = list + (<usize>count << 3);
  for (; at > list && load<f32>(at - 8, 4) < score; at -= 8) store<u64>(at, load<u64>(at - 8));
  store<i32>(at, place);
  store<f32>(at, score, 4);
}
