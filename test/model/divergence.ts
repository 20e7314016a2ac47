/** How far predictions are apart. */

function logarithms(row: ArrayLike<number>): number[] {
  const logits = Array.from(row);
  const top = logits.reduce((a, b) => Math.max(a, b));
  const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x - top), 0));
  return logits.map((x) => x - top - total);
}

/** Mean Kullback-Leibler divergence, in nats per token, of what the logits `found` predict from what `right` predicts. */
export function divergence(right: readonly ArrayLike<number>[], found: readonly ArrayLike<number>[]): number {
  const each = right.map((row, t) => {
    const [p, q] = [logarithms(row), logarithms(found[t])];
    return p.reduce((sum, x, i) => sum + Math.exp(x) * (x - q[i]), 0);
  });
  return each.reduce((a, b) => a + b) / each.length;
}
