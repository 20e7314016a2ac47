// A weighted selection without sorting: numbers go into buckets by their key, and only the bucket in which the answer lies is looked at
// more closely, by the same means, until few are left. Time is linear, however flat a distribution is.

import { max4 } from "./lanes";
import { count4 } from "./sample_weights";
import { array, BUCKETS, buckets, SELECT_KEYS, SELECT_PLACES, SELECT_WEIGHTS } from "./sample_work";

/** So few are sorted. */
const FEW = 24;
/** Buckets for fewer numbers than MANY. */
const SOME_BUCKETS = 256;
const MANY = 4096;
const LARGEST: f32 = 3.4028234663852886e38;

/** Which bucket a key belongs to: 0 for the highest key, `last` for the lowest. */
// @ts-ignore: decorator
@inline
function bucket(key: f32, high: f32, scale: f32, last: i32): i32 {
  return min<i32>(<i32>((high - key) * scale), last);
}

/** The same for four keys. */
// @ts-ignore: decorator
@inline
function bucket4(keys: v128, high: v128, scale: v128, last: v128): v128 {
  return i32x4.min_s(i32x4.trunc_sat_f32x4_s(f32x4.mul(f32x4.sub(high, keys), scale)), last);
}

// A bucket has a sum, and a count, for each lane of a vector: the next lane need not wait for the last one's to be written.

// @ts-ignore: decorator
@inline
function put(masses: usize, b: i32, weight: f32): void {
  const at = masses + (<usize>b << 5);
  store<f64>(at, load<f64>(at) + weight);
}

// @ts-ignore: decorator
@inline
function tally(counts: usize, b: i32): void {
  const at = counts + (<usize>b << 4);
  store<i32>(at, load<i32>(at) + 1);
}

/**
 * Goes through n numbers in the order of descending keys (of equals, ascending places), adding up their weights, and answers the place
 * at which the sum comes to `mass`, or which is number `most` in that order, whichever comes first; the last place if neither comes.
 * Keys are finite. work: the room of a vocabulary that has at least n tokens.
 */
export function select(work: usize, vocab: i32, keys: usize, weights: usize, n: i32, most: i32, mass: f64): i32 {
  const masses = buckets(work, vocab);
  const counts = masses + (BUCKETS << 5);
  const someKeys = array(work, vocab, SELECT_KEYS);
  const someWeights = array(work, vocab, SELECT_WEIGHTS);
  const somePlaces = array(work, vocab, SELECT_PLACES);
  // In question at first: all of them. Then some, with a list of their places. Before these come `taken` others, which weigh `sum`.
  let listed = false;
  let count = n;
  let taken = 0;
  let sum: f64 = 0;
  while (count > FEW) {
    const end = <usize>count << 2;
    const vectors = end & ~15;
    let i: usize = 0;
    let h = f32x4.splat(load<f32>(keys));
    let l = h;
    for (; i < vectors; i += 16) {
      const k = v128.load(keys + i);
      h = f32x4.pmax(h, k);
      l = f32x4.pmin(l, k);
    }
    let high = max4(h);
    let low = -max4(f32x4.neg(l));
    for (; i < end; i += 4) {
      const k = load<f32>(keys + i);
      high = max<f32>(high, k);
      low = min<f32>(low, k);
    }
    if (high == low) break;

    const used = count < MANY ? SOME_BUCKETS : BUCKETS;
    const last = used - 1;
    const scale = <f32>used / min<f32>(high - low, LARGEST);
    const highs = f32x4.splat(high);
    const scales = f32x4.splat(scale);
    const lasts = i32x4.splat(last);
    const counted = most < n;
    memory.fill(masses, 0, <usize>used << 5);
    if (counted) memory.fill(counts, 0, <usize>used << 4);
    for (i = 0; i < vectors; i += 16) {
      const b = bucket4(v128.load(keys + i), highs, scales, lasts);
      put(masses, i32x4.extract_lane(b, 0), load<f32>(weights + i));
      put(masses + 8, i32x4.extract_lane(b, 1), load<f32>(weights + i, 4));
      put(masses + 16, i32x4.extract_lane(b, 2), load<f32>(weights + i, 8));
      put(masses + 24, i32x4.extract_lane(b, 3), load<f32>(weights + i, 12));
      if (!counted) continue;
      tally(counts, i32x4.extract_lane(b, 0));
      tally(counts + 4, i32x4.extract_lane(b, 1));
      tally(counts + 8, i32x4.extract_lane(b, 2));
      tally(counts + 12, i32x4.extract_lane(b, 3));
    }
    for (; i < end; i += 4) {
      const b = bucket(load<f32>(keys + i), high, scale, last);
      put(masses, b, load<f32>(weights + i));
      if (counted) tally(counts, b);
    }

    let chosen = 0;
    for (; chosen < used; chosen++) {
      const m = masses + (<usize>chosen << 5);
      const c = counts + (<usize>chosen << 4);
      const after = sum + (load<f64>(m) + load<f64>(m, 8) + (load<f64>(m, 16) + load<f64>(m, 24)));
      const more = counted ? taken + count4(v128.load(c)) : 0;
      if (after >= mass || (counted && more >= most)) break;
      sum = after;
      taken = more;
    }
    if (chosen == used) {
      chosen = bucket(low, high, scale, last);
      mass = Infinity;
      most = i32.MAX_VALUE;
    }

    const these = i32x4.splat(chosen);
    let to: usize = 0;
    for (i = 0; i < end; i += 16) {
      // The last vector may hold fewer; whatever comes after them is not looked at.
      let bits = i32x4.bitmask(i32x4.eq(bucket4(v128.load(keys + i), highs, scales, lasts), these));
      if (i == vectors) bits &= (1 << (count & 3)) - 1;
      for (; bits; bits &= bits - 1) {
        const from = i + (<usize>ctz(bits) << 2);
        const place = listed ? load<i32>(somePlaces + from) : <i32>(from >> 2);
        store<f32>(someKeys + to, load<f32>(keys + from));
        store<f32>(someWeights + to, load<f32>(weights + from));
        store<i32>(somePlaces + to, place);
        to += 4;
      }
    }
    keys = someKeys;
    weights = someWeights;
    listed = true;
    count = <i32>(to >> 2);
  }

  // Few, which are sorted in, or equals, which are in order.
  if (count <= FEW) {
    for (let i = 0; i < count; i++) {
      const key = load<f32>(keys + (<usize>i << 2));
      const weight = load<f32>(weights + (<usize>i << 2));
      const place = listed ? load<i32>(somePlaces + (<usize>i << 2)) : i;
      let at = <usize>i << 2;
      for (; at > 0 && load<f32>(someKeys + at - 4) < key; at -= 4) {
        store<f32>(someKeys + at, load<f32>(someKeys + at - 4));
        store<f32>(someWeights + at, load<f32>(someWeights + at - 4));
        store<i32>(somePlaces + at, load<i32>(somePlaces + at - 4));
      }
      store<f32>(someKeys + at, key);
      store<f32>(someWeights + at, weight);
      store<i32>(somePlaces + at, place);
    }
    weights = someWeights;
    listed = true;
  }
  let i = 0;
  for (; i < count - 1; i++) {
    sum += load<f32>(weights + (<usize>i << 2));
    if (sum >= mass || ++taken >= most) break;
  }
  return listed ? load<i32>(somePlaces + (<usize>i << 2)) : i;
}

/** The first f64 above a positive one or 0: a sum that comes to it has passed the other. */
// @ts-ignore: decorator
@inline
export function beyond(x: f64): f64 {
  return reinterpret<f64>(reinterpret<u64>(x) + 1);
}
