// exp, log, sigmoid, tanh, softplus over four f32 lanes. Engines disagree in the last bits of Math.exp and its kin, so the
// package has its own, made of operations that IEEE 754 fixes. The bounds stated here, in units in the last place (ulp) of the
// f32 result, were found by trying every f32; test/kernels/math.test.ts checks them. NaN gives NaN, but in log.

/**
 * The constants, in memory: engines build a literal vector anew, lane by lane, at every use, while a load that fills all lanes costs
 * next to nothing. ln 2 is in two parts; the first has 9 significant bits, so that n * LN2_HI is exact for every n that occurs.
 */
const FLOATS = memory.data<f32>([
  1.44269504, 0.693359375, -2.12194440e-4, 89, -105, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1, 2,
  2.0 / 17.0, 2.0 / 15.0, 2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 105, 945, 15, 420, 0.6,
  12582912,
]);
const LOG2E = 0;
const LN2_HI = 1;
const LN2_LO = 2;
const TOP = 3;
const BOTTOM = 4;
const ONE_5040TH = 5;
const ONE_720TH = 6;
const ONE_120TH = 7;
const ONE_24TH = 8;
const ONE_6TH = 9;
const HALF = 10;
const ONE = 11;
const TWO = 12;
const TWO_17THS = 13;
const TWO_15THS = 14;
const TWO_13THS = 15;
const TWO_11THS = 16;
const TWO_9THS = 17;
const TWO_7THS = 18;
const TWO_5THS = 19;
const TWO_3RDS = 20;
const N105 = 21;
const N945 = 22;
const N15 = 23;
const N420 = 24;
const NEAR = 25;
/** 1.5 * 2^23. */
const NO_FRACTION = 26;

/** A constant in all lanes. */
// @ts-ignore: decorator
@inline
function the(constant: i32): v128 {
  return v128.load32_splat(FLOATS + (<usize>constant << 2));
}

const INTEGERS = memory.data<u32>([127, 0x3f3504f3, 0x007fffff, 0x80000000]);
const BIAS: usize = 0;
const SQRT_HALF: usize = 4;
const MANTISSA: usize = 8;
const SIGN: usize = 12;

// @ts-ignore: decorator
@inline
function bits(constant: usize): v128 {
  return v128.load32_splat(INTEGERS + constant);
}

/** e^x to within 1.03 ulp (0.76 where the result is subnormal). Above 88.7228 it is infinity, below -103.97 it is 0. */
export function exp(x: v128): v128 {
  // NaN must come out as NaN: these comparisons leave it alone.
  x = f32x4.pmin(f32x4.pmax(x, the(BOTTOM)), the(TOP));
  // n = x / ln 2 to the nearest integer: beside a number of this size there is no room for a fraction. Its last bits are n.
  const rounded = f32x4.add(f32x4.mul(x, the(LOG2E)), the(NO_FRACTION));
  const n = f32x4.sub(rounded, the(NO_FRACTION));
  let r = f32x4.sub(x, f32x4.mul(n, the(LN2_HI)));
  r = f32x4.sub(r, f32x4.mul(n, the(LN2_LO)));
  // |r| <= ln(2) / 2: the Taylor series to r^7 is off by less than 1e-8.
  let p = the(ONE_5040TH);
  p = f32x4.add(f32x4.mul(p, r), the(ONE_720TH));
  p = f32x4.add(f32x4.mul(p, r), the(ONE_120TH));
  p = f32x4.add(f32x4.mul(p, r), the(ONE_24TH));
  p = f32x4.add(f32x4.mul(p, r), the(ONE_6TH));
  p = f32x4.add(f32x4.mul(p, r), the(HALF));
  p = f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r);
  p = f32x4.add(p, the(ONE));
  // 2^n in two factors, because n may lie beyond what one exponent can hold.
  const i = i32x4.sub(rounded, the(NO_FRACTION));
  const half = i32x4.shr_s(i, 1);
  const a = i32x4.shl(i32x4.add(half, bits(BIAS)), 23);
  const b = i32x4.shl(i32x4.add(i32x4.sub(i, half), bits(BIAS)), 23);
  return f32x4.mul(f32x4.mul(p, a), b);
}

