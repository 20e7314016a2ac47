// Small helpers over four f32 lanes. Everything here is exact or one rounding per lane, in a fixed order.

/** The one order in which a vector of partial sums becomes a sum: (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline
export function sum4(v: v128): f32 {
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 2) + (f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 3))
  );
}

// @ts-ignore: decorator
@inline
export function max4(v: v128): f32 {
  return max<f32>(
    max<f32>(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 2)),
    max<f32>(f32x4.extract_lane(v, 1), f32x4.extract_lane(v, 3)),
  );
}

/** Four f16, as i32 lanes with the sign spread over the upper half, to f32. Exact, subnormals included; finite only. */
// @ts-ignore: decorator
@inline
export function widen_f16(h: v128, mask: v128, scale: v128): v128 {
  // Shifted by 13 the half's exponent and mantissa stand where f32 has its own, 112 exponent steps too low.
  return f32x4.mul(v128.and(i32x4.shl(h, 13), mask), scale);
}

/**
 * The same for eight f16 at once: the upper 16 bits of each, and the lower, before `widen_f16`'s multiplication. mask: `upper_mask`.
 */
// @ts-ignore: decorator
@inline
export function upper_f16(h: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_s(h, 3), mask);
}

// @ts-ignore: decorator
@inline
export function lower_f16(h: v128): v128 {
  return i16x8.shl(h, 13);
}

/** Constants for f16, read from memory: engines rebuild literal vectors at every use. */
const F16 = memory.data<u32>([0x8fffe000, 0x77800000, 0x8fff8fff]);

// @ts-ignore: decorator
@inline
export function f16_mask(): v128 {
  return v128.load32_splat(F16);
}

// @ts-ignore: decorator
@inline
export function f16_scale(): v128 {
  return v128.load32_splat(F16, 4);
}

// @ts-ignore: decorator
@inline
export function upper_mask(): v128 {
  return v128.load32_splat(F16, 8);
}

/** One f16 to f32, exactly; infinities and NaN too. */
export function f16_to_f32(h: u32): f32 {
  const sign = (h & 0x8000) << 16;
  const rest = h & 0x7fff;
  if (rest >= 0x7c00) return reinterpret<f32>(sign | 0x7f800000 | ((rest & 0x3ff) << 13));
  return reinterpret<f32>(sign | reinterpret<u32>(reinterpret<f32>(rest << 13) * reinterpret<f32>(0x77800000)));
}

/** One f32 to the nearest f16, ties to even; overflow gives infinity. */
export function f32_to_f16(x: f32): u32 {
  const bits = reinterpret<u32>(x);
  const sign = (bits >> 16) & 0x8000;
  const rest = bits & 0x7fffffff;
  if (rest >= 0x7f800000) return sign | 0x7c00 | (rest > 0x7f800000 ? 0x200 : 0);
  if (rest >= 0x477ff000) return sign | 0x7c00; // from 65520 up
  if (rest < 0x38800000) {
    // Subnormal in f16: adding 0.5 puts the f16 grid of 2^-24 exactly on the f32 mantissa's last bit.
    return sign | (reinterpret<u32>(reinterpret<f32>(rest) + 0.5) - 0x3f000000);
  }
  return sign | ((rest - 0x38000000 + 0xfff + ((rest >> 13) & 1)) >> 13);
}

/** One f32 to the nearest bf16, ties to even. */
// @ts-ignore: decorator
@inline
export function f32_to_bf16(x: f32): u32 {
  const bits = reinterpret<u32>(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >> 16) | 0x40;
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
