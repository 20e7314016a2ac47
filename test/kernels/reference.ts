/**
 * What the kernels promise, computed slowly and one number at a time: every operation is rounded to f32 with `Math.fround`, in
 * the order that docs/numerics.md gives, so results can be compared bit by bit. Shares no code and no trick with assembly/.
 */

const f = Math.fround;
/** Nearest integer, ties to even. Exact for what is below 2^52. */
export const nearestEven = (x: number): number => {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
};
/** Nearest integer, ties away from zero, as C's `roundf`. */
export const nearestAway = (x: number): number => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);

// --- Small floats: `exponent` and `mantissa` bits --------------------------------------------------------------------

export interface SmallFloat {
  exponent: number;
  mantissa: number;
}
export const F16: SmallFloat = { exponent: 5, mantissa: 10 };
export const BF16: SmallFloat = { exponent: 8, mantissa: 7 };

/** The number that a small float's bits mean. */
export function decode({ exponent, mantissa }: SmallFloat, bits: number): number {
  const sign = bits >> (exponent + mantissa) ? -1 : 1;
  const top = 2 ** exponent - 1;
  const bias = 2 ** (exponent - 1) - 1;
  const e = (bits >> mantissa) & top;
  const m = (bits & (2 ** mantissa - 1)) / 2 ** mantissa;
  if (e === top) return m ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (e === 0 ? m * 2 ** (1 - bias) : (1 + m) * 2 ** (e - bias));
}

/** The bits of the small float nearest to x, ties to even; NaN gives any NaN. */
export function encode({ exponent, mantissa }: SmallFloat, x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 2 ** (exponent + mantissa) : 0;
  const bias = 2 ** (exponent - 1) - 1;
  const infinity = (2 ** exponent - 1) * 2 ** mantissa;
  if (Number.isNaN(x)) return infinity + 1;
  const size = Math.abs(x);
  if (size === 0) return sign;
  if (size === Number.POSITIVE_INFINITY) return sign + infinity;
  let e = Math.floor(Math.log2(size));
  if (2 ** e > size) e--;
  if (2 ** (e + 1) <= size) e++;
  e = Math.max(e, 1 - bias);
  const steps = nearestEven(size / 2 ** (e - mantissa));
  // Counted from zero, the bits of a float are the number of its predecessors; so a carry into the exponent is right too.
  return sign + Math.min(infinity, (e + bias - 1) * 2 ** mantissa + steps);
}

// --- q8_0, as files have it --------------------------------------------------------------------------------------------

export interface Q8Block {
  /** Bits of the f16 scale. */
  scale: number;
  codes: number[];
}

/** Quantises 32 weights as GGML does. */
export function quantizeWeights(x: ArrayLike<number>): Q8Block {
  let top = 0;
  for (let i = 0; i < 32; i++) top = Math.max(top, Math.abs(x[i]));
  const d = f(top / 127);
  // Below 1e-37 the inverse might be infinite; the scale is 0 in f16 anyway.
  const inverse = d > f(1e-37) ? f(1 / d) : 0;
  return { scale: encode(F16, d), codes: Array.from({ length: 32 }, (_, i) => nearestAway(f(x[i] * inverse)) || 0) };
}

// --- Activations in 8 bits -----------------------------------------------------------------------------------------------

/** Quantises 32 activations. */
export function quantizeActivations(x: ArrayLike<number>, at = 0): { scale: number; codes: Int32Array } {
  let top = 0;
  for (let i = 0; i < 32; i++) top = Math.max(top, Math.abs(x[at + i]));
  const scale = f(top / 127);
  const codes = new Int32Array(32);
  if (scale < 2 ** -126) return { scale: 0, codes };
  for (let i = 0; i < 32; i++) codes[i] = nearestEven(f(x[at + i] / scale));
  return { scale, codes };
}

// --- Sums ------------------------------------------------------------------------------------------------------------------

/** One chain: multiply, round, add, round. */
export function chain(weights: Float32Array, w: number, x: Float32Array, at: number, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum = f(sum + f(weights[w + i] * x[at + i]));
  return sum;
}

/** Four partial sums by index mod 4, then (0 + 2) + (1 + 3). `terms` are f32 already. */
export function sum4(count: number, term: (i: number) => number): number {
  const part = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) part[i & 3] = f(part[i & 3] + term(i));
  return f(f(part[0] + part[2]) + f(part[1] + part[3]));
}

// --- Norms -------------------------------------------------------------------------------------------------------------------

/** (x - mean) / sqrt(variance + eps), times weight, plus bias. */
export function norm(x: Float32Array, weight: Float32Array, bias: Float32Array, eps: number): Float32Array {
  const count = x.length;
  const mean = f(sum4(count, (i) => x[i]) / count);
  const square = (d: number) => f(d * d);
  const variance = f(sum4(count, (i) => square(f(x[i] - mean))) / count);
  const rstd = f(1 / f(Math.sqrt(f(variance + f(eps)))));
  return x.map((v, i) => f(f(f(f(v - mean) * rstd) * weight[i]) + bias[i]));
}

/** The same in float64. */
export function exactNorm(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  eps: number,
): number[] {
  const values = Array.from(x);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
  return values.map((v, i) => ((v - mean) / Math.sqrt(variance + eps)) * weight[i] + bias[i]);
}
