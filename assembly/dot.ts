// The relaxed dot product of bytes: signed activations and codes of weights. WebAssembly says what it gives for codes from 0 to
// 127. For the others an engine takes whichever of several meanings its CPU's instruction has, one for all calls; so it is asked
// once, when the module starts, whether one of those is exact for codes of a full 8 bits.
//
// Where it is, the CPU has an instruction that adds up products in fours. Where it is not, the products go through pairs in 16
// bits, which are better added up by instructions that every CPU has.

// The two ways, as types, so that each gets machine code of its own.
export type Fours = i8;
export type Pairs = i16;

/** Products that are looked at: codes of 255 (or -1) and 128 (or -128) with activations of 127 and -127. Then ones in 16 bits. */
const BYTES = memory.data<u8>([
  255, 255, 255, 255, 128, 128, 128, 128, 255, 255, 255, 255, 128, 128, 128, 128, 127, 127, 127, 127, 127, 127, 127, 127,
  129, 129, 129, 129, 129, 129, 129, 129, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0,
]);

/** What `step` and `total` want: read from memory, because engines rebuild literal vectors at every use. */
// @ts-ignore: decorator
@inline
export function ones(): v128 {
  return v128.load(BYTES, 32);
}

/**
 * Sums of four rows, brought forward by the products of 4 inputs: signed activations, and codes without sign of up to 7 bits, or of 8
 * as `DOT_8` says. Half bytes (`C` is narrower than a byte) are summed in 16 bits where they go in pairs: 16 of them fit.
 */
// @ts-ignore: decorator
@inline
export function step<D>(sum: v128, activations: v128, codes: v128, one: v128, nibbles: bool): v128 {
  if (sizeof<D>() == sizeof<Fours>()) return i32x4.relaxed_dot_i8x16_i7x16_add_s(activations, codes, sum);
  const pairs = i16x8.relaxed_dot_i8x16_i7x16_s(activations, codes);
  return nibbles ? i16x8.add(sum, pairs) : i32x4.add(sum, i32x4.dot_i16x8_s(pairs, one));
}

/** What the sums of a block begin with so that `total` has `first` added to it. */
// @ts-ignore: decorator
@inline
export function start<D>(first: v128, nibbles: bool): v128 {
  return sizeof<D>() == sizeof<Pairs>() && nibbles ? i32x4.splat(0) : first;
}

/** What became of them after all steps, in 32 bits. */
// @ts-ignore: decorator
@inline
export function total<D>(sum: v128, first: v128, one: v128, nibbles: bool): v128 {
  return sizeof<D>() == sizeof<Pairs>() && nibbles ? i32x4.add(i32x4.dot_i16x8_s(sum, one), first) : sum;
}

/**
 * What is added to codes of a full 8 bits to make `step<Fours>` exact: 128 where it takes them as numbers without sign, 0 where it
 * takes them as signed ones. -1 where sums of two products are cut off at 16 bits, or there is no relaxed SIMD.
 */
export const DOT_8: i32 = ask();

function ask(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return -1;
  const found = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(BYTES, 16), v128.load(BYTES), i32x4.splat(0));
  const unsigned = i32x4.mul(i32x4(255, 128, 255, 128), i32x4(508, 508, -508, -508));
  const signed = i32x4.mul(i32x4(-1, -128, -1, -128), i32x4(508, 508, -508, -508));
  if (i32x4.all_true(i32x4.eq(found, unsigned))) return 128;
  if (i32x4.all_true(i32x4.eq(found, signed))) return 0;
  return -1;
}
