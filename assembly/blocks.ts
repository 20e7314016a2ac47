// How packed weights and quantised activations lie in memory. One place says it; kernels and packers import it.
//
// A matrix of R outputs (rows) x K inputs is cut into pieces of 32 rows, the last one filled up with zero rows. A piece is
// one stream, read once from its start to its end by the rank that computes it:
//
//   f32         K x 32 f32: for every input the 32 rows' weights
//   f16, bf16   K x 32 u16: the same
//   codes       4 groups of 8 rows; a group is ceil(K / 32) tiles, a tile 8 rows x 32 inputs: a header of f32, each number for
//               rows 0..7, then 8 steps of 32 bytes: rows 0..7 x 4 inputs, as signed codes. The header is
//                 symmetric  32 bytes: scales. What q4_0, q5_0, q8_0, iq4_nl, iq4_xs come to
//                 minimum    64 bytes: scales, minimums. q4_1, q5_1, q4_k, q5_k
//                 halves    128 bytes: scales, minimums of inputs 0..15, then those of inputs 16..31. q2_k, q3_k, q6_k
//
// Quantised activations, n tokens: block after block of 32 inputs, in a block token after token, 80 bytes each:
//   32 codes of 16 bits (-127..127), the f32 scale, and as f32 the sums of the first 16 codes, the last 16, and all.
//   The codes are nearest-even(x / scale), scale = max|x| / 127.

import { BLOCK, PIECE, Q8_BLOCK } from "./ops";

/** In an activation block: the scale, the sums of its halves, the sum of all. */
export const Q8_SCALE: usize = 64;
export const Q8_SUMS: usize = 68;
export const Q8_SUM: usize = 76;

/** Bytes of a tile's header and of a tile, by its kind: u8 symmetric, u16 minimum, u32 halves. */
// @ts-ignore: decorator
@inline
export function tile_header<K>(): usize {
  return sizeof<K>() * 32;
}

// @ts-ignore: decorator
@inline
export function tile_bytes<K>(): usize {
  return tile_header<K>() + 256;
}

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
