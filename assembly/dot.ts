// The relaxed dot product of bytes: signed activations and codes of weights, products summed in fours. WebAssembly says what it gives
// for codes from 0 to 127. For the others an engine takes whichever of several meanings its CPU's instruction has, one for all
// calls; so it is asked once, when the module starts, whether one of those is exact for codes of a full 8 bits.

/** sum + activations . codes, four rows x 4 inputs. Codes of up to 7 bits without sign, or of 8 bits as `DOT_8` says. */
// @ts-ignore: decorator
@inline
export function dot(activations: v128, codes: v128, sum: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(activations, codes, sum);
}

/** Every product that is looked at: codes of 255 (or -1) and 128 (or -128); activations of 127 and -127. */
const ENDS = memory.data<u8>([
  255, 255, 255, 255, 128, 128, 128, 128, 255, 255, 255, 255, 128, 128, 128, 128, 127, 127, 127, 127, 127, 127, 127, 127,
  129, 129, 129, 129, 129, 129, 129, 129,
]);

/**
 * What 8-bit codes must be stored with for `dot` to be exact: 128 where it takes codes as numbers without sign, 0 where it takes
 * them as signed ones, -1 where sums of two products are cut off at 16 bits, or there is no relaxed SIMD.
 */
export const DOT_8: i32 = ask();

function ask(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return -1;
  const found = dot(v128.load(ENDS, 16), v128.load(ENDS), i32x4.splat(0));
  const unsigned = i32x4.mul(i32x4(255, 128, 255, 128), i32x4(508, 508, -508, -508));
  const signed = i32x4.mul(i32x4(-1, -128, -1, -128), i32x4(508, 508, -508, -508));
  if (i32x4.all_true(i32x4.eq(found, unsigned))) return 128;
  if (i32x4.all_true(i32x4.eq(found, signed))) return 0;
  return -1;
}
