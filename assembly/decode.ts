// GGML's quantised blocks, taken apart without loss: whatever the format packs, a value is code * scale + minimum, with a small
// integer code. Layouts and orders of operations as ggml's ggml-quants.c defines them, so each value decodes to the same f32.
//
// A unit is 32 values: 32 signed bytes, then f32 scale and f32 minimum of the first 16 values, then of the last 16.

import { f16_to_f32 } from "./lanes";
import {
  T_IQ4_NL,
  T_IQ4_XS,
  T_Q2_K,
  T_Q3_K,
  T_Q4_0,
  T_Q4_1,
  T_Q4_K,
  T_Q5_0,
  T_Q5_1,
  T_Q5_K,
  T_Q6_K,
  T_Q7_0,
  T_Q8_0,
  UNIT_BYTES,
} from "./ops";

/** Values and bytes of one block; 0 for types that are not quantised. */
export function block_values(type: i32): i32 {
  if (type >= T_Q2_K && type <= T_Q6_K) return 256;
  if (type == T_IQ4_XS) return 256;
  return block_bytes(type) ? 32 : 0;
}

export function block_bytes(type: i32): i32 {
  if (type == T_Q4_0 || type == T_IQ4_NL) return 18;
  if (type == T_Q4_1) return 20;
  if (type == T_Q5_0) return 22;
  if (type == T_Q5_1) return 24;
  if (type == T_Q8_0) return 34;
  if (type == T_Q7_0) return 36;
  if (type == T_Q2_K) return 84;
  if (type == T_Q3_K) return 110;
  if (type == T_Q4_K) return 144;
  if (type == T_Q5_K) return 176;
  if (type == T_Q6_K) return 210;
  if (type == T_IQ4_XS) return 136;
  return 0;
}

/** Are the block's scales numbers? */
export function block_finite(src: usize, type: i32): bool {
  if (type == T_Q7_0) return (load<u32>(src) & 0x7f800000) != 0x7f800000;
  if (type == T_Q2_K) return finite(src + 80) && finite(src + 82);
  if (type == T_Q3_K) return finite(src + 108);
  if (type == T_Q6_K) return finite(src + 208);
  if (type == T_Q4_1 || type == T_Q5_1 || type == T_Q4_K || type == T_Q5_K) return finite(src) && finite(src + 2);
  return finite(src);
}

function finite(half: usize): bool {
  return (load<u16>(half) & 0x7c00) != 0x7c00;
}

/** `count` values of a quantised type to f32, in whole units of 32. scratch: 384 bytes. */
export function decode_f32(dst: usize, src: usize, type: i32, count: i32, scratch: usize): void {
  const values = block_values(type);
  const bytes = <usize>block_bytes(type);
  for (let i = 0; i < count; i += values) {
    decode_block(scratch, src, type);
    const end = scratch + <usize>(min(values, (count - i + 31) & ~31) >> 5) * UNIT_BYTES;
    for (let unit = scratch; unit < end; unit += UNIT_BYTES) {
      for (let c: usize = 0; c < 32; c += 8) {
        const scale = v128.load32_splat(unit + (c >> 4) * 8, 32);
        const minimum = v128.load32_splat(unit + (c >> 4) * 8, 36);
        const q = v128.load_ext<i8>(unit + c);
        v128.store(dst, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(q)), scale), minimum));
        v128.store(dst, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(q)), scale), minimum), 16);
        dst += 32;
      }
    }
    src += bytes;
  }
}

/** dst: the units of one block (1, or 8 of the formats with 256 values). */
export function decode_block(dst: usize, src: usize, type: i32): void {
  if (type == T_Q8_0) {
    memory.copy(dst, src + 2, 32);
    scales(dst, half(src), 0, half(src), 0);
  } else if (type == T_Q7_0) {
    memory.copy(dst, src + 4, 32);
    scales(dst, load<f32>(src), 0, load<f32>(src), 0);
  } else if (type == T_Q4_0) {
    nibbles(dst, src + 2, -8);
    scales(dst, half(src), 0, half(src), 0);
  } else if (type == T_Q4_1) {
    nibbles(dst, src + 4, 0);
    scales(dst, half(src), half(src + 2), half(src), half(src + 2));
  } else if (type == T_Q5_0) {
    fives(dst, src + 6, load<u32>(src, 2), -16);
    scales(dst, half(src), 0, half(src), 0);
  } else if (type == T_Q5_1) {
    fives(dst, src + 8, load<u32>(src, 4), 0);
    scales(dst, half(src), half(src + 2), half(src), half(src + 2));
  } else if (type == T_IQ4_NL) {
    curve(dst, src + 2);
    scales(dst, half(src), 0, half(src), 0);
  } else if (type == T_Q2_K) q2_k(dst, src);
  else if (type == T_Q3_K) q3_k(dst, src);
  else if (type == T_Q4_K) q4_k(dst, src);
  else if (type == T_Q5_K) q5_k(dst, src);
  else if (type == T_Q6_K) q6_k(dst, src);
  else if (type == T_IQ4_XS) iq4_xs(dst, src);
  else unreachable();
}

