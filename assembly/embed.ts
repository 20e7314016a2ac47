// One row of the embedding table as f32, exactly as the file has it.

import { block_bytes, decode_f32 } from "./decode";
import { f16_to_f32, f16_mask, f16_scale, widen_f16 } from "./lanes";
import { T_BF16, T_F16, T_F32 } from "./ops";

/**
 * dst: `count` f32, of quantised types whole blocks of 32; src: numbers of one of GGML's types; scratch: 384 bytes. Infinities
 * and NaN stay what they are.
 */
export function to_f32(dst: usize, src: usize, type: i32, count: i32, scratch: usize): void {
  if (type == T_F32) {
    memory.copy(dst, src, <usize>count * 4);
    return;
  }
  if (block_bytes(type)) {
    decode_f32(dst, src, type, count, scratch);
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
