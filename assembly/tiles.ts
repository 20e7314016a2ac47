// How the weights of each type lie in memory: what kind of tiles, which codes, how many bytes. Decided here and nowhere else.

import { blocks } from "./blocks";
import { DOT_8 } from "./dot";
import {
  PIECE,
  T_F32,
  T_Q3_K,
  T_Q4_0,
  T_Q5_0,
  T_Q6_K,
  T_Q7_0,
  TILE_HALVES,
  TILE_MINIMUM,
  TILE_SYMMETRIC,
  TYPES_FLOAT,
  TYPES_FULL,
  TYPES_HALVES,
  TYPES_MINIMUM,
  TYPES_NIBBLES,
} from "./ops";

// @ts-ignore: decorator
@inline
function one_of(type: i32, types: i32): bool {
  return ((types >>> type) & 1) != 0;
}

/** The kind of a quantised type's tiles, or 0 for floats. A tile's header takes so many times 64 bytes. */
export function tile_kind(type: i32): i32 {
  if (one_of(type, TYPES_FLOAT)) return 0;
  if (one_of(type, TYPES_MINIMUM)) return TILE_MINIMUM;
  return one_of(type, TYPES_HALVES) ? TILE_HALVES : TILE_SYMMETRIC;
}

/** Are the codes stored two to a byte? */
export function tile_nibbles(type: i32): bool {
  return one_of(type, TYPES_NIBBLES);
}

/** Have the codes a full 8 bits? */
function tile_full(type: i32): bool {
  return one_of(type, TYPES_FULL);
}

/** Can the codes be multiplied in 8-bit arithmetic? Those of a full 8 bits can be where the dot product of bytes is exact for them. */
export function tile_narrow(type: i32): bool {
  return ASC_FEATURE_RELAXED_SIMD && (DOT_8 >= 0 || !tile_full(type));
}

/** What is added to a code where it is stored, so that it has no sign: nibbles everywhere, bytes where the arithmetic is in 8 bits. */
export function tile_offset(type: i32): i32 {
  if (!(tile_narrow(type) || tile_nibbles(type))) return 0;
  if (tile_full(type)) return DOT_8;
  if (type == T_Q4_0) return 8;
  if (type == T_Q5_0) return 16;
  if (type == T_Q7_0) return 64;
  if (type == T_Q3_K) return 4;
  if (type == T_Q6_K) return 32;
  return 0;
}

/** Bytes of one packed piece. */
export function piece_bytes(type: i32, columns: i32): usize {
  const kind = tile_kind(type);
  if (kind) return <usize>blocks(columns) * <usize>(2 * ((tile_nibbles(type) ? 256 : 512) + 64 * kind));
  return <usize>columns * (type == T_F32 ? 4 * PIECE : 2 * PIECE);
}
