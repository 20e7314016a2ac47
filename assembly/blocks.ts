// How packed weights and quantised activations lie in memory. One place says it; kernels and packers import it.
//
// A matrix of R outputs (rows) x K inputs is cut into pieces of 32 rows, the last one filled up with zero rows. A piece is
// one stream, read once from its start to its end by the rank that computes it:
//
//   f32         K x 32 f32: for every input the 32 rows' weights
//   f16, bf16   K x 32 u16: the same
//   codes       twice 16 rows, which are ceil(K / 32) tiles of 16 rows x 32 inputs: a header of f32, each number for rows 0..15,
//               then the codes. The header is
//                 symmetric   64 bytes: scales
//                 minimum    128 bytes: scales, minimums
//                 halves     256 bytes: scales, minimums of inputs 0..15, then those of inputs 16..31
//               Codes are stored in one of two ways:
//                 bytes    8 steps of 64 bytes: rows 0..15 x 4 inputs
//                 nibbles  4 steps of 64 bytes: rows 0..15 x 4 inputs in the low halves, x the 4 inputs 16 further in the high halves
//
// Whatever a kernel does with a tile, it reads its bytes in their order: of two streams at a time, or of one that jumps, memory
// gives half as many.
//
// Quantised activations, n tokens: block after block of 32 inputs, in a block token after token, each
//   the 32 codes in 8 bits, if the build has kernels in 8-bit arithmetic
//   the f32 scale; as i32 the sums of the first 16 codes, the last 16, and all
//   the 32 codes in 16 bits, if any type of weights is multiplied in 16 bits
//   The codes (-127..127) are nearest-even(x / scale), scale = max|x| / 127. Without gaps, so that more of them fit the caches.

import { DOT_8 } from "./dot";
import { BLOCK, PIECE } from "./ops";

/** In an activation block: the scale, the sums of its halves, the sum of all, the codes in 16 bits. */
export const Q8_SCALE: usize = ASC_FEATURE_RELAXED_SIMD ? 32 : 0;
export const Q8_SUMS: usize = Q8_SCALE + 4;
export const Q8_SUM: usize = Q8_SCALE + 12;
export const Q8_WIDE: usize = Q8_SCALE + 16;
/** Bytes of an activation block with codes in 16 bits, and of one without. */
export const Q8_BOTH: usize = Q8_WIDE + 64;
export const Q8_NARROW: usize = Q8_WIDE;

/** Are activations needed in 16 bits? */
// @ts-ignore: decorator
@inline
export function q8_wide(): bool {
  return !ASC_FEATURE_RELAXED_SIMD || DOT_8 < 0;
}

/** Bytes of an activation block; at most Q8_BLOCK, with which the host reckons. */
// @ts-ignore: decorator
@inline
export function q8_bytes(): usize {
  return q8_wide() ? Q8_BOTH : Q8_NARROW;
}

// The kinds of tiles, as types, so that each gets machine code of its own.
export type Symmetric = u8;
export type Minimum = u16;
export type Halves = u32;
// The ways to store codes.
export type Bytes = i8;
export type Nibbles = i16;

/** Bytes of a tile's header. */
// @ts-ignore: decorator
@inline
export function tile_header<K>(): usize {
  return sizeof<K>() * 64;
}

/** Bytes of a tile of kind K with codes C. */
// @ts-ignore: decorator
@inline
export function tile_bytes<K, C>(): usize {
  return tile_header<K>() + (sizeof<C>() == sizeof<Bytes>() ? 512 : 256);
}

/** Scales in a block. */
// @ts-ignore: decorator
@inline
export function parts<K>(): usize {
  return sizeof<K>() == sizeof<Halves>() ? 2 : 1;
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

/** The share of `total` units that belongs to a rank is [share(rank), share(rank + 1)). */
// @ts-ignore: decorator
@inline
export function share(total: i32, rank: i32, ranks: i32): i32 {
  return <i32>((<i64>total * rank) / ranks);
}
