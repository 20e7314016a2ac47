// What a generation's sampler remembers lies in one area, each array at a multiple of 128 bytes: the parameters (`ops.ts`); how often
// each token came, decayed, f32; what is added to each logit, f32; which tokens are allowed, a bit each; which tokens no
// repetition reaches across, a bit each; the latest tokens, u32, a ring.

import { SAMPLER_BYTES, SAMPLER_HISTORY } from "./ops";

const ALIGN: usize = 128;

// @ts-ignore: decorator
@inline
function after(at: usize, bytes: usize): usize {
  return (at + bytes + ALIGN - 1) & ~(ALIGN - 1);
}

// @ts-ignore: decorator
@inline
function bits(vocab: i32): usize {
  return <usize>((vocab + 31) >>> 5) << 2;
}

/** Offset of the counts. */
export function sampler_counts(vocab: i32): usize {
  return SAMPLER_BYTES;
}

/** Offset of what is added to the logits; -Infinity bans a token. */
export function sampler_bias(vocab: i32): usize {
  return after(sampler_counts(vocab), <usize>vocab << 2);
}

/** Offset of the mask: bit t of word t / 32 allows token t. */
export function sampler_mask(vocab: i32): usize {
  return after(sampler_bias(vocab), <usize>vocab << 2);
}

/** Offset of DRY's sequence breakers, bits like those of the mask. */
export function sampler_breakers(vocab: i32): usize {
  return after(sampler_mask(vocab), bits(vocab));
}

/** Offset of the history: the n-th token accepted is at n modulo SAMPLER_HISTORY. */
export function sampler_history(vocab: i32): usize {
  return after(sampler_breakers(vocab), bits(vocab));
}

/** Bytes of an area. */
export function sampler_bytes(vocab: i32): usize {
  return after(sampler_history(vocab), SAMPLER_HISTORY << 2);
}
