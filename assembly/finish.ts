// What happens to a piece of sums on its way to where the next record reads it.

import { sigmoid, tanh } from "./math";
import { FINISH_ADD, FINISH_RELU2, FINISH_SIGMOID, FINISH_SILU, FINISH_STORE, FINISH_TANH, PIECE } from "./ops";

/**
 * dst: n rows, `stride` bytes apart, of which `count` (1..32) channels are written; sums: n x 32 f32, changed.
 * The channels beyond `count` do not exist, or are padding that has to stay zero.
 */
export function finish(dst: usize, stride: usize, sums: usize, count: i32, n: i32, how: i32): void {
  for (let t = 0; t < n; t++) {
    if (how != FINISH_STORE) {
      for (let c: usize = 0; c < <usize>PIECE * 4; c += 16) {
        const at = sums + c;
        const v = v128.load(at);
        if (how == FINISH_ADD) {
          // Beyond `count` this reads what is not ours, but it is not written back.
          if (<i32>c < count * 4) v128.store(at, f32x4.add(v128.load(dst + c), v));
        } else if (how == FINISH_RELU2) {
          const p = f32x4.pmax(v, f32x4.splat(0));
          v128.store(at, f32x4.mul(p, p));
        } else if (how == FINISH_TANH) v128.store(at, tanh(v));
        else if (how == FINISH_SIGMOID) v128.store(at, sigmoid(v));
        else if (how == FINISH_SILU) v128.store(at, f32x4.mul(v, sigmoid(v)));
      }
    }
    memory.copy(dst, sums, <usize>count * 4);
    dst += stride;
    sums += PIECE * 4;
  }
}

/** FINISH_BIAS: dst = sums + bias, the same vector for all rows. As `finish` otherwise; `bias` holds whole vectors. */
export function finish_bias(dst: usize, stride: usize, sums: usize, count: i32, n: i32, bias: usize): void {
  for (let t = 0; t < n; t++) {
    for (let c: usize = 0; c < <usize>count * 4; c += 16) {
      v128.store(sums + c, f32x4.add(v128.load(sums + c), v128.load(bias + c)));
    }
    memory.copy(dst, sums, <usize>count * 4);
    dst += stride;
    sums += PIECE * 4;
  }
}

/** FINISH_GATED: dst = (dst + gate * sums) * factor. As `finish` otherwise; `gate`: n rows like those of dst, whole vectors. */
export function finish_gated(
  dst: usize,
  stride: usize,
  sums: usize,
  count: i32,
  n: i32,
  gate: usize,
  factor: f32,
): void {
  const f = f32x4.splat(factor);
  for (let t = 0; t < n; t++) {
    for (let c: usize = 0; c < <usize>count * 4; c += 16) {
      const gated = f32x4.mul(v128.load(gate + c), v128.load(sums + c));
      // Beyond `count` this reads what is not ours, but it is not written back.
      v128.store(sums + c, f32x4.mul(f32x4.add(v128.load(dst + c), gated), f));
    }
    memory.copy(dst, sums, <usize>count * 4);
    dst += stride;
    gate += stride;
    sums += PIECE * 4;
  }
}
