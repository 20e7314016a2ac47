// As matmul_f32_f32, with f16 or bf16 weights: widened exactly, then the same chains, so the bits are those of the f32 kernel.

import { f16_mask, f16_scale, widen_f16 } from "./lanes";
import { tiles_f32 } from "./matmul_f32_f32";

const CHUNK: i32 = 64;

/** out: n x 32 f32; weights: one piece; x: n rows of `stride` bytes; scratch: 8 kB. */
export function matmul_f16_f32(out: usize, weights: usize, x: usize, stride: usize, inputs: i32, n: i32, scratch: usize): void {
  matmul_16<i16>(out, weights, x, stride, inputs, n, scratch);
}

/** The same for bf16. */
export function matmul_bf16_f32(out: usize, weights: usize, x: usize, stride: usize, inputs: i32, n: i32, scratch: usize): void {
  matmul_16<u16>(out, weights, x, stride, inputs, n, scratch);
}

/** Four weights to f32. T is how their 16 bits are loaded: i16 for f16, u16 for bf16. */
// @ts-ignore: decorator
@inline
function widen<T>(w: usize, mask: v128, scale: v128): v128 {
  if (isSigned<T>()) return widen_f16(v128.load_ext<i16>(w), mask, scale);
  return i32x4.shl(v128.load_ext<u16>(w), 16);
}

function matmul_16<T>(out: usize, weights: usize, x: usize, stride: usize, inputs: i32, n: i32, scratch: usize): void {
  if (n == 1) return column_16<T>(out, weights, x, inputs);
  memory.fill(out, 0, <usize>n * 128);
  const mask = f16_mask();
  const scale = f16_scale();
  for (let k = 0; k < inputs; k += CHUNK) {
    const count = min(CHUNK, inputs - k);
    let to = scratch;
    const end = scratch + <usize>count * 128;
    do {
      v128.store(to, widen<T>(weights, mask, scale));
      v128.store(to, widen<T>(weights + 8, mask, scale), 16);
      weights += 16;
      to += 32;
    } while (to < end);
    tiles_f32(out, scratch, x + <usize>k * 4, stride, count, n);
  }
}

/** One token: 32 chains at once, 8 vectors. */
function column_16<T>(out: usize, w: usize, x: usize, inputs: i32): void {
  const mask = f16_mask();
  const scale = f16_scale();
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  const end = x + <usize>inputs * 4;
  while (x < end) {
    const u = v128.load32_splat(x);
    a0 = f32x4.add(a0, f32x4.mul(widen<T>(w, mask, scale), u));
    a1 = f32x4.add(a1, f32x4.mul(widen<T>(w + 8, mask, scale), u));
    a2 = f32x4.add(a2, f32x4.mul(widen<T>(w + 16, mask, scale), u));
    a3 = f32x4.add(a3, f32x4.mul(widen<T>(w + 24, mask, scale), u));
    a4 = f32x4.add(a4, f32x4.mul(widen<T>(w + 32, mask, scale), u));
    a5 = f32x4.add(a5, f32x4.mul(widen<T>(w + 40, mask, scale), u));
    a6 = f32x4.add(a6, f32x4.mul(widen<T>(w + 48, mask, scale), u));
    a7 = f32x4.add(a7, f32x4.mul(widen<T>(w + 56, mask, scale), u));
    x += 4;
    w += 64;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, a2, 32);
  v128.store(out, a3, 48);
  v128.store(out, a4, 64);
  v128.store(out, a5, 80);
  v128.store(out, a6, 96);
  v128.store(out, a7, 112);
}
