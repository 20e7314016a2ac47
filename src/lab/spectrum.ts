/** How many directions a matrix really uses. */

/** Most sweeps over all pairs of columns; a matrix of 64 x 64 takes about eight. */
const SWEEPS = 30;
const ENOUGH = 1e-12;

/** Singular values of a square matrix, largest first: one-sided Jacobi rotations (Hestenes 1958) until all columns stand upright to each other. */
export function singularValues(matrix: ArrayLike<number>, size: number): Float64Array {
  // Column by column.
  const columns = Array.from({ length: size }, (_, j) =>
    Float64Array.from({ length: size }, (_, i) => matrix[i * size + j]),
  );
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let worst = 0;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        const [x, y] = [columns[p], columns[q]];
        let [xx, yy, xy] = [0, 0, 0];
        for (let i = 0; i < size; i++) {
          xx += x[i] * x[i];
          yy += y[i] * y[i];
          xy += x[i] * y[i];
        }
        const lengths = Math.sqrt(xx * yy);
        if (!(lengths > 0) || Math.abs(xy) <= ENOUGH * lengths) continue;
        worst = Math.max(worst, Math.abs(xy) / lengths);
        const zeta = (yy - xx) / (2 * xy);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const cos = 1 / Math.sqrt(1 + t * t);
        const sin = cos * t;
        for (let i = 0; i < size; i++) {
          const old = x[i];
          x[i] = cos * old - sin * y[i];
          y[i] = sin * old + cos * y[i];
        }
      }
    }
    if (worst <= ENOUGH) break;
  }
  return Float64Array.from(columns, (column) => Math.sqrt(column.reduce((sum, n) => sum + n * n, 0)))
    .sort()
    .reverse();
}

/** exp of the entropy of the singular values' shares: n for n equal ones, 1 for a single one; 0 for nothing at all (Roy and Vetterli 2007). */
export function effectiveRank(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  if (!(total > 0)) return 0;
  let entropy = 0;
  for (let i = 0; i < values.length; i++) {
    const share = values[i] / total;
    if (share > 0) entropy -= share * Math.log(share);
  }
  return Math.exp(entropy);
}