// @ts-ignore: decorator
@inline
function half(at: usize): f32 {
  return f16_to_f32(load<u16>(at));
}

// @ts-ignore: decorator
@inline
function scales(unit: usize, scale0: f32, minimum0: f32, scale1: f32, minimum1: f32): void {
  store<f32>(unit, scale0, 32);
  store<f32>(unit, minimum0, 36);
  store<f32>(unit, scale1, 40);
  store<f32>(unit, minimum1, 44);
}

/** 16 bytes: the low nibbles are the first 16 codes, the high ones the last 16. */
function nibbles(dst: usize, src: usize, offset: i32): void {
  for (let i: usize = 0; i < 16; i++) {
    const q = <u32>load<u8>(src + i);
    store<i8>(dst + i, <i8>((q & 15) + offset));
    store<i8>(dst + i, <i8>((q >> 4) + offset), 16);
  }
}

/** The same with a fifth bit of each code in `high`. */
function fives(dst: usize, src: usize, high: u32, offset: i32): void {
  for (let i: u32 = 0; i < 16; i++) {
    const q = <u32>load<u8>(src + i);
    store<i8>(dst + i, <i8>((q & 15) + (((high >> i) & 1) << 4) + offset));
    store<i8>(dst + i, <i8>((q >> 4) + (((high >> (i + 16)) & 1) << 4) + offset), 16);
  }
}

/** The 16 values of iq4_nl and iq4_xs. */
const CURVE = memory.data<i8>([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]);

function curve(dst: usize, src: usize): void {
  for (let i: usize = 0; i < 16; i++) {
    const q = <u32>load<u8>(src + i);
    store<i8>(dst + i, load<i8>(CURVE + <usize>(q & 15)));
    store<i8>(dst + i, load<i8>(CURVE + <usize>(q >> 4)), 16);
  }
}

/** 16 bytes of a scale nibble and a minimum nibble, 64 bytes of codes, two f16: scale and minimum of those. */
function q2_k(dst: usize, src: usize): void {
  const d = half(src + 80);
  const m = half(src + 82);
  for (let u: usize = 0; u < 8; u++) {
    const from = src + 16 + (u >> 2) * 32;
    const shift = <u32>(u & 3) * 2;
    for (let i: usize = 0; i < 32; i++) store<i8>(dst + i, <i8>((<u32>load<u8>(from + i) >> shift) & 3));
    const a = <u32>load<u8>(src + u * 2);
    const b = <u32>load<u8>(src + u * 2, 1);
    scales(dst, d * <f32>(a & 15), -(m * <f32>(a >> 4)), d * <f32>(b & 15), -(m * <f32>(b >> 4)));
    dst += UNIT_BYTES;
  }
}

/** 32 bytes of third bits (which take 4 away where they are not set), 64 bytes of codes, 16 scales of 6 bits in 12 bytes, f16. */
function q3_k(dst: usize, src: usize): void {
  const d = half(src + 108);
  for (let u: usize = 0; u < 8; u++) {
    const from = src + 32 + (u >> 2) * 32;
    const shift = <u32>(u & 3) * 2;
    for (let i: usize = 0; i < 32; i++) {
      const low = <i32>((<u32>load<u8>(from + i) >> shift) & 3);
      const third = (<u32>load<u8>(src + i) >> <u32>u) & 1;
      store<i8>(dst + i, <i8>(third ? low : low - 4));
    }
    scales(dst, d * <f32>q3_scale(src + 96, <u32>u * 2), 0, d * <f32>q3_scale(src + 96, <u32>u * 2 + 1), 0);
    dst += UNIT_BYTES;
  }
}

