// exp, log, sigmoid, tanh, softplus over four f32 lanes. Engines disagree in the last bits of Math.exp and its kin, so the
// package has its own, made of operations that IEEE 754 fixes. The bounds stated here, in units in the last place (ulp) of the
// f32 result, were found by trying every f32; test/kernels/math.test.ts checks them. NaN gives NaN, but in log.

const LOG2E: f32 = 1.44269504;
// ln 2 in two parts; the first has 9 significant bits, so that n * LN2_HI is exact for every n that occurs.
const LN2_HI: f32 = 0.693359375;
const LN2_LO: f32 = -2.12194440e-4;

/** Vectors that `exp` needs, read from memory: engines rebuild literal vectors at every use. 12582912 is 1.5 * 2^23. */
const EXP = memory.data<f32>([
  89, 89, 89, 89, -105, -105, -105, -105,
  1.44269504, 1.44269504, 1.44269504, 1.44269504,
  12582912, 12582912, 12582912, 12582912,
  LN2_HI, LN2_HI, LN2_HI, LN2_HI,
  LN2_LO, LN2_LO, LN2_LO, LN2_LO,
  1.0 / 5040.0, 1.0 / 5040.0, 1.0 / 5040.0, 1.0 / 5040.0,
  1.0 / 720.0, 1.0 / 720.0, 1.0 / 720.0, 1.0 / 720.0,
  1.0 / 120.0, 1.0 / 120.0, 1.0 / 120.0, 1.0 / 120.0,
  1.0 / 24.0, 1.0 / 24.0, 1.0 / 24.0, 1.0 / 24.0,
  1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0,
  0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1,
]);
const EXPONENT = memory.data<i32>([127, 127, 127, 127]);

/** e^x to within 1.03 ulp (0.76 where the result is subnormal). Above 88.7228 it is infinity, below -103.97 it is 0. */
export function exp(x: v128): v128 {
  // NaN must come out as NaN: these comparisons leave it alone.
  x = f32x4.pmin(f32x4.pmax(x, v128.load(EXP, 16)), v128.load(EXP));
  // Near 1.5 * 2^23 neighbours differ by 1, so the sum is rounded to the nearest whole number, which stands in its last bits.
  const magic = v128.load(EXP, 48);
  const t = f32x4.add(f32x4.mul(x, v128.load(EXP, 32)), magic);
  const n = f32x4.sub(t, magic);
  let r = f32x4.sub(x, f32x4.mul(n, v128.load(EXP, 64)));
  r = f32x4.sub(r, f32x4.mul(n, v128.load(EXP, 80)));
  // |r| <= ln(2) / 2: the Taylor series to r^7 is off by less than 1e-8.
  let p = v128.load(EXP, 96);
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP, 112));
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP, 128));
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP, 144));
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP, 160));
  p = f32x4.add(f32x4.mul(p, r), v128.load(EXP, 176));
  p = f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r);
  p = f32x4.add(p, v128.load(EXP, 192));
  // 2^n in two factors, because n may lie beyond what one exponent can hold.
  const i = i32x4.sub(t, magic);
  const bias = v128.load(EXPONENT);
  const half = i32x4.shr_s(i, 1);
  const a = i32x4.shl(i32x4.add(half, bias), 23);
  const b = i32x4.shl(i32x4.add(i32x4.sub(i, half), bias), 23);
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
  const t = i32x4.sub(x, i32x4.splat(0x3f3504f3));
  const e = f32x4.convert_i32x4_s(i32x4.shr_s(t, 23));
  const m = i32x4.add(v128.and(t, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  const f = f32x4.sub(m, f32x4.splat(1));
  // ln m = 2 atanh(s), s = f / (2 + f), |s| <= 0.172
  const s = f32x4.div(f, f32x4.add(f, f32x4.splat(2)));
  const z = f32x4.mul(s, s);
  let p = f32x4.splat(2.0 / 11.0);
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 9.0));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 7.0));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 5.0));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 3.0));
  // 2s = f - s f, which keeps the digits of f
  p = f32x4.sub(f32x4.mul(f32x4.mul(p, z), s), f32x4.mul(s, f));
  p = f32x4.add(p, f32x4.mul(e, f32x4.splat(LN2_LO)));
  return f32x4.add(f32x4.mul(e, f32x4.splat(LN2_HI)), f32x4.add(f, p));
}

/** 1 / (1 + e^-x) to within 2.5 ulp (1 where the result is subnormal). Below -88.7228 it is 0. */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp(f32x4.neg(x))));
}

/** tanh x to within 2.5 ulp. */
export function tanh(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000));
  const t = f32x4.abs(x);
  // Far from 0: 1 - 2 / (e^2t + 1). Near 0 that cancels; there Lambert's continued fraction, cut at 9, is exact to f32.
  const far = f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(exp(f32x4.add(t, t)), f32x4.splat(1))));
  const z = f32x4.mul(t, t);
  const over = f32x4.add(f32x4.mul(f32x4.add(z, f32x4.splat(105)), z), f32x4.splat(945));
  const under = f32x4.add(
    f32x4.mul(f32x4.add(f32x4.mul(z, f32x4.splat(15)), f32x4.splat(420)), z),
    f32x4.splat(945),
  );
  const near = f32x4.mul(t, f32x4.div(over, under));
  return v128.or(v128.bitselect(near, far, f32x4.lt(t, f32x4.splat(0.6))), sign);
}

/** ln(1 + e^x) to within 2.8 ulp (1.5 where the result is subnormal). */
export function softplus(x: v128): v128 {
  // max(x, 0) + ln(1 + u), u = e^-|x|; ln(1 + u) = 2 atanh(u / (2 + u)), whose argument is at most 1/3
  const u = exp(f32x4.neg(f32x4.abs(x)));
  const s = f32x4.div(u, f32x4.add(u, f32x4.splat(2)));
  const z = f32x4.mul(s, s);
  let p = f32x4.splat(2.0 / 17.0);
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 15.0));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 13.0));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 11.0));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 9.0));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 7.0));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 5.0));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 3.0));
  p = f32x4.add(f32x4.mul(f32x4.mul(p, z), s), f32x4.add(s, s));
  return f32x4.add(f32x4.max(x, f32x4.splat(0)), p);
}
