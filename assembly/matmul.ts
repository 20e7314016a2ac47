// Which kernel multiplies which type of weights.

import { Bytes, Halves, Minimum, Nibbles, Symmetric } from "./blocks";
import { DOT_8, Fours, Pairs } from "./dot";
import { matmul_wide } from "./matmul_codes_q8";
import { matmul_narrow } from "./matmul_codes_q8_narrow";
import { matmul_bf16_f32, matmul_f16_f32 } from "./matmul_f16_f32";
import { matmul_f32_f32 } from "./matmul_f32_f32";
import { T_BF16, T_F16, T_F32, TILE_MINIMUM, TILE_SYMMETRIC } from "./ops";
import { tile_kind, tile_narrow, tile_nibbles, tile_offset } from "./tiles";

/** One piece of 32 rows by n tokens. out: n x 32 f32; input: f32 rows `stride` bytes apart, or quantised activations. */
export function matmul(
  type: i32,
  out: usize,
  weights: usize,
  input: usize,
  stride: usize,
  inputs: i32,
  n: i32,
  scratch: usize,
): void {
  if (type == T_F32) matmul_f32_f32(out, weights, input, stride, inputs, n);
  else if (type == T_F16) matmul_f16_f32(out, weights, input, stride, inputs, n, scratch);
  else if (type == T_BF16) matmul_bf16_f32(out, weights, input, stride, inputs, n, scratch);
  else {
    const kind = tile_kind(type);
    const narrow = tile_narrow(type);
    const offset = tile_offset(type);
    if (tile_nibbles(type)) {
      if (kind == TILE_SYMMETRIC) codes<Symmetric, Nibbles>(narrow, out, weights, input, inputs, n, offset, scratch);
      else codes<Minimum, Nibbles>(narrow, out, weights, input, inputs, n, offset, scratch);
    } else {
      if (kind == TILE_SYMMETRIC) codes<Symmetric, Bytes>(narrow, out, weights, input, inputs, n, offset, scratch);
      else if (kind == TILE_MINIMUM) codes<Minimum, Bytes>(narrow, out, weights, input, inputs, n, offset, scratch);
      else codes<Halves, Bytes>(narrow, out, weights, input, inputs, n, offset, scratch);
    }
  }
}

/** Codes in 8-bit arithmetic (`narrow`), which only relaxed builds have, or in 16 bits, which these have for full bytes alone. */
function codes<K, C>(
  narrow: bool,
  out: usize,
  weights: usize,
  x: usize,
  inputs: i32,
  n: i32,
  offset: i32,
  scratch: usize,
): void {
  if (!ASC_FEATURE_RELAXED_SIMD) matmul_wide<K, C>(out, weights, x, inputs, n, offset, scratch);
  else if (DOT_8 >= 0) matmul_narrow<Fours, K, C>(out, weights, x, inputs, n, offset, scratch);
  else if (narrow || sizeof<K>() != sizeof<Symmetric>() || sizeof<C>() != sizeof<Bytes>()) {
    matmul_narrow<Pairs, K, C>(out, weights, x, inputs, n, offset, scratch);
  } else matmul_wide<K, C>(out, weights, x, inputs, n, offset, scratch);
}
