// A low-rank change to a matrix, added while it is loaded: weights + (B x A) * factor.

import { PIECE } from "./ops";

/**
 * dst: n rows of weights, `stride` bytes apart, of which `count` (1..32) numbers are written; sums: n x 32 f32, what B x A is there.
 * Each number becomes weight + sum * (strength * (alpha / rank)), every operation rounded.
 */
export function merge(
  dst: usize,
  stride: usize,
  sums: usize,
  count: i32,
  n: i32,
  strength: f32,
  alpha: f32,
  rank: i32,
): void {
  const factor = strength * (alpha / <f32>rank);
  for (let t = 0; t < n; t++) {
    for (let c: usize = 0; c < <usize>count * 4; c += 4) {
      store<f32>(dst + c, load<f32>(dst + c) + load<f32>(sums + c) * factor);
    }
    dst += stride;
    sums += PIECE * 4;
  }
}
