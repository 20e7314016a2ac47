// The tokens that are left after a filter: their scores, weights and ids, one after another, by ascending id. A filter marks those that go
// by the score -Infinity; then the others move together.

import { array, LEFT_IDS, LEFT_SCORES, LEFT_WEIGHTS, pad, SCORES, WEIGHTS, whole } from "./sample_work";
import { fours, iota } from "./sample_weights";

/** Takes the tokens, of all, whose scores are at most `reach` below the top; answers how many. */
export function near(work: usize, vocab: i32, top: f32, reach: f32): i32 {
  const scores = array(work, vocab, SCORES);
  const weights = array(work, vocab, WEIGHTS);
  const leftScores = array(work, vocab, LEFT_SCORES);
  const leftWeights = array(work, vocab, LEFT_WEIGHTS);
  const leftIds = array(work, vocab, LEFT_IDS);
  const t = f32x4.splat(top);
  const r = f32x4.splat(reach);
  const none = f32x4.splat(-Infinity);
  const step = fours();
  let ids = iota();
  const end = whole(vocab);
  let to: usize = 0;
  for (let i: usize = 0; i < end; i += 16) {
    const s = v128.load(scores + i);
    const bits = i32x4.bitmask(v128.and(f32x4.le(f32x4.sub(t, s), r), f32x4.gt(s, none)));
    if (bits == 15) {
      v128.store(leftScores + to, s);
      v128.store(leftWeights + to, v128.load(weights + i));
      v128.store(leftIds + to, ids);
      to += 16;
    } else {
      for (let b = bits; b; b &= b - 1) {
        const from = i + (<usize>ctz(b) << 2);
        store<f32>(leftScores + to, load<f32>(scores + from));
        store<f32>(leftWeights + to, load<f32>(weights + from));
        store<i32>(leftIds + to, <i32>(from >> 2));
        to += 4;
      }
    }
    ids = i32x4.add(ids, step);
  }
  return fill(leftScores, leftWeights, to);
}

/** Moves together those of n that are not marked; answers how many. */
export function close(work: usize, vocab: i32, n: i32): i32 {
  const scores = array(work, vocab, LEFT_SCORES);
  const weights = array(work, vocab, LEFT_WEIGHTS);
  const ids = array(work, vocab, LEFT_IDS);
  const none = f32x4.splat(-Infinity);
  const end = whole(n);
  let to: usize = 0;
  for (let i: usize = 0; i < end; i += 16) {
    const s = v128.load(scores + i);
    const bits = i32x4.bitmask(f32x4.gt(s, none));
    if (bits == 15) {
      v128.store(scores + to, s);
      v128.store(weights + to, v128.load(weights + i));
      v128.store(ids + to, v128.load(ids + i));
      to += 16;
    } else {
      for (let b = bits; b; b &= b - 1) {
        const from = i + (<usize>ctz(b) << 2);
        store<f32>(scores + to, load<f32>(scores + from));
        store<f32>(weights + to, load<f32>(weights + from));
        store<i32>(ids + to, load<i32>(ids + from));
        to += 4;
      }
    }
  }
  return fill(scores, weights, to);
}

/** Fills the last vectors; answers how many numbers there are. */
function fill(scores: usize, weights: usize, bytes: usize): i32 {
  const n = <i32>(bytes >> 2);
  pad(scores, n, -Infinity);
  pad(weights, n, 0);
  return n;
}

/** Of n scores, marks those that come after `place` in the order of descending keys, of equals ascending places. */
export function markAfter(scores: usize, n: i32, keys: usize, place: i32): void {
  const none = f32x4.splat(-Infinity);
  const key = f32x4.splat(load<f32>(keys + (<usize>place << 2)));
  const at = i32x4.splat(place);
  const step = fours();
  let places = iota();
  const end = whole(n);
  for (let i: usize = 0; i < end; i += 16) {
    const k = v128.load(keys + i);
    const after = v128.or(f32x4.lt(k, key), v128.and(f32x4.eq(k, key), i32x4.gt_s(places, at)));
    v128.store(scores + i, v128.bitselect(none, v128.load(scores + i), after));
    places = i32x4.add(places, step);
  }
}

/** Of n scores, marks those whose weights are below `least`. */
export function markBelow(scores: usize, n: i32, weights: usize, least: f32): void {
  const none = f32x4.splat(-Infinity);
  const l = f32x4.splat(least);
  const end = whole(n);
  for (let i: usize = 0; i < end; i += 16) {
    const below = f32x4.lt(v128.load(weights + i), l);
    v128.store(scores + i, v128.bitselect(none, v128.load(scores + i), below));
  }
}
