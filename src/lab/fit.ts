/** Laws through measured points. */

export type Point = readonly [x: number, y: number];

/** y = factor x^exponent. */
export interface Power {
  exponent: number;
  /** Standard error of the exponent. */
  error: number;
  factor: number;
  points: number;
}

/** The straight line through points in log-log, by least squares; of at least three points above 0 with different x. */
export function powerFit(points: readonly Point[]): Power | undefined {
  const logs = points.filter(([x, y]) => x > 0 && y > 0).map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const n = logs.length;
  const mean = (i: 0 | 1) => logs.reduce((sum, point) => sum + point[i], 0) / n;
  const [mx, my] = [mean(0), mean(1)];
  const sxx = logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
  if (n < 3 || sxx === 0) return undefined;
  const exponent = logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / sxx;
  const rest = logs.reduce((sum, [x, y]) => sum + (y - my - exponent * (x - mx)) ** 2, 0);
  return { exponent, error: Math.sqrt(rest / (n - 2) / sxx), factor: Math.exp(my - exponent * mx), points: n };
}

/** y = linear x + quadratic x². */
export interface Quadratic {
  linear: number;
  quadratic: number;
}

/** The same law by least squares of relative errors; neither part below 0. Of at least two points. */
export function quadraticFit(points: readonly Point[]): Quadratic | undefined {
  const known = points.filter(([x, y]) => x > 0 && y > 0);
  if (known.length < 2) return undefined;
  // Of y / y = 1: the terms are x / y and x² / y.
  let [aa, ab, bb, a1, b1] = [0, 0, 0, 0, 0];
  for (const [x, y] of known) {
    const [a, b] = [x / y, (x * x) / y];
    aa += a * a;
    ab += a * b;
    bb += b * b;
    a1 += a;
    b1 += b;
  }
  const det = aa * bb - ab * ab;
  const [linear, quadratic] = det > 0 ? [(a1 * bb - b1 * ab) / det, (b1 * aa - a1 * ab) / det] : [a1 / aa, 0];
  if (quadratic < 0) return { linear: a1 / aa, quadratic: 0 };
  if (linear < 0) return { linear: 0, quadratic: b1 / bb };
  return { linear, quadratic };
}

/** The x from which on `upper` lies above `lower`, as straight lines between the points in log-log; 0: everywhere; undefined: nowhere. */
export function crossing(upper: readonly Point[], lower: readonly Point[]): number | undefined {
  const others = new Map(lower);
  const ratios = upper.flatMap(([x, y]) => {
    const other = others.get(x);
    return other !== undefined && x > 0 && y > 0 && other > 0 ? [[Math.log(x), Math.log(y / other)] as const] : [];
  });
  const last = ratios.findLastIndex(([, ratio]) => ratio <= 0);
  if (ratios.length === 0 || last === ratios.length - 1) return undefined;
  if (last < 0) return 0;
  const [[x0, r0], [x1, r1]] = [ratios[last]!, ratios[last + 1]!];
  return Math.exp(x0 + ((x1 - x0) * -r0) / (r1 - r0));
}