function q3_scale(at: usize, i: u32): i32 {
  const low = i < 8 ? <u32>load<u8>(at + i) & 15 : <u32>load<u8>(at + i - 8) >> 4;
  const high = (<u32>load<u8>(at + 8 + (i & 3)) >> ((i >> 2) * 2)) & 3;
  return <i32>(low | (high << 4)) - 32;
}

/** Scale i of q4_k and q5_k, 6 bits; `which` 0 is the scale, 1 the minimum. */
function k_scale(at: usize, i: u32, which: u32): f32 {
  if (i < 4) return <f32>(<u32>load<u8>(at + i + which * 4) & 63);
  const low = (<u32>load<u8>(at + i + 4) >> (which * 4)) & 15;
  return <f32>(low | ((<u32>load<u8>(at + i - 4 + which * 4) >> 6) << 4));
}

/** Two f16 (scale and minimum of the scales), 12 bytes of 6-bit scales and minimums, 128 bytes of nibbles. */
function q4_k(dst: usize, src: usize): void {
  const d = half(src);
  const m = half(src + 2);
  for (let u: u32 = 0; u < 8; u++) {
    const from = src + 16 + <usize>(u >> 1) * 32;
    const shift = (u & 1) * 4;
    for (let i: usize = 0; i < 32; i++) store<i8>(dst + i, <i8>((<u32>load<u8>(from + i) >> shift) & 15));
    const scale = d * k_scale(src + 4, u, 0);
    const minimum = -(m * k_scale(src + 4, u, 1));
    scales(dst, scale, minimum, scale, minimum);
    dst += UNIT_BYTES;
  }
}

/** As q4_k, with 32 bytes of fifth bits before the nibbles. */
function q5_k(dst: usize, src: usize): void {
  const d = half(src);
  const m = half(src + 2);
  for (let u: u32 = 0; u < 8; u++) {
    const from = src + 48 + <usize>(u >> 1) * 32;
    const shift = (u & 1) * 4;
    for (let i: usize = 0; i < 32; i++) {
      const fifth = (<u32>load<u8>(src + 16 + i) >> u) & 1;
      store<i8>(dst + i, <i8>(((<u32>load<u8>(from + i) >> shift) & 15) | (fifth << 4)));
    }
    const scale = d * k_scale(src + 4, u, 0);
    const minimum = -(m * k_scale(src + 4, u, 1));
    scales(dst, scale, minimum, scale, minimum);
    dst += UNIT_BYTES;
  }
}

/** 128 bytes of nibbles, 64 bytes of upper bit pairs, 16 signed scales, f16. */
function q6_k(dst: usize, src: usize): void {
  const d = half(src + 208);
  for (let u: usize = 0; u < 8; u++) {
    const n = u >> 2;
    const low = src + n * 64 + (u & 1) * 32;
    const high = src + 128 + n * 32;
    const nibble = <u32>((u >> 1) & 1) * 4;
    const pair = <u32>(u & 3) * 2;
    for (let i: usize = 0; i < 32; i++) {
      const q = ((<u32>load<u8>(low + i) >> nibble) & 15) | (((<u32>load<u8>(high + i) >> pair) & 3) << 4);
      store<i8>(dst + i, <i8>(<i32>q - 32));
    }
    scales(dst, d * <f32>load<i8>(src + 192 + u * 2), 0, d * <f32>load<i8>(src + 192 + u * 2, 1), 0);
    dst += UNIT_BYTES;
  }
}

/** f16, two bytes of upper and four of lower scale bits, 128 bytes of nibbles on the curve. */
function iq4_xs(dst: usize, src: usize): void {
  const d = half(src);
  const high = <u32>load<u16>(src, 2);
  for (let u: u32 = 0; u < 8; u++) {
    curve(dst, src + 8 + <usize>u * 16);
    const low = (<u32>load<u8>(src + 4 + (u >> 1)) >> ((u & 1) * 4)) & 15;
    const scale = d * <f32>(<i32>(low | (((high >> (u * 2)) & 3) << 4)) - 32);
    scales(dst, scale, 0, scale, 0);
    dst += UNIT_BYTES;
  }
}
