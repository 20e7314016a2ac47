// How packed weights and quantised activations lie in memory. One place says it; kernels and packers import it.
//
// A matrix of R outputs (rows) x K inputs is cut into pieces of 32 rows, the last one filled up with zero rows. A piece is
// one stream, read once from its start to its end by the rank that computes it:
//
//   f32         K x 32 f32: for every input the 32 rows' weights
//   f16, bf16   K x 32 u16: the same
//   q8_0        4 groups of 8 rows; a group is ceil(K / 32) tiles of 288 bytes, a tile 8 rows x 32 inputs:
//                 8 f32 scales (rows 0..7), then 8 steps of 32 bytes: rows 0..7 x 4 inputs, as signed codes
//
// Quantised activations, n tokens: block after block of 32 inputs, in a block token after token, 80 bytes each:
//   32 codes of 16 bits (-127..127), the f32 scale, 12 bytes unused. The codes are nearest-even(x / scale), scale = max|x| / 127.

import { BLOCK, PIECE, Q8_0_TILE, Q8_BLOCK } from "./ops";

/** Where the scale of an activation block is. */
export const Q8_SCALE = 64;

// @ts-ignore: decorator
@inline
export function pieces(rows: i32): i32 {
  return (rows + (PIECE - 1)) / PIECE;
}

// @ts-ignore: decorator
@inline
export function blocks(inputs: i32): i32 {
  return (inputs + (BLOCK - 1)) / BLOCK;
}

/** Bytes of one activation row of f32: whole blocks, so that kernels never need a tail. */
// @ts-ignore: decorator
@inline
export function row_bytes(channels: i32): usize {
  return <usize>blocks(channels) * BLOCK * 4;
}

/** Bytes of one piece of q8_0. */
// @ts-ignore: decorator
@inline
export function piece_bytes_q8_0(inputs: i32): usize {
  return <usize>blocks(inputs) * (Q8_0_TILE * 4);
}

/** From one block of activations to the next, with n tokens. */
// @ts-ignore: decorator
@inline
export function block_stride(n: i32): usize {
  return <usize>n * Q8_BLOCK;
}

/** The share of `total` units that belongs to a rank is [share(rank), share(rank + 1)). */
// @ts-ignore: decorator
@inline
export function share(total: i32, rank: i32, ranks: i32): i32 {
  return <i32>((<i64>total * rank) / ranks);
}
