/**
 * A sampler that is obviously right: it sorts everything, computes one token after another, and follows the definitions in
 * docs/sampling.md. Single precision where the kernels have it, and their exp and log, so that the same token must come out.
 */
import type { Sampling } from "../../src/engine/sampler.ts";
import { apply } from "./lanes.ts";

const f = Math.fround;
const INFINITY = Number.POSITIVE_INFINITY;
export const total = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);
const log = (x: number) => apply("log4", [x])[0];
const exp = (x: number) => apply("exp4", [x])[0];
const bit = (bits: ArrayLike<number>, i: number) => (bits[i >> 5] >>> (i & 31)) & 1;

/** SplitMix64's number at a position, as a fraction of 2^53. */
export function random(seed: bigint, step: number): number {
  const u64 = (x: bigint) => BigInt.asUintN(64, x);
  let z = u64(seed + BigInt(step + 1) * 0x9e3779b97f4a7c15n);
  z = u64((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = u64((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return Number((z ^ (z >> 31n)) >> 11n) / 2 ** 53;
}

/** A token that may be drawn. `weight`: e^(score - top), 0 from e^-87 on. */
interface Candidate {
  id: number;
  score: number;
  weight: number;
}

/** What may be drawn, in the order in which the draw goes through it. */
export interface Choice {
  ids: number[];
  weights: number[];
}

/** e^((score - top) * scale) as the kernels have it. */
function weigh(scores: readonly number[], top: number, scale: number): number[] {
  const x = scores.map((s) => f(f(s - top) * scale));
  const w = apply("exp4", x);
  return x.map((value, i) => (value >= -87 ? w[i] : 0));
}

/** In f32, but not 0. */
const positive = (x: number) => Math.max(f(x), 2 ** -126);
const LARGEST = f(3.4028234663852886e38);
const scaleOf = (temperature: number) => Math.min(f(1 / f(temperature)), LARGEST);

/** The first so many in order whose weights come to `mass`. */
function upTo(sorted: readonly Candidate[], mass: number): Candidate[] {
  let sum = 0;
  const last = sorted.findIndex(({ weight }) => {
    sum += weight;
    return sum >= mass;
  });
  return last < 0 ? [...sorted] : sorted.slice(0, last + 1);
}

export class Reference {
  readonly vocab: number;
  readonly #s: Sampling;
  readonly #counts: Float32Array;
  readonly #history: number[] = [];
  readonly #seed: bigint;
  #mu: number;
  #surprise: number | undefined;

  constructor(sampling: Sampling, vocab: number, counts?: Float32Array) {
    this.vocab = vocab;
    this.#s = sampling;
    this.#counts = counts?.slice() ?? new Float32Array(vocab);
    this.#seed = (BigInt(sampling.seed[1]) << 32n) | BigInt(sampling.seed[0]);
    this.#mu = f(2 * (sampling.mirostat?.tau ?? 0));
  }

  get mu(): number {
    return this.#mu;
  }

  accept(token: number): void {
    const { mirostat, penaltyDecay } = this.#s;
    for (let i = 0; i < this.vocab; i++) this.#counts[i] *= f(penaltyDecay);
    this.#counts[token]++;
    this.#history.push(token);
    if (mirostat && this.#surprise !== undefined)
      this.#mu = f(this.#mu - f(f(mirostat.eta) * f(this.#surprise - f(mirostat.tau))));
    this.#surprise = undefined;
  }

  /** A token, -1 or -2. */
  sample(logits: Float32Array, step: number, mask?: ArrayLike<number>): number {
    const scores = this.scores(logits, mask);
    if (typeof scores === "number") return scores;
    const { ids, weights } = this.choice(scores, step);
    const target = random(this.#seed, step) * total(weights);
    let sum = 0;
    let at = weights.findIndex((weight) => {
      sum += weight;
      return sum > target;
    });
    if (at < 0) at = weights.findLastIndex((weight) => weight > 0);
    const token = ids[Math.max(0, at)];
    if (this.#s.mirostat && this.#s.temperature > 0) this.#surprise = this.#surpriseOf(scores, token);
    return token;
  }

  /** The logits after mask, bias, penalties and DRY; or -1 or -2. */
  scores(logits: Float32Array, mask?: ArrayLike<number>): number[] | number {
    const s = this.#s;
    if (!Number.isFinite(highest(logits))) return -1;
    const scores = Array.from(logits, (logit, i) => (mask && !bit(mask, i) ? -INFINITY : logit));
    s.bias?.tokens.forEach((token, i) => {
      scores[token] = f(scores[token] + s.bias!.values[i]);
    });
    if (s.repetitionPenalty !== 1 || s.presencePenalty !== 0 || s.frequencyPenalty !== 0)
      this.#counts.forEach((n, i) => {
        if (n === 0) return;
        const divided = f(scores[i] > 0 ? scores[i] / f(s.repetitionPenalty) : scores[i] * f(s.repetitionPenalty));
        scores[i] = f(f(divided - f(s.presencePenalty)) - f(n * f(s.frequencyPenalty)));
      });
    for (const [token, length] of this.#repetitions()) {
      const { multiplier, base, allowedLength } = s.dry!;
      let penalty = f(multiplier);
      for (let i = allowedLength; i < length; i++) penalty *= f(base);
      scores[token] = f(scores[token] - f(Math.min(penalty, 1e30)));
    }
    const top = highest(scores);
    if (top === -INFINITY) return -2;
    return Number.isFinite(top) ? scores : -1;
  }

  /** For each token that would continue a repetition of at least the allowed length: how long it is. */
  #repetitions(): Map<number, number> {
    const lengths = new Map<number, number>();
    const { dry } = this.#s;
    if (!dry) return lengths;
    const seen = this.#history.slice(-dry.range);
    const end = seen.length - 1;
    for (let place = 0; place < end; place++) {
      let length = 0;
      while (length <= place && seen[place - length] === seen[end - length] && !bit(dry.breakers, seen[place - length]))
        length++;
      const next = seen[place + 1];
      if (length >= dry.allowedLength && !bit(dry.breakers, next))
        lengths.set(next, Math.max(length, lengths.get(next) ?? 0));
    }
    return lengths;
  }

  /** What is left to draw from. */
  choice(scores: readonly number[], step: number): Choice {
    const s = this.#s;
    const top = highest(scores);
    if (s.temperature === 0) return { ids: [scores.indexOf(top)], weights: [1] };
    if (s.mirostat) return this.#mirostat(scores, top);
    const plain = weigh(scores, top, 1);
    const all = total(plain);
    const inOrder: Candidate[] = scores
      .map((score, id) => ({ id, score, weight: plain[id] }))
      .filter(({ score }) => score > -INFINITY);
    let left = [...inOrder].sort((a, b) => b.score - a.score || a.id - b.id);
    const filtered =
      s.topNSigma > 0 || (s.topK > 0 && s.topK < this.vocab) || s.typicalP < 1 || f(s.topP) < 1 || s.minP > 0;

    if (s.topNSigma > 0) {
      const distances = left.map(({ score }) => f(score - top));
      const mean = total(distances) / left.length;
      const variance = total(distances.map((d) => (d - mean) ** 2)) / left.length;
      const reach = f(positive(s.topNSigma) * f(Math.sqrt(variance)));
      left = left.filter(({ score }) => f(top - score) <= reach);
    }
    if (s.topK > 0) left = left.slice(0, s.topK);
    if (s.typicalP < 1) {
      const mean = f(total(inOrder.map(({ score, weight }) => (weight ? weight * f(top - score) : 0))) / all);
      const oddity = ({ score }: Candidate) => Math.abs(f(f(top - score) - mean));
      const typical = [...left].sort((a, b) => oddity(a) - oddity(b) || a.id - b.id);
      const kept = new Set(upTo(typical, positive(s.typicalP) * all));
      left = left.filter((candidate) => kept.has(candidate));
    }
    if (f(s.topP) < 1) left = upTo(left, f(s.topP) * all);
    if (s.minP > 0) {
      const least = f(positive(s.minP) * highest(left.map(({ weight }) => weight)));
      left = left.filter(({ weight }) => weight >= least);
    }
    if (s.xtc && random(this.#seed ^ 0x5854435854435854n, step) < f(s.xtc.probability)) {
      const likely = left.filter(({ weight }) => weight >= f(all * f(s.xtc!.threshold)));
      // Of those, the last stays.
      const gone = new Set(likely.slice(0, -1));
      left = left.filter((candidate) => !gone.has(candidate));
    }
    if (!filtered) left.sort((a, b) => a.id - b.id);
    const rest = left.map(({ score }) => score);
    const high = highest(rest);
    const temperature = s.dynamicTemperature ? this.#dynamic(rest, high) : s.temperature;
    return { ids: left.map(({ id }) => id), weights: weigh(rest, high, scaleOf(temperature)) };
  }

  #dynamic(scores: readonly number[], top: number): number {
    const { temperature, dynamicTemperature } = this.#s;
    const [t, range, exponent] = [temperature, dynamicTemperature!.range, dynamicTemperature!.exponent].map(f);
    const [low, high] = [Math.max(0, f(t - range)), f(t + range)];
    if (scores.length === 1) return low;
    const weights = weigh(scores, top, 1);
    const all = total(weights);
    const mean = total(weights.map((w, i) => (w ? w * f(top - scores[i]) : 0))) / all;
    let share = Math.min(1, f(f(log(all) + f(mean)) / log(scores.length)));
    if (exponent !== 1) share = share > 1e-30 ? exp(f(exponent * log(share))) : 0;
    return f(low + f(f(high - low) * share));
  }

  #mirostat(scores: readonly number[], top: number): Choice {
    const weights = weigh(scores, top, scaleOf(this.#s.temperature));
    const least = f(Math.min(1, total(weights) * exp(f(-this.#mu * f(Math.LN2)))));
    return { ids: [...scores.keys()], weights: weights.map((w) => (w >= least ? w : 0)) };
  }

  #surpriseOf(scores: readonly number[], token: number): number {
    const top = highest(scores);
    const scale = scaleOf(this.#s.temperature);
    const all = total(weigh(scores, top, scale));
    return f(f(log(all) + f(f(top - scores[token]) * scale)) * f(Math.LOG2E));
  }
}

/** The largest of some numbers; NaN when there is one. */
function highest(values: Iterable<number>): number {
  let high = -INFINITY;
  for (const value of values) high = Math.max(high, value);
  return high;
}
