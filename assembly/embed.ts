// One row of the embedding table as f32, exactly as the file has it.

import { blocks } from "./blocks";
import { f16_to_f32, f16_mask, f16_scale, widen_f16 } from "./lanes";
import { BLOCK, T_BF16, T_F16, T_F32, T_Q8_0 } from "./ops";

/** GGML's block of q8_0: an f16 scale, then 32 signed bytes. */
export const GGML_Q8_0: usize = 34;

/** dst: `count` f32, of q8_0 whole blocks; src: numbers of one of GGML's types. Infinities and NaN stay what they are. */
export function to_f32(dst: usize, src: usize, type: i32, count: i32): void {
  if (type == T_F32) {
    memory.copy(dst, src, <usize>count * 4);
    return;
  }
  if (type == T_Q8_0) {
    for (const end = src + <usize>blocks(count) * GGML_Q8_0; src < end; src += GGML_Q8_0) {
      const d = f32x4.splat(f16_to_f32(load<u16>(src)));
      for (let i: usize = 0; i < <usize>BLOCK; i += 8) {
        const q = v128.load_ext<i8>(src + 2 + i);
        v128.store(dst, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(q))));
        v128.store(dst, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(q))), 16);
        dst += 32;
      }
    }
    return;
  }
  const end = src + (<usize>(count & ~3) << 1);
  const rest = count & 3;
  if (type == T_BF16) {
    for (; src < end; src += 8, dst += 16) v128.store(dst, i32x4.shl(v128.load_ext<u16>(src), 16));
    for (let i = 0; i < rest; i++) store<u32>(dst + (<usize>i << 2), load<u16>(src + (<usize>i << 1)) << 16);
  } else if (type == T_F16) {
    const mask = f16_mask();
    const scale = f16_scale();
    const infinity = i32x4.splat(0x7f800000);
    const above = f32x4.splat(65536);
    for (; src < end; src += 8, dst += 16) {
      const x = widen_f16(v128.load_ext<i16>(src), mask, scale);
      // What came out as 65536 or more had the topmost exponent.
      v128.store(dst, v128.or(x, v128.and(infinity, f32x4.ge(f32x4.abs(x), above))));
    }
    for (let i = 0; i < rest; i++) store<f32>(dst + (<usize>i << 2), f16_to_f32(load<u16>(src + (<usize>i << 1))));
  }
}
