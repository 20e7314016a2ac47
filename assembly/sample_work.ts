// The room that drawing a token needs while it runs: arrays of four bytes per token, at multiples of 128 bytes and so with whole
// vectors to spare; then counts per bucket, which DRY uses for the history. What is in it means nothing afterwards.

import { SAMPLER_HISTORY } from "./ops";

/** Of all tokens: scores and weights. */
export const SCORES = 0;
export const WEIGHTS = 1;
/** Of the tokens that are left: scores, weights, ids. */
export const LEFT_SCORES = 2;
export const LEFT_WEIGHTS = 3;
export const LEFT_IDS = 4;
/** How untypical they are, negated. */
export const LEFT_KEYS = 5;
/** Of the numbers among which a selection still has to choose: keys, weights, places. */
export const SELECT_KEYS = 6;
export const SELECT_WEIGHTS = 7;
export const SELECT_PLACES = 8;
const ARRAYS = 9;

/** Most buckets of a selection; each has four f64 and four u32. */
export const BUCKETS = 1024;

// @ts-ignore: decorator
@inline
export function array(work: usize, vocab: i32, which: i32): usize {
  return work + <usize>which * (((<usize>vocab << 2) + 127) & ~127);
}

/** Address of the buckets. */
// @ts-ignore: decorator
@inline
export function buckets(work: usize, vocab: i32): usize {
  return array(work, vocab, ARRAYS);
}

/** Bytes that `sample` and `logprobs` need. */
export function sampler_work(vocab: i32): usize {
  return buckets(0, vocab) + <usize>max(BUCKETS * 48, SAMPLER_HISTORY * 8);
}

/** Bytes of whole vectors that hold n numbers. */
// @ts-ignore: decorator
@inline
export function whole(n: i32): usize {
  return ((<usize>n << 2) + 15) & ~15;
}

/** Fills what follows n numbers up to a whole vector. */
// @ts-ignore: decorator
@inline
export function pad(numbers: usize, n: i32, value: f32): void {
  const end = whole(n);
  for (let i = <usize>n << 2; i < end; i += 4) store<f32>(numbers + i, value);
}
