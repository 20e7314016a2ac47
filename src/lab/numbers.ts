/** Numbers for tables, and from many measurements one. */

/** About three digits that count: 0.00123, 1.23, 123, 12345. */
export function digits(x: number): string {
  const size = Math.abs(x);
  if (size === 0 || size >= 100) return x.toFixed(0);
  return size >= 1e-4 ? String(x.toPrecision(3)) : x.toExponential(1);
}

/** 10, 100, 1,000. */
export const grouped = (n: number): string => n.toLocaleString("en-US");

/** The middle one, or the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}
