/** How far a model's logits are from the reference's, over a text. */

export interface Distance {
  /** The largest difference of a logit, over the standard deviation of the reference's. Of both the mean over the vocabulary is taken off. */
  logits: number;
  /** Kullback-Leibler divergence of the next token's distribution from the reference's: nats per token, and of the worst token. */
  kl: number;
  worstKl: number;
  /** How often the likeliest token is the same, 0 to 1. */
  top1: number;
  /** Of the text itself, by the model and by the reference. */
  perplexity: number;
  referencePerplexity: number;
}

type Numbers = ArrayLike<number>;

/** `tokens[t + 1]` is what came after `rows[t]`. */
export function distanceOf(
  rows: readonly Numbers[],
  reference: readonly Numbers[],
  tokens: readonly number[],
): Distance {
  let [worst, deviation, kl, worstKl, same, logp, referenceLogp] = [0, 0, 0, 0, 0, 0, 0];
  let count = 0;
  reference.forEach((wanted, t) => {
    const found = rows[t];
    const [a, b] = [meanOf(found), meanOf(wanted)];
    for (let i = 0; i < wanted.length; i++) {
      const difference = Math.abs(found[i] - a - (wanted[i] - b));
      // What is not a number stays, as the worst of all.
      if (difference > worst || Number.isNaN(difference)) worst = difference;
      deviation += (wanted[i] - b) ** 2;
    }
    count += wanted.length;
    const [p, q] = [logSoftmax(wanted), logSoftmax(found)];
    let divergence = 0;
    for (let i = 0; i < p.length; i++) divergence += Math.exp(p[i]) * (p[i] - q[i]);
    kl += divergence;
    worstKl = Math.max(worstKl, divergence);
    same += Number(best(p) === best(q));
    const next = tokens[t + 1];
    if (next === undefined) return;
    logp += q[next];
    referenceLogp += p[next];
  });
  const n = reference.length;
  const predicted = Math.min(n, tokens.length - 1);
  return {
    logits: worst / Math.sqrt(deviation / count),
    kl: kl / n,
    worstKl,
    top1: same / n,
    perplexity: Math.exp(-logp / predicted),
    referencePerplexity: Math.exp(-referenceLogp / predicted),
  };
}

function meanOf(x: Numbers): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i];
  return sum / x.length;
}

function best(x: Numbers): number {
  let at = 0;
  for (let i = 1; i < x.length; i++) if (x[i] > x[at]) at = i;
  return at;
}

function logSoftmax(x: Numbers): Float64Array {
  const top = x[best(x)];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.exp(x[i] - top);
  const log = top + Math.log(sum);
  return Float64Array.from({ length: x.length }, (_, i) => x[i] - log);
}