/** The same for one number. */
// @ts-ignore: decorator
@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp(f32x4.splat(x)), 0);
}

/** ln x to within 0.98 ulp for positive normal finite x; for any other x the result means nothing. */
export function log(x: v128): v128 {
  // x = m 2^e with m in [sqrt(1/2), sqrt(2))
  const t = i32x4.sub(x, bits(SQRT_HALF));
  const e = f32x4.convert_i32x4_s(i32x4.shr_s(t, 23));
  const m = i32x4.add(v128.and(t, bits(MANTISSA)), bits(SQRT_HALF));
  const f = f32x4.sub(m, the(ONE));
  // ln m = 2 atanh(s), s = f / (2 + f), |s| <= 0.172
  const s = f32x4.div(f, f32x4.add(f, the(TWO)));
  const z = f32x4.mul(s, s);
  let p = the(TWO_11THS);
  p = f32x4.add(f32x4.mul(p, z), the(TWO_9THS));
  p = f32x4.add(f32x4.mul(p, z), the(TWO_7THS));
  p = f32x4.add(f32x4.mul(p, z), the(TWO_5THS));
  p = f32x4.add(f32x4.mul(p, z), the(TWO_3RDS));
  // 2s = f - s f, which keeps the digits of f
  p = f32x4.sub(f32x4.mul(f32x4.mul(p, z), s), f32x4.mul(s, f));
  p = f32x4.add(p, f32x4.mul(e, the(LN2_LO)));
  return f32x4.add(f32x4.mul(e, the(LN2_HI)), f32x4.add(f, p));
}

/** 1 / (1 + e^-x) to within 2.5 ulp (1 where the result is subnormal). Below -88.7228 it is 0. */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  const one = the(ONE);
  return f32x4.div(one, f32x4.add(one, exp(f32x4.neg(x))));
}

/** tanh x to within 2.5 ulp. */
export function tanh(x: v128): v128 {
  const sign = v128.and(x, bits(SIGN));
  const t = f32x4.abs(x);
  // Far from 0: 1 - 2 / (e^2t + 1). Near 0 that cancels; there Lambert's continued fraction, cut at 9, is exact to f32.
  const far = f32x4.sub(the(ONE), f32x4.div(the(TWO), f32x4.add(exp(f32x4.add(t, t)), the(ONE))));
  const z = f32x4.mul(t, t);
  const over = f32x4.add(f32x4.mul(f32x4.add(z, the(N105)), z), the(N945));
  const under = f32x4.add(
    f32x4.mul(f32x4.add(f32x4.mul(z, the(N15)), the(N420)), z),
    the(N945),
  );
  const near = f32x4.mul(t, f32x4.div(over, under));
  return v128.or(v128.bitselect(near, far, f32x4.lt(t, the(NEAR))), sign);
}

/** ln(1 + e^x) to within 2.8 ulp (1.5 where the result is subnormal). */
export function softplus(x: v128): v128 {
  // max(x, 0) + ln(1 + u), u = e^-|x|; ln(1 + u) = 2 atanh(u / (2 + u)), whose argument is at most 1/3
  const u = exp(f32x4.neg(f32x4.abs(x)));
  const s = f32x4.div(u, f32x4.add(u, the(TWO)));
  const z = f32x4.mul(s, s);
  let p = the(TWO_17THS);
  p = f32x4.add(f32x4.mul(p, z), the(TWO_15THS));
  p = f32x4.add(f32x4.mul(p, z), the(TWO_13THS));
  p = f32x4.add(f32x4.mul(p, z), the(TWO_11THS));
  p = f32x4.add(f32x4.mul(p, z), the(TWO_9THS));
  p = f32x4.add(f32x4.mul(p, z), the(TWO_7THS));
  p = f32x4.add(f32x4.mul(p, z), the(TWO_5THS));
  p = f32x4.add(f32x4.mul(p, z), the(TWO_3RDS));
  p = f32x4.add(f32x4.mul(f32x4.mul(p, z), s), f32x4.add(s, s));
  return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), p);
}
